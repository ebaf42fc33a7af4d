//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
)

// lost is the state of TestBackup: a highly available cluster that loses all its machines.
type lost struct {
	*ha
	// dir has the backups, identity the key that decrypts them.
	dir, identity, recipient string
	// backup is the path of the encrypted backup, fromTimer that of a host.
	backup, fromTimer string
	// token is one of a service account, from before the loss.
	token string
}

// TestBackup backs up a cluster, destroys all machines, and restores the cluster onto new
// ones. It runs with SLIPWAY_E2E_BACKUP=1 only.
func TestBackup(t *testing.T) {
	if os.Getenv("SLIPWAY_E2E_BACKUP") != "1" {
		t.Skip("make e2e-backup runs it")
	}
	l := &lost{ha: &ha{scenario: newScenario(t), stop: func() {}}}
	l.dir, l.identity = filepath.Join(l.scratch, "backups"), filepath.Join(l.scratch, "identity")
	l.runSteps(t, []step{
		l.step("three control planes and a worker come up", l.machinesComeUp, true),
		l.step("apply creates a cluster with a timer", l.appliesWithTimer, true),
		l.step("objects are written", l.writesObjects, true),
		l.step("a backup is created, listed and verified", l.backsUp, true),
		l.step("a backup without encryption has no keys", l.backsUpWithoutKeys, false),
		l.step("the timer of a host writes a backup", l.timerWrites, false),
		l.step("an object is written after the backup", l.writesLater, false),
		l.step("a damaged backup is refused", l.refusesDamage, false),
		l.step("a cluster that runs is not restored", l.refusesRunning, false),
		l.step("all machines are destroyed, and new ones come up", l.losesAll, true),
		l.step("a restore is killed, and apply refuses to continue it", l.killsRestore, false),
		l.step("restore creates the cluster again", l.restores, true),
		l.step("objects and tokens are those of the backup", l.isAsBefore, false),
		l.step("validate passes", l.validate, false),
		l.step("a second apply changes nothing", l.changesNothing, false),
		l.step("the snapshot of a host is restored with the keys of another backup, and a worker stays", l.restoresFromTimer, false),
	})
}

// machinesComeUp creates the machines, and edits the inventory.
func (l *lost) machinesComeUp(ctx context.Context, t *testing.T) {
	l.ha.machinesComeUp(ctx, t)
	l.editInventory(t, func(inventory map[string]any) {
		setIn(inventory, "daily", "backup", "schedule")
		setIn(inventory, 2, "backup", "retention")
	})
}

func (l *lost) appliesWithTimer(ctx context.Context, t *testing.T) {
	l.applies(ctx, t)
	if out := l.mustSSH(ctx, t, "cp2", "systemctl is-active slipway-backup.timer"); strings.TrimSpace(out) != "active" {
		t.Errorf("the timer is %s", out)
	}
	l.changesNothing(ctx, t)
}

func (l *lost) must(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.kubectl(ctx, t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *lost) writesObjects(ctx context.Context, t *testing.T) {
	l.must(ctx, t, "create", "configmap", "before", "--from-literal=written=before")
	l.must(ctx, t, "create", "secret", "generic", "before", "--from-literal=password=correct-horse")
	l.must(ctx, t, "create", "serviceaccount", "robot")
	l.token = strings.TrimSpace(l.must(ctx, t, "create", "token", "robot", "--duration=8h"))
}

func (l *lost) backsUp(ctx context.Context, t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	l.recipient = identity.Recipient().String()
	write(t, l.identity, identity.String()+"\n")
	r := l.slipway.must(ctx, t, l.on("backup", "create", "--dir", l.dir, "--recipient", l.recipient)...)
	l.took("backup create", r.took)
	l.backup = strings.TrimSpace(r.stdout)
	if info, err := os.Stat(l.backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if out := l.slipway.must(ctx, t, "backup", "verify", l.backup, "--identity", l.identity).stdout; out != l.backup+": verified\n" {
		t.Errorf("verify says %q", out)
	}
	var listed []struct {
		Path     string
		Manifest struct {
			Cluster string
			PKI     bool
			Etcd    struct{ Revision, Keys int }
		}
	}
	out := l.slipway.must(ctx, t, "backup", "list", "--dir", l.dir, "-o", "json").stdout
	if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed) != 1 || !listed[0].Manifest.PKI || listed[0].Manifest.Etcd.Keys < 100 {
		t.Errorf("%v, %s", err, out)
	}
	// Nothing of it stays on the hosts.
	for _, m := range l.controlPlanes() {
		if left := l.mustSSH(ctx, t, m, "ls -A /var/lib/slipway/snapshots 2>/dev/null || true; /usr/local/bin/ctr -n k8s.io containers list -q | grep slipway || true"); left != "" {
			t.Errorf("%s still has %s", m, left)
		}
	}
}

func (l *lost) backsUpWithoutKeys(ctx context.Context, t *testing.T) {
	dir := filepath.Join(l.scratch, "plain")
	r := l.slipway.must(ctx, t, l.on("backup", "create", "--dir", dir)...)
	if !strings.Contains(r.stderr, "contains no private keys") {
		t.Errorf("it does not say so: %s", r)
	}
	if out := l.slipway.must(ctx, t, "backup", "verify", "--dir", dir).stdout; !strings.Contains(out, ": verified\n") {
		t.Errorf("verify says %q", out)
	}
	if r := l.slipway.run(ctx, t, l.on("restore", strings.TrimSpace(r.stdout), "--yes")...); r.code == 0 || !strings.Contains(r.stderr, "--keys-from") {
		t.Errorf("restore without keys: %s", r)
	}
}

func (l *lost) timerWrites(ctx context.Context, t *testing.T) {
	l.mustSSH(ctx, t, "cp2", "systemctl start slipway-backup.service")
	content := l.mustSSH(ctx, t, "cp2", "stat -c '%a %n' /var/backups/slipway /var/backups/slipway/*; base64 -w0 /var/backups/slipway/*.slipway.tar")
	lines := strings.Split(strings.TrimSpace(content), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "700 ") || !strings.HasPrefix(lines[1], "600 ") {
		t.Fatalf("the directory has %q", lines[:min(2, len(lines))])
	}
	l.fromTimer = filepath.Join(l.scratch, filepath.Base(lines[1]))
	backup, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		t.Fatal(err)
	}
	write(t, l.fromTimer, string(backup))
	if out := l.slipway.must(ctx, t, "backup", "verify", l.fromTimer).stdout; out != l.fromTimer+": verified\n" {
		t.Errorf("verify says %q", out)
	}
}

