package status

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// Member is a member of etcd.
type Member struct {
	// Name is empty until the member has started for the first time. ID is in hex,
	// as etcdctl takes it.
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	PeerURLs []string `json:"peerURLs"`
	// Host is the control plane that has it; empty if none that answers does.
	Host string `json:"host,omitempty"`
	// Voting: it is not a learner. Leader: it leads the others.
	Voting  bool `json:"voting"`
	Healthy bool `json:"healthy"`
	Leader  bool `json:"leader"`
	// NotAsked: nothing is known of it. No endpoint of external etcd is known to be its own.
	NotAsked bool `json:"notAsked,omitempty"`
	// Problem is why it is not healthy.
	Problem string `json:"problem,omitempty"`
}

// Quorum is the arithmetic of etcd's members.
type Quorum struct {
	kube.Quorum
	// Needed is how many members are a majority, Tolerates how many more may fail.
	Needed    int `json:"needed"`
	Tolerates int `json:"tolerates"`
}

// APIServer is the API server of a control plane, at its own address.
type APIServer struct {
	Host    string `json:"host"`
	Address string `json:"address,omitempty"`
	Ready   bool   `json:"ready"`
	// Problem is why it is not ready.
	Problem string `json:"problem,omitempty"`
}

// Endpoint is controlPlane.endpoint of the inventory.
type Endpoint struct {
	// Address is "host:port".
	Address string `json:"address"`
	// LoadBalancer is the type of the load balancer.
	LoadBalancer string `json:"loadBalancer"`
	// Holders are the hosts that have the address on an interface: one, if the control
	// planes share it.
	Holders []string `json:"holders,omitempty"`
}

// live is what the phase asks the control planes itself.
type live struct {
	etcd       kube.EtcdHealth
	etcdErr    error
	apiServers []APIServer
}

// ask asks etcd and the API server of each control plane that is a part of the cluster
// and can be read, also of one that leaves it. What does not answer is part of the answer.
func ask(ctx context.Context, s *workflow.Step) live {
	var l live
	var members []host.Host
	for _, h := range s.Hosts().WithLeaving().ControlPlanes() {
		if f := h.Facts(); f != nil && f.Member() {
			members = append(members, h.Conn)
		}
	}
	var group errgroup.Group
	switch {
	case s.Cluster().ExternalEtcd() && s.Hosts().State().Exists:
		group.Go(func() error {
			l.etcd, l.etcdErr = askExternalEtcd(ctx, s)
			return nil
		})
	case len(members) > 0:
		group.Go(func() error {
			l.etcd, l.etcdErr = kube.ReadEtcdHealth(ctx, members)
			return nil
		})
	}
	group.Go(func() error {
		l.apiServers = askAPIServers(ctx, s)
		return nil
	})
	_ = group.Wait()
	return l
}

// askExternalEtcd asks an etcd that does not run on the control planes, from one of them.
func askExternalEtcd(ctx context.Context, s *workflow.Step) (kube.EtcdHealth, error) {
	// What is not known is a member that is not healthy.
	endpoints, err := s.Hosts().EtcdEndpoints(s.Cluster())
	if len(endpoints) == 0 {
		return kube.EtcdHealth{}, err
	}
	var planes []host.Host
	for _, h := range s.Hosts().WithLeaving().ControlPlanes() {
		if f := h.Facts(); f != nil && f.Entrance() {
			planes = append(planes, h.Conn)
		}
	}
	return kube.ReadExternalEtcdHealth(ctx, planes, endpoints)
}

// askAPIServers asks each API server at its own address.
func askAPIServers(ctx context.Context, s *workflow.Step) []APIServer {
	if !s.Hosts().State().Exists {
		return nil
	}
	client, err := s.Kube(ctx)
	controlPlanes := slices.DeleteFunc(s.Hosts().WithLeaving().ControlPlanes(), func(h *workflow.Host) bool {
		return !h.Config.Stays() && h.Facts() == nil // it may have left
	})
	answers := make([]APIServer, len(controlPlanes))
	var group errgroup.Group
	for i, h := range controlPlanes {
		answers[i].Host = h.Config.Name
		group.Go(func() error {
			err := err
			if err == nil {
				answers[i].Address, err = ready(ctx, client, h, s.Cluster().ControlPlane.BindPort)
			}
			if answers[i].Ready = err == nil; err != nil {
				answers[i].Problem = err.Error()
			}
			return nil
		})
	}
	_ = group.Wait()
	return slices.DeleteFunc(answers, func(a APIServer) bool { return a.Problem == errNotJoined.Error() })
}

// errNotJoined: the host has no API server yet.
var errNotJoined = errors.New("the host has not joined")

