package workflow

import (
	"fmt"
	"slices"

	"slipway.io/slipway/provision/config"
)

// node is one phase on one host.
type node struct {
	phase   Phase
	machine *Host // nil on the installer
	needs   []*node
	// after are nodes whose end is waited for, whether they succeed or not.
	after []*node
	skip  bool // left out by the selection or the inventory: counts as done
	done  chan struct{}
	err   error // set before done is closed
}

func (n *node) host() string {
	if n.machine == nil {
		return ""
	}
	return n.machine.Config.Name
}

// build makes the graph of the workflow over the hosts, in an order in which
// each node stands after what it needs.
func build(w Workflow, cluster *config.Cluster, hosts *Hosts, selection Selection) ([]*node, error) {
	if err := selection.check(w, hosts.Names()); err != nil {
		return nil, err
	}
	var nodes []*node
	byPhase := map[string][]*node{}
	for i, phase := range w.Phases {
		if byPhase[phase.Name] != nil {
			return nil, fmt.Errorf("workflow %s: two phases are called %s", w.Name, phase.Name)
		}
		if err := phase.checkNeeds(byPhase); err != nil {
			return nil, fmt.Errorf("workflow %s: %w", w.Name, err)
		}
		// A phase for which there is no host (no worker) is known all the same.
		byPhase[phase.Name] = []*node{}
		for _, m := range hosts.at(phase.On) {
			n := &node{phase: phase, machine: m, done: make(chan struct{})}
			n.skip = !selection.phase(w, i) || !selection.host(phase, n.host()) || phase.Enabled != nil && !phase.Enabled(cluster)
			n.link(byPhase)
			nodes = append(nodes, n)
			byPhase[phase.Name] = append(byPhase[phase.Name], n)
		}
	}
	queueBulk(nodes, hosts.FirstControlPlane())
	return nodes, nil
}

// queueBulk puts bulk phases of all other machines behind those of the first
// control plane: they share the installer's uplink with it, and everything
// waits for it in the end.
func queueBulk(nodes []*node, first *Host) {
	var served []*node
	for _, n := range nodes {
		if n.phase.Bulk && n.machine == first {
			served = append(served, n)
		}
	}
	for _, n := range nodes {
		if n.phase.Bulk && n.machine != first {
			n.after = served
		}
	}
}

// checkNeeds refuses needs that are not among the phases before, or are void:
// the installer is no host on which a phase could have run.
func (p Phase) checkNeeds(before map[string][]*node) error {
	for _, name := range slices.Concat(p.Needs, p.NeedsAll) {
		of, ok := before[name]
		if !ok {
			return fmt.Errorf("phase %s needs %s, which does not stand before it", p.Name, name)
		}
		onHosts := len(of) > 0 && !of[0].phase.On.once()
		if p.On == Localhost && onHosts && !slices.Contains(p.NeedsAll, name) {
			return fmt.Errorf("phase %s runs on no host, it can need %s only everywhere", p.Name, name)
		}
	}
	return nil
}

// link finds the nodes that n needs among those of the phases before it.
func (n *node) link(byPhase map[string][]*node) {
	for _, name := range slices.Concat(n.phase.Needs, n.phase.NeedsAll) {
		for _, other := range byPhase[name] {
			everywhere := slices.Contains(n.phase.NeedsAll, name)
			if everywhere || other.phase.On.once() || other.machine == n.machine {
				n.needs = append(n.needs, other)
			}
		}
	}
}
