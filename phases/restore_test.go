package phases

import (
	"slices"
	"testing"

	"slipway.io/slipway/phases/backup"
)

// Another order would create an empty cluster, or let a host join beside the Node of a machine
// that is gone.
func TestARestorePlacesTheDataBeforeInitAndDeletesNodesBeforeJoins(t *testing.T) {
	t.Parallel()
	w := Restore(backup.Source{})
	for _, pair := range [][2]string{
		{"bundle", "restore-check"},
		{"lock", "restore-check"},
		{"restore-data", "lock"},
		{"restore-data", "images"},
		{"kubeadm-init", "restore-data"},
		{"restore-nodes", "kubeadm-init"},
		{"join-control-plane", "restore-nodes"},
		{"join", "restore-nodes"},
		{"record", "restore-nodes"},
		{"cni", "restore-nodes"},
	} {
		if !comesAfter(w, pair[0], pair[1]) {
			t.Errorf("%s does not come after %s", pair[0], pair[1])
		}
	}
	// It is everything that apply does.
	for _, p := range Apply().Phases {
		if _, ok := w.Phase(p.Name); !ok {
			t.Errorf("a restore lacks %s", p.Name)
		}
	}
	check, _ := w.Phase("restore-check")
	if !check.ReadOnly || slices.Contains(check.NeedsAll, "lock") {
		t.Error("the check does not run before anything changes")
	}
	if init, _ := w.Phase("kubeadm-init"); init.Done != nil {
		t.Error("init counts as done if the data of the lost cluster says so")
	}
	if init, _ := Apply().Phase("kubeadm-init"); init.Done == nil || slices.Contains(init.Needs, "restore-data") {
		t.Error("the restore has changed apply")
	}
}
