package kube

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"slipway.io/slipway/provision/host"
)

// EtcdMember is a member of a cluster's etcd.
type EtcdMember struct {
	// ID is decimal in the gateway's answer; etcdctl takes it in hex.
	ID uint64 `json:"ID,string"`
	// Name is empty until the member has started for the first time.
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
	// ClientURLs are empty until the member has started.
	ClientURLs []string `json:"clientURLs"`
	// Learner: the member receives the data and does not vote yet. kubeadm adds members
	// as learners, and promotes those that have started and have the data.
	Learner bool `json:"isLearner"`
}

// Started reports whether the member has started at least once.
func (m EtcdMember) Started() bool { return m.Name != "" }

// Peer returns the peer URL that kubeadm gives the member of a node with this address.
func Peer(address netip.Addr) string {
	return "https://" + net.JoinHostPort(address.String(), "2380")
}

// EtcdClient asks the etcd of one host, through the host's connection and with the client
// certificate that kubeadm created for health checks, which it reads once. Its calls are
// made one after the other.
type EtcdClient struct{ call etcdCaller }

// NewEtcdClient returns a client for the etcd of a host, which must be a host.Dialer.
func NewEtcdClient(h host.Host) EtcdClient { return EtcdClient{localEtcd(h)} }

// EtcdMembers lists the members that the etcd of a host knows: see EtcdClient.
func EtcdMembers(ctx context.Context, h host.Host) ([]EtcdMember, error) {
	return NewEtcdClient(h).Members(ctx)
}

// Members lists the members that this one knows.
func (c EtcdClient) Members(ctx context.Context) ([]EtcdMember, error) {
	members, err := c.call.members(ctx)
	if err != nil {
		return nil, fmt.Errorf("etcd: list members: %w", err)
	}
	return members, nil
}

// RemoveEtcdMember removes a member through the etcd of a control plane that stays,
// with the same connection as EtcdMembers. etcd refuses if the others would have no
// quorum.
func RemoveEtcdMember(ctx context.Context, h host.Host, id uint64) error {
	request := struct {
		ID uint64 `json:"ID,string"`
	}{id}
	if err := localEtcd(h)(ctx, "/v3/cluster/member/remove", request, &struct{}{}); err != nil {
		return fmt.Errorf("etcd: remove member %x: %w", id, err)
	}
	return nil
}
