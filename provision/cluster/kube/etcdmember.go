package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"slipway.io/slipway/provision/host"
)

// Voters returns how many of the members vote. Learners do not count for the majority.
func Voters(members []EtcdMember) int {
	n := 0
	for _, m := range members {
		if !m.Learner {
			n++
		}
	}
	return n
}

// IsMemberOf reports whether an etcd member is that of a host. A member has the name of
// its host once it has started. Before, only its peer URL shows the host.
func IsMemberOf(m EtcdMember, name string, addresses ...string) bool {
	if m.Name != "" {
		return m.Name == name
	}
	return slices.ContainsFunc(m.PeerURLs, func(peer string) bool {
		u, err := url.Parse(peer)
		return err == nil && u.Hostname() != "" && slices.Contains(addresses, u.Hostname())
	})
}

// AskEtcdMember returns why a member is not healthy; nil if it is. It is asked at its client
// URLs through a control plane, with the client certificate that kubeadm created there for
// health checks. For the members on known hosts, see ReadEtcdHealth.
func AskEtcdMember(ctx context.Context, through host.Host, m EtcdMember) error {
	config, err := etcdTLS(ctx, through, etcdPKI+"healthcheck-client")
	if err != nil {
		return err
	}
	problem := errors.New("it has no client URL")
	for _, endpoint := range m.ClientURLs {
		status, err := statusAt(ctx, through, config, endpoint)
		switch {
		case err != nil:
			problem = fmt.Errorf("%s does not answer %s: %w", endpoint, through, err)
		case status.ID != m.ID:
			problem = fmt.Errorf("%s is that of member %x", endpoint, status.ID)
		default:
			return status.Unhealthy
		}
	}
	return problem
}
