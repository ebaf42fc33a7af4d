package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/cluster/kube"
)

// memberTimeout bounds a call of etcd.
const memberTimeout = 30 * time.Second

// Etcd is what the etcd of a cluster answered on some of its control planes.
type Etcd struct {
	// Members are those of the first host in Answered.
	Members []kube.EtcdMember
	// Answered are the hosts whose etcd answered.
	Answered []*Host
}

// ReadEtcd reads the members of etcd on each of the hosts. It fails only if none of
// them answers.
func ReadEtcd(ctx context.Context, hosts []*Host) (*Etcd, error) {
	lists, errs := make([][]kube.EtcdMember, len(hosts)), make([]error, len(hosts))
	var group errgroup.Group
	for i, h := range hosts {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, memberTimeout)
			defer cancel()
			if lists[i], errs[i] = kube.EtcdMembers(ctx, h.Conn); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", h.Config.Name, errs[i])
			}
			return nil
		})
	}
	_ = group.Wait()
	found := &Etcd{}
	for i, h := range hosts {
		if errs[i] != nil {
			continue
		}
		if found.Answered = append(found.Answered, h); len(found.Answered) == 1 {
			found.Members = lists[i]
		}
	}
	if len(found.Answered) == 0 {
		return nil, fmt.Errorf("no etcd answers: %w", errors.Join(errs...))
	}
	return found, nil
}

// Quorum is the arithmetic of the members that vote. Learners are not among those that
// answered: they do not list members.
func (e *Etcd) Quorum() kube.Quorum {
	return kube.Quorum{Members: kube.Voters(e.Members), Healthy: len(e.Answered)}
}

// HasMember reports whether a member of etcd is that of the host.
func (h *Host) HasMember(m kube.EtcdMember) bool {
	addresses := []string{h.Config.NodeIP, h.Config.Address}
	if ip, err := h.NodeIP(); err == nil {
		addresses = append(addresses, ip.String())
	}
	return kube.IsMemberOf(m, h.Config.Name, addresses...)
}

// Member returns the member of a host, or nil.
func (e *Etcd) Member(name string) *kube.EtcdMember {
	i := slices.IndexFunc(e.Members, func(m kube.EtcdMember) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &e.Members[i]
}

// RemoveEtcdMember removes a member through a control plane whose etcd answers, and
// counts the change. name is the host of the member.
func (s *Step) RemoveEtcdMember(ctx context.Context, through *Host, name string, id uint64) error {
	if !s.run.Plan {
		ctx, cancel := context.WithTimeout(ctx, memberTimeout)
		defer cancel()
		if err := kube.RemoveEtcdMember(ctx, through.Conn, id); err != nil {
			return err
		}
	}
	s.Changed("remove etcd member %s", name)
	return nil
}
