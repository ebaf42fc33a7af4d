package staticpod

import (
	"context"
	"errors"
	"fmt"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// MoveLeader makes another member of etcd the leader if the one of the step's host is, so
// that it can stop: without, requests wait for an election. It returns an error if the
// others would lose the majority without this one, unless there are at most two members,
// which cannot be helped.
func MoveLeader(ctx context.Context, s *workflow.Step) error {
	etcd := kube.NewEtcdClient(s.Target.Conn)
	status, err := etcd.Status(ctx)
	if err != nil {
		return err
	}
	members, err := etcd.Members(ctx)
	if err != nil {
		return err
	}
	var healthy []kube.EtcdMember
	var problems []error
	for _, m := range members {
		if m.Learner || m.ID == status.ID {
			continue
		}
		if err := kube.AskEtcdMember(ctx, s.Target.Conn, m); err != nil {
			problems = append(problems, fmt.Errorf("member %s: %w", m.Name, err))
			continue
		}
		healthy = append(healthy, m)
	}
	if voters := kube.Voters(members); voters > 2 && len(healthy) < voters/2+1 {
		return workflow.WithHint(fmt.Errorf("etcd would lose its majority without the member of %s: %w", s.Target.Config.Name, errors.Join(problems...)),
			"make the other members healthy first: see `slipway status`")
	}
	if !status.IsLeader() || len(healthy) == 0 {
		return nil
	}
	to := healthy[0]
	if !s.Planning() {
		if err := etcd.MoveLeader(ctx, to.ID); err != nil {
			return err
		}
	}
	s.Changed("move the leadership of etcd to %s", to.Name)
	return nil
}
