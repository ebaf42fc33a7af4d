package phases

import (
	"slices"

	"slipway.io/slipway/phases/backup"
	"slipway.io/slipway/phases/controlplane"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/workflow"
)

// Restore restores a cluster from a backup onto hosts that have none. It is Apply with the
// keys and the data of the backup in place before the first control plane is created: the
// other hosts join as those of a new cluster do.
func Restore(from backup.Source) workflow.Workflow {
	w := Apply()
	w.Name = "restore"
	edit := func(name string, change func(*workflow.Phase)) {
		at := slices.IndexFunc(w.Phases, func(p workflow.Phase) bool { return p.Name == name })
		change(&w.Phases[at])
	}
	insert := func(before string, p workflow.Phase) {
		at := slices.IndexFunc(w.Phases, func(p workflow.Phase) bool { return p.Name == before })
		w.Phases = slices.Insert(w.Phases, at, p)
	}
	edit("cluster", func(p *workflow.Phase) { *p = backup.RestoreState(*p) })
	insert("bundle", backup.RestoreCheck(from))
	edit("bundle", func(p *workflow.Phase) { p.NeedsAll = append(slices.Clone(p.NeedsAll), "restore-check") })
	edit("preflight", func(p *workflow.Phase) {
		needs := p.NeedsAll
		*p = preflight.PreflightRestore()
		p.NeedsAll = needs
	})
	insert("kubeadm-init", backup.RestoreData(from))
	edit("kubeadm-init", func(p *workflow.Phase) {
		*p = controlplane.InitRestored()
		p.Needs = append(slices.Clone(p.Needs), "restore-data")
	})
	at := slices.IndexFunc(w.Phases, func(p workflow.Phase) bool { return p.Name == "kubeadm-init" })
	w.Phases = slices.Insert(w.Phases, at+1, backup.RestoreNodes(from))
	for i := range w.Phases {
		p := &w.Phases[i]
		if p.Name != "restore-nodes" && (slices.Contains(p.Needs, "kubeadm-init") || slices.Contains(p.NeedsAll, "kubeadm-init")) {
			p.Needs = append(slices.Clone(p.Needs), "restore-nodes")
		}
	}
	return w
}
