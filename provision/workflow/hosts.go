package workflow

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/plan"
)

// Host is a host of the inventory with the connection to it, and what the run
// has learned of it.
type Host struct {
	// Config is what the inventory says.
	Config config.Host
	// Conn is the connection itself: what is changed through it is neither
	// recorded in a plan nor journaled.
	Conn host.Host

	facts       atomic.Pointer[facts.Facts]
	unreachable atomic.Pointer[error]
	// plan holds what a plan creates and starts on this host.
	plan plan.State
}

// name is the name in the inventory; empty for localhost.
func (h *Host) name() string {
	if h == nil {
		return ""
	}
	return h.Config.Name
}

// Facts of the host; nil until they are read.
func (h *Host) Facts() *facts.Facts { return h.facts.Load() }

// SetFacts is for the phase that reads them.
func (h *Host) SetFacts(f *facts.Facts) { h.facts.Store(f) }

// Unreachable returns why slipway cannot work on the host; nil if it can, or
// has not tried. The error wraps host.ErrUnreachable, host.ErrAuth, host.ErrSudo
// or a *host.HostKeyError.
//
// An unreachable host does not end the run. Its phases are skipped, unless they
// are Offline; a phase with ReadOnly that is skipped counts as done, so that
// phases that compare hosts, such as preflight, decide what follows. The run
// fails in the end.
func (h *Host) Unreachable() error {
	if h == nil {
		return nil
	}
	if err := h.unreachable.Load(); err != nil {
		return *err
	}
	return nil
}

// SetUnreachable is for the phase that connects first.
func (h *Host) SetUnreachable(err error) { h.unreachable.Store(&err) }

// NodeIP is the address that the cluster uses for the host. kubelet's --node-ip,
// the API server's advertiseAddress and the interface of the pod network all
// follow from it. It is the nodeIP of the inventory, else the address by which
// SSH reaches the host if one of its interfaces has it, else the address on the
// default route.
func (h *Host) NodeIP() (netip.Addr, error) {
	if h.Config.NodeIP != "" {
		return netip.ParseAddr(h.Config.NodeIP)
	}
	f := h.Facts()
	if f == nil {
		return netip.Addr{}, fmt.Errorf("%s: the address of the node is unknown, since the facts of the host have not been read", h.Config.Name)
	}
	if addr, err := netip.ParseAddr(h.Config.Address); err == nil && f.HasAddress(addr) {
		return addr, nil
	}
	if addr := f.DefaultAddress(); addr.IsValid() {
		return addr, nil
	}
	return netip.Addr{}, WithHint(
		fmt.Errorf("%s: no address for the node: no interface has %s, and there is no default route", h.Config.Name, h.Config.Address),
		"set nodeIP for this host in the inventory")
}

// Hosts are the hosts of a run, in the order of the inventory, and what the run
// has observed of the cluster on them.
type Hosts struct {
	All []*Host
	// Leaving are the hosts that leave the cluster: their state in the inventory is
	// absent. A run reads those that it reaches, and reaches the cluster through them,
	// but works on them only if they are in All (see WithLeaving), or if the place of a
	// phase selects them.
	Leaving []*Host
	// Lost are those that do not exist any more: see SignsOfLife.
	Lost []*LostHost
	// Elsewhere are hosts whose state is absent, and that belong to another cluster now:
	// they have left this one, and the run leaves them alone. See SetAside.
	Elsewhere []*Host

	state atomic.Pointer[cluster.State]
}

// State is what the run observed of the cluster; nil until it is read.
func (h *Hosts) State() *cluster.State { return h.state.Load() }

// SetState is for the phase that reads it.
func (h *Hosts) SetState(s *cluster.State) { h.state.Store(s) }

// Version returns the version that the cluster on the hosts has when the run ends:
// "v1.36.4". It is the one of the inventory, and without one that of the cluster. Control
// planes get it before other hosts join, and before the kubelets of workers.
func (h *Hosts) Version(inventory *config.Cluster) string {
	state := h.State()
	if state == nil || state.Version == "" {
		return inventory.Kubernetes.NewVersion()
	}
	if upgrade := state.NewVersion(inventory); upgrade != "" {
		return upgrade
	}
	return state.Version
}

// Architectures returns those of the hosts whose facts are known, sorted, as far as there
// are bundles for them. Hosts that leave the cluster need no bundle.
func (h *Hosts) Architectures() []string {
	var arches []string
	for _, host := range h.All {
		if f := host.Facts(); f != nil && slices.Contains(bundle.Arches(), f.Arch) {
			arches = append(arches, f.Arch)
		}
	}
	slices.Sort(arches)
	return slices.Compact(arches)
}