func ready(ctx context.Context, client *kube.Client, h *workflow.Host, port int) (address string, err error) {
	switch {
	case h.Unreachable() != nil:
		return "", errors.New("the host is unreachable")
	case h.Facts() == nil || !h.Facts().Joined():
		return "", errNotJoined
	}
	ip, err := h.NodeIP()
	if err != nil {
		return "", err
	}
	address = net.JoinHostPort(ip.String(), strconv.Itoa(port))
	_, err = client.ReadyAt(ctx, h.Conn, address)
	return address, err
}

// membersOf are the members of etcd: those that were asked, else those that are known.
func membersOf(l live, known []kube.EtcdMember) []Member {
	var members []Member
	for _, m := range l.etcd.Members {
		shown := Member{
			Name: m.Name, ID: fmt.Sprintf("%x", m.ID), PeerURLs: m.PeerURLs, Host: m.Host,
			Voting: m.Voting, Healthy: m.Problem == nil && !m.NotAsked, Leader: m.Leader, NotAsked: m.NotAsked,
		}
		if m.Problem != nil {
			shown.Problem = m.Problem.Error()
		}
		members = append(members, shown)
	}
	if members == nil {
		for _, m := range known {
			members = append(members, Member{Name: m.Name, ID: fmt.Sprintf("%x", m.ID), PeerURLs: m.PeerURLs, Problem: "unknown"})
		}
	}
	return members
}

// endpointOf finds the hosts that have the address of the endpoint.
func endpointOf(inventory *config.Cluster, hosts *workflow.Hosts) *Endpoint {
	if inventory.ControlPlane.Endpoint == "" {
		return nil
	}
	e := &Endpoint{Address: inventory.Endpoint(""), LoadBalancer: inventory.ControlPlane.LoadBalancer.Type}
	addr, err := netip.ParseAddr(inventory.EndpointHost())
	if err != nil {
		return e
	}
	for _, h := range hosts.WithLeaving().All {
		if f := h.Facts(); f != nil && f.HasAddress(addr) {
			e.Holders = append(e.Holders, h.Config.Name)
		}
	}
	return e
}

// Degraded says what redundancy a cluster that works has lost, a sentence each.
func (s Status) Degraded() []string {
	if !s.Exists || s.API != "" {
		return nil
	}
	var all []string
	for _, h := range s.Hosts {
		if h.Off && !h.left() {
			all = append(all, h.Name+" is unreachable")
		}
	}
	for _, a := range s.APIServers {
		if !a.Ready && !s.off(a.Host) && !s.leaves(a.Host) {
			all = append(all, fmt.Sprintf("the API server of %s is not ready: %s", a.Host, a.Problem))
		}
	}
	for _, m := range s.Etcd {
		switch {
		case m.Problem == "unknown": // EtcdError says why
		case !m.Healthy && !m.NotAsked && !s.off(m.Name):
			all = append(all, fmt.Sprintf("the etcd member %s is not healthy: %s", m.title(), m.Problem))
		case !m.Voting:
			all = append(all, fmt.Sprintf("the etcd member %s does not vote", m.title()))
		}
	}
	if s.EtcdError != "" {
		all = append(all, "etcd: "+s.EtcdError)
	}
	for _, alarm := range s.EtcdAlarms {
		all = append(all, "etcd has the alarm "+alarm)
	}
	return append(all, s.addressProblem()...)
}

// addressProblem says that not exactly one host has the address that the control planes
// share. While hosts are off, one of them may have it.
func (s Status) addressProblem() []string {
	e := s.Endpoint
	shared := e != nil && slices.Contains([]string{config.LoadBalancerKeepalived, config.LoadBalancerKubeVIP}, e.LoadBalancer)
	if !shared || net.ParseIP(e.host()) == nil {
		return nil
	}
	switch {
	case len(e.Holders) > 1:
		return []string{fmt.Sprintf("more than one host has the address %s: %s", e.host(), strings.Join(e.Holders, ", "))}
	case len(e.Holders) == 0 && !slices.ContainsFunc(s.Hosts, func(h Host) bool { return h.Unreachable != "" && !h.left() }):
		return []string{"no host has the address " + e.host()}
	}
	return nil
}

func (e Endpoint) host() string {
	name, _, _ := net.SplitHostPort(e.Address)
	return name
}

func (s Status) off(name string) bool {
	return slices.ContainsFunc(s.Hosts, func(h Host) bool { return h.Name == name && h.Off })
}

// leaves reports whether `slipway apply` removes the host.
func (s Status) leaves(name string) bool {
	return slices.ContainsFunc(s.Hosts, func(h Host) bool { return h.Name == name && h.State != "" })
}

// left reports whether the host has left the cluster.
func (h Host) left() bool { return h.State != "" && h.Node == nil && !h.Member }

func (m Member) title() string {
	if m.Name == "" {
		return m.ID + ", which has never started,"
	}
	return m.Name
}