func (l *lost) writesLater(ctx context.Context, t *testing.T) {
	l.must(ctx, t, "create", "configmap", "later", "--from-literal=written=later")
}

func (l *lost) refusesDamage(ctx context.Context, t *testing.T) {
	content, err := os.ReadFile(l.backup)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	damaged := filepath.Join(l.scratch, "damaged.slipway.tar")
	write(t, damaged, string(content))
	for _, args := range [][]string{{"backup", "verify", damaged}, l.on("restore", damaged, "--identity", l.identity, "--yes")} {
		if r := l.slipway.run(ctx, t, args...); r.code != 8 || !strings.Contains(r.stderr, "is damaged") {
			t.Errorf("%s", r)
		}
	}
}

func (l *lost) refusesRunning(ctx context.Context, t *testing.T) {
	r := l.slipway.run(ctx, t, l.on("restore", l.backup, "--identity", l.identity, "--yes")...)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "still has the cluster of the backup") {
		t.Errorf("%s", r)
	}
	l.changesNothing(ctx, t)
}

// losesAll replaces all machines with new ones, which have the same names and addresses.
func (l *lost) losesAll(ctx context.Context, t *testing.T) {
	before := l.lab
	l.slipway.must(ctx, t, "lab", "down", "--name", l.lab.Name)
	l.machinesComeUp(ctx, t)
	addresses := func(of lab) map[string]string {
		all := map[string]string{}
		for _, m := range of.Machines {
			all[m.Name] = m.Address
		}
		return all
	}
	if diff := cmp.Diff(addresses(before), addresses(l.lab)); diff != "" {
		t.Fatalf("the machines have other addresses:\n%s", diff)
	}
}

func (l *lost) killsRestore(ctx context.Context, t *testing.T) {
	for _, phase := range []string{"restore-data", "kubeadm-init"} {
		l.slipway.interrupt(ctx, t, syscall.SIGKILL, func(e event) bool { return e.Kind == "phase-started" && e.Phase == phase },
			l.on("restore", l.backup, "--identity", l.identity, "--yes", "-o", "json")...)
	}
	r := l.slipway.run(ctx, t, l.on("apply")...)
	if r.code != 5 || !strings.Contains(r.stdout+r.stderr, "slipway restore BACKUP --yes") {
		t.Errorf("apply after an interrupted restore: %s", r)
	}
}

func (l *lost) restores(ctx context.Context, t *testing.T) {
	r := l.slipway.must(ctx, t, l.on("restore", l.backup, "--identity", l.identity, "--yes")...)
	l.took("restore", r.took)
}

func (l *lost) isAsBefore(ctx context.Context, t *testing.T) {
	l.hasObjects(ctx, t)
	if _, err := l.kubectl(ctx, t, "get", "configmap", "later"); err == nil || !strings.Contains(err.Error(), "NotFound") {
		t.Errorf("the object that was written after the backup: %v", err)
	}
	l.members(ctx, t)
	var names []string
	for name, n := range l.nodes(ctx, t) {
		if names = append(names, name); n.ready != "True" {
			t.Errorf("%s: Ready is %s", name, n.ready)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"cp1", "cp2", "cp3", "w1"}, names); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

// hasObjects checks the objects of before, and that the token is still valid.
func (l *lost) hasObjects(ctx context.Context, t *testing.T) {
	t.Helper()
	if got := l.must(ctx, t, "get", "configmap", "before", "-o", "jsonpath={.data.written}"); got != "before" {
		t.Errorf("the configmap has %q", got)
	}
	if got := l.must(ctx, t, "get", "secret", "before", "-o", "jsonpath={.data.password}"); got != "Y29ycmVjdC1ob3JzZQ==" {
		t.Errorf("the secret has %q", got)
	}
	review := filepath.Join(l.scratch, "review.json")
	write(t, review, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"`+l.token+`"}}`)
	if got := l.must(ctx, t, "create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", review); !strings.Contains(got, `"authenticated":true`) {
		t.Errorf("the token of before: %s", got)
	}
}

func (l *lost) restoresFromTimer(ctx context.Context, t *testing.T) {
	if l.fromTimer == "" {
		t.Skip("there is none")
	}
	// The worker stays, with its kubelet.
	kubelet := l.mustSSH(ctx, t, "w1", "systemctl show --property=MainPID kubelet")
	l.slipway.must(ctx, t, l.on("reset", "--yes", "--hosts", strings.Join(l.controlPlanes(), ","))...)
	r := l.slipway.must(ctx, t, l.on("restore", l.fromTimer, "--keys-from", l.backup, "--identity", l.identity, "--yes")...)
	l.took("restore of a host's snapshot", r.took)
	l.hasObjects(ctx, t)
	if now := l.mustSSH(ctx, t, "w1", "systemctl show --property=MainPID kubelet"); now != kubelet {
		t.Errorf("the kubelet of the worker was %s, and is %s", kubelet, now)
	}
	l.validate(ctx, t)
}
