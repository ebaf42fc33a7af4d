// Package status shows what a cluster is: its hosts, Nodes, versions, etcd members
// and certificates, and what differs from the inventory.
package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/lease"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// Status is the state of a cluster, as `slipway status -o json` shows it.
type Status struct {
	// Cluster is the name in the inventory.
	Cluster string `json:"cluster"`
	// Exists: at least one host belongs to a cluster. Complete: kubeadm init has
	// completed, by slipway's record.
	Exists   bool `json:"exists"`
	Complete bool `json:"complete"`
	// API is why the API server does not answer; empty if it does.
	API string `json:"apiError,omitempty"`
	// Version is that of the control plane: "v1.36.4".
	Version string `json:"version,omitempty"`
	// Fixed are the fields that cannot change.
	Fixed cluster.Fixed `json:"fixed"`
	Hosts []Host        `json:"hosts"`
	// Foreign are the Nodes without a host in the inventory.
	Foreign []cluster.Node `json:"foreignNodes,omitempty"`
	Etcd    []Member       `json:"etcdMembers,omitempty"`
	// Quorum is the arithmetic of the members; absent if none could be asked.
	// EtcdError is why, EtcdAlarms are those of all members.
	Quorum     *Quorum  `json:"etcdQuorum,omitempty"`
	EtcdError  string   `json:"etcdError,omitempty"`
	EtcdAlarms []string `json:"etcdAlarms,omitempty"`
	// APIServers are those of the control planes that have joined.
	APIServers []APIServer `json:"apiServers,omitempty"`
	// Endpoint is absent if the inventory sets none.
	Endpoint *Endpoint `json:"endpoint,omitempty"`
	// Degradations say what redundancy the cluster has lost, a sentence each.
	Degradations []string `json:"degraded,omitempty"`
	// Addons are those that slipway has installed, and those in the inventory.
	Addons []Addon `json:"addons,omitempty"`
	// Lock is who holds the lock of the cluster; absent if nobody does.
	Lock *Lock `json:"lock,omitempty"`
	// Warnings say what somebody has to do about certificates, a sentence each.
	Warnings []string `json:"warnings,omitempty"`
	// Differences say what differs from the inventory, a sentence each.
	Differences []string `json:"differences,omitempty"`
}

// Host is a host of the inventory.
type Host struct {
	Name    string        `json:"name"`
	Address string        `json:"address"`
	Roles   []config.Role `json:"roles"`
	// State is "absent" or "lost" for a host that leaves the cluster.
	State string `json:"state,omitempty"`
	// Unreachable is why slipway cannot read it; empty if it can.
	Unreachable string `json:"unreachable,omitempty"`
	// Off: it does not answer at all. A host that refuses the connection does.
	Off bool `json:"off,omitempty"`
	// Kubelet and Containerd are the versions of the installed programs.
	Kubelet    string `json:"kubelet,omitempty"`
	Containerd string `json:"containerd,omitempty"`
	// StaticPods are the images of the control plane's pods, by component.
	StaticPods map[string]string `json:"staticPods,omitempty"`
	// CertificateDays are the whole days until the first certificate of the host
	// expires, of those that something verifies. Absent without certificates.
	CertificateDays *int `json:"certificateDays,omitempty"`
	// Certificates are those of kubeadm and kubelet.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Node is its Node; absent if it has not joined, or the API is silent.
	Node *cluster.Node `json:"node,omitempty"`
	// Member: etcd has a member of it.
	Member bool `json:"-"`
}

// Addon is an addon, or the pod network.
type Addon struct {
	Name string `json:"name"`
	// Listed: the inventory has it. Installed: slipway has installed it.
	Listed    bool `json:"listed"`
	Installed bool `json:"installed"`
}

// Lock is the installer that holds the lock of the cluster.
type Lock struct {
	// Holder is its user, Run its command, Since when it took the lock (RFC 3339).
	Holder string `json:"holder"`
	Run    string `json:"run"`
	Since  string `json:"since"`
}

// Phase shows the state that earlier phases have read, and asks etcd and the API server
// of each control plane that can be read.
func Phase(show func(Status) error) workflow.Phase {
	return workflow.Phase{
		Name:     "status",
		Title:    "show the state of the cluster",
		Why:      "Shows what exists, and what differs from the inventory.",
		Manual:   []string{"kubectl get nodes -o wide", "etcdctl endpoint status --cluster -w table", "kubeadm certs check-expiration"},
		On:       workflow.Localhost,
		NeedsAll: []string{"cluster"},
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			status, err := of(s.Cluster(), s.Hosts(), ask(ctx, s), time.Now())
			if err != nil {
				return err
			}
			return show(status)
		},
	}
}