// Observed returns the hosts as package cluster compares them.
func (h *Hosts) Observed() []cluster.Host {
	all := h.all()
	observed := make([]cluster.Host, 0, len(all))
	for _, host := range all {
		observed = append(observed, h.observed(host))
	}
	return observed
}

func (h *Hosts) observed(host *Host) cluster.Host {
	return cluster.Host{
		Name: host.Config.Name, ControlPlane: host.isControlPlane(), Leaving: host.leaves(), Etcd: host.isEtcdHost(), Facts: host.Facts(),
		Answers: h.State().EtcdAnswers(host.Config.Name),
	}
}

// Belongs returns to which cluster a host belongs: see cluster.Belongs.
func (h *Hosts) Belongs(host *Host) cluster.Belonging {
	return cluster.Belongs(h.Observed(), h.observed(host))
}

// Departed returns to which cluster a host that leaves belongs: see cluster.Departed.
func (h *Hosts) Departed(host *Host) cluster.Belonging {
	return cluster.Departed(h.Observed(), h.observed(host))
}

// all returns the hosts of the cluster, and after them those that leave it.
func (h *Hosts) all() []*Host { return slices.Concat(h.All, h.Leaving) }

// SetAside moves the hosts that belong to another cluster from Leaving to Elsewhere. It is
// for the phase that reads the cluster, when the facts are known. A host of which this is
// unknown stays in Leaving: it may be the only one with the cluster.
func (h *Hosts) SetAside() {
	h.move(&h.Leaving, &h.Elsewhere, func(host *Host) bool { return h.Departed(host) == cluster.AnotherCluster })
}

// TakeBack moves hosts from Elsewhere to Leaving: those of which the cluster still has
// something.
func (h *Hosts) TakeBack(belongs func(*Host) bool) { h.move(&h.Elsewhere, &h.Leaving, belongs) }

// move moves hosts from one list to another.
func (h *Hosts) move(from, to *[]*Host, moves func(*Host) bool) {
	var stay []*Host
	for _, host := range *from {
		if moves(host) {
			*to = append(*to, host)
		} else {
			stay = append(stay, host)
		}
	}
	*from = stay
}

// known returns the names of all hosts that may be selected.
func (h *Hosts) known() []string {
	return (&Hosts{All: slices.Concat(h.all(), h.Elsewhere)}).Names()
}

// WithLeaving returns hosts on which a run also works on those that leave the
// cluster.
func (h *Hosts) WithLeaving() *Hosts {
	all := &Hosts{All: h.all()}
	all.SetState(h.State())
	return all
}

// leaves reports whether the host leaves the cluster.
func (h *Host) leaves() bool { return h.Config.State == config.StateAbsent }

// Nodes returns the hosts that are, or will be, nodes of the cluster.
func (h *Hosts) Nodes() []*Host { return h.Where((*Host).isNode) }

// EtcdHosts returns the hosts that run etcd and are not nodes.
func (h *Hosts) EtcdHosts() []*Host { return h.Where((*Host).isEtcdHost) }

// RunsAPIServer reports whether the host is a control plane of the cluster that runs, or
// has run: its facts show the API server. A host that has left the cluster may run that
// of another one. One of which this is unknown counts: the others must know it, because it
// may hold the address of the endpoint.
func (h *Hosts) RunsAPIServer(host *Host) bool {
	f := host.Facts()
	return f != nil && host.isControlPlane() && f.Exists(facts.APIServerManifest) && h.Belongs(host) != cluster.AnotherCluster
}

// Joined reports whether the host was a node of the cluster when the run read its state: a
// host that joins in this run gets its settings and its version when it does. Without an
// answer of the API server, none has joined.
func (h *Hosts) Joined(host *Host) bool {
	state, f := h.State(), host.Facts()
	if !state.Answers() || state.Node(host.Config.Name) == nil || f == nil || f.Joining() {
		return false
	}
	return f.Exists(facts.KubeletConf) && f.Exists(facts.KubeletConfig) && (!host.isControlPlane() || f.Exists(facts.APIServerManifest))
}

// Names returns the names of all hosts.
func (h *Hosts) Names() []string {
	names := make([]string, 0, len(h.All))
	for _, host := range h.All {
		names = append(names, host.Config.Name)
	}
	return names
}

// Where returns the hosts for which selects returns true.
func (h *Hosts) Where(selects func(*Host) bool) []*Host {
	var selected []*Host
	for _, host := range h.All {
		if selects(host) {
			selected = append(selected, host)
		}
	}
	return selected
}

// Seed returns the control plane that has the cluster, or on which it starts: see
// cluster.Seed. It is nil if there is no control plane. Until the facts of the
// hosts are read, it is the first control plane of the inventory.
func (h *Hosts) Seed() *Host {
	if seed := cluster.Seed(h.Observed()); seed >= 0 {
		return h.all()[seed]
	}
	return nil
}
