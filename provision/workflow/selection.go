package workflow

import (
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
)

// Selection is the part of a workflow that a run does. The zero value is all of
// it. What it leaves out counts as done.
//
// Phases with ReadOnly cannot be left out, but they read only the hosts that
// matter. A run with Hosts reads those hosts, and each host on which one of the
// phases that it runs needs another phase. So `slipway phase run kernel --hosts
// w-1` reads w-1 alone; `join` on w-1 needs `kubeadm-init` on the seed, and reads
// the control planes too, since their facts decide which one that is; `hosts-file`
// needs the facts of all hosts, and reads them all. If a control plane is selected that
// leaves, the arithmetic of etcd's quorum needs the control planes, and so does a selected
// host with the role etcd: they show whether a cluster exists. A host that is not read
// cannot fail the run.
type Selection struct {
	// Skip names phases to leave out; Only, if not empty, the phases to run.
	Skip, Only []string
	// From and Until name the first and the last phase to run, in the order of
	// the workflow.
	From, Until string
	// Hosts, if not empty, names the hosts to work on. Phases on localhost run
	// all the same.
	Hosts []string
}

// Check reports every name in the selection that does not exist, as a
// *SelectionError. Run.Do checks by itself; call Check before slow preparations.
func (s Selection) Check(w Workflow, hosts []string) error {
	var problems []string
	var phases []string
	for _, p := range w.Phases {
		phases = append(phases, p.Name)
	}
	named := slices.Concat(s.Skip, s.Only)
	for _, name := range []string{s.From, s.Until} {
		if name != "" {
			named = append(named, name)
		}
	}
	for _, name := range named {
		if !slices.Contains(phases, name) {
			problems = append(problems, fmt.Sprintf("unknown phase %q; the phases are %s", name, strings.Join(phases, ", ")))
		}
	}
	for _, name := range s.Hosts {
		if !slices.Contains(hosts, name) {
			problems = append(problems, fmt.Sprintf("unknown host %q; the hosts of the inventory are %s", name, strings.Join(hosts, ", ")))
		}
	}
	for _, name := range s.Skip {
		if p, ok := w.Phase(name); ok && (p.ReadOnly || p.Always) {
			problems = append(problems, fmt.Sprintf("phase %q cannot be skipped: other phases depend on it", name))
		}
	}
	if len(problems) > 0 {
		return &SelectionError{Problems: problems}
	}
	return nil
}

// SelectionError lists the names in a selection that do not exist.
type SelectionError struct{ Problems []string }

func (e *SelectionError) Error() string { return strings.Join(e.Problems, "\n") }

// leaveOut marks the tasks that the selection or the inventory leaves out.
func (s Selection) leaveOut(w Workflow, tasks []*task, cluster *config.Cluster) {
	phases := s.phases(w)
	// A control plane counts as dead for the quorum of etcd if it is not read.
	read, planes := map[*Host]bool{nil: true}, slices.ContainsFunc(cluster.Lost(), func(h config.Host) bool { return h.Has(config.RoleControlPlane) })
	for _, t := range tasks {
		selected := t.host == nil || s.includes(t.host)
		enabled := t.phase.Enabled == nil || t.phase.Enabled(cluster)
		t.skip = !enabled || !t.phase.ReadOnly && !(selected && phases[t.phase.Name])
		if selected {
			read[t.host] = true
			// A member of etcd must not start empty if a cluster exists, which only the control planes show.
			planes = planes || t.host != nil && (t.host.leaves() && t.host.isControlPlane() || t.host.isEtcdHost())
		}
		if t.phase.ReadOnly || t.phase.Always || t.skip {
			continue
		}
		for _, need := range t.needs {
			read[need.host] = true
			planes = planes || need.phase.On.String() == Seed.String()
		}
	}
	for _, t := range tasks {
		candidate := planes && t.host != nil && t.host.isControlPlane()
		t.skip = t.skip || t.phase.ReadOnly && !read[t.host] && !candidate
	}
}

// includes reports whether the run works on the host.
func (s Selection) includes(h *Host) bool {
	return len(s.Hosts) == 0 || slices.Contains(s.Hosts, h.name())
}

// phases returns the names of the phases to run.
func (s Selection) phases(w Workflow) map[string]bool {
	selected := map[string]bool{}
	begun, ended := s.From == "", false
	for _, p := range w.Phases {
		begun = begun || p.Name == s.From
		chosen := begun && !ended && !slices.Contains(s.Skip, p.Name) && (len(s.Only) == 0 || slices.Contains(s.Only, p.Name))
		selected[p.Name] = chosen || p.ReadOnly || p.Always
		ended = ended || p.Name == s.Until
	}
	return selected
}