// of compares what was observed with the inventory.
func of(inventory *config.Cluster, hosts *workflow.Hosts, l live, now time.Time) (status Status, err error) {
	state := hosts.State()
	status = Status{
		Cluster: inventory.Metadata.Name, Exists: state.Exists, Complete: state.Record != nil,
		Version: state.Version, Fixed: state.Fixed,
	}
	if state.Silent != nil {
		status.API = state.Silent.Error()
	}
	for _, h := range slices.Concat(hosts.All, hosts.Leaving) {
		shown := hostOf(h, state)
		certificates, warnings := certificatesOf(inventory, h, now)
		shown.Certificates, shown.CertificateDays = certificates, firstExpiry(certificates)
		status.Hosts, status.Warnings = append(status.Hosts, shown), append(status.Warnings, warnings...)
	}
	for _, h := range inventory.Lost() {
		status.Hosts = append(status.Hosts, hostOf(&workflow.Host{Config: h}, state))
	}
	for _, node := range state.Nodes {
		if !slices.Contains(inventory.Names(), node.Name) {
			status.Foreign = append(status.Foreign, node)
		}
	}
	status.Etcd, status.EtcdAlarms = membersOf(l, state.Members), l.etcd.Alarms
	if l.etcdErr != nil {
		status.EtcdError = l.etcdErr.Error()
	} else if len(l.etcd.Members) > 0 {
		quorum := l.etcd.Quorum()
		status.Quorum = &Quorum{quorum, quorum.Needed(), quorum.Tolerates()}
	}
	status.APIServers, status.Endpoint = l.apiServers, endpointOf(inventory, hosts)
	status.Degradations = status.Degraded()
	if state.Version != "" {
		status.Addons = addonsOf(inventory, state.Sets)
	}
	if holder, held := lease.Holder(state.Lease); held {
		status.Lock = &Lock{holder.Holder, holder.Run, holder.Since}
	}
	status.Differences, err = differences(inventory, hosts, status)
	return status, err
}

// addonsOf compares the installed pod network and addons with the inventory.
func addonsOf(inventory *config.Cluster, installed []string) []Addon {
	var listed []string
	if inventory.Network.CNI.Name != config.CNINone {
		listed = append(listed, inventory.Network.CNI.Name)
	}
	for _, a := range inventory.Addons {
		listed = append(listed, a.Name)
	}
	names := slices.Concat(listed, installed)
	slices.Sort(names)
	var all []Addon
	for _, name := range slices.Compact(names) {
		all = append(all, Addon{Name: name, Listed: slices.Contains(listed, name), Installed: slices.Contains(installed, name)})
	}
	return all
}

func hostOf(h *workflow.Host, state *cluster.State) Host {
	shown := Host{
		Name: h.Config.Name, Address: h.Config.Address, Roles: h.Config.Roles,
		Node: state.Node(h.Config.Name), Member: h.HasMemberIn(state),
	}
	if h.Config.State != config.StatePresent {
		shown.State = h.Config.State
	}
	if err := h.Unreachable(); err != nil {
		shown.Unreachable, shown.Off = err.Error(), errors.Is(err, host.ErrUnreachable)
	}
	if f := h.Facts(); f != nil {
		shown.Kubelet, shown.Containerd, shown.StaticPods = f.Software.Kubelet, f.Software.Containerd, f.Kubernetes.StaticPods
	}
	return shown
}

// differences lists what a person has to decide or what apply would change.
func differences(inventory *config.Cluster, hosts *workflow.Hosts, status Status) ([]string, error) {
	edits, err := hosts.State().Edits(inventory)
	var all []string
	for _, c := range cluster.Conflicts(hosts.Observed()) {
		all = append(all, c.Host+": "+c.Problem)
	}
	if status.Version != "" {
		for _, d := range edits {
			all = append(all, d.String())
		}
		for _, h := range status.Hosts {
			switch {
			case h.State != "" && !h.left():
				all = append(all, fmt.Sprintf("%s is %s in the inventory: `slipway apply` removes it from the cluster", h.Name, h.State))
			case h.State == "" && h.Node == nil && h.Unreachable == "" && !slices.Contains(h.Roles, config.RoleEtcd):
				all = append(all, h.Name+" has not joined")
			}
		}
	}
	for _, a := range status.Addons {
		switch {
		case !a.Installed:
			all = append(all, fmt.Sprintf("%s is not installed", a.Name))
		case !a.Listed:
			all = append(all, fmt.Sprintf("%s is installed, but not in the inventory", a.Name))
		}
	}
	for _, node := range status.Foreign {
		all = append(all, fmt.Sprintf("node %s is not in the inventory: to remove it, add it with state: absent or lost", node.Name))
	}
	return all, err
}
