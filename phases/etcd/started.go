package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
)

const (
	// answerTimeout bounds the wait for a member that has data. It serves clients when it has
	// a majority, or 5 s after its start (etcd 3.6, --wait-cluster-ready-timeout).
	answerTimeout = time.Minute
	askTimeout    = 5 * time.Second
)

// neverStarted returns an error if the member of a host without data has started before: it
// would start empty, and crash or damage the others. After an interrupted apply, another
// host has data too, but that of an etcd in which this member has not started: a member
// publishes its client URLs when it starts for the first time. The data may also be that of
// an etcd that was removed while its host was off.
func neverStarted(ctx context.Context, s *workflow.Step) error {
	if s.Planning() || s.Facts().Exists(facts.EtcdMember) {
		return nil
	}
	var with []*workflow.Host
	var names []string
	for _, h := range s.Hosts().EtcdHosts() {
		if h.Facts() != nil && h.Facts().Exists(facts.EtcdMember) {
			with, names = append(with, h), append(names, h.Config.Name)
		}
	}
	if len(with) == 0 {
		return nil
	}
	remedy := "if nothing needs the data of etcd any more, delete it: slipway reset --yes --hosts " + strings.Join(names, ",") + ", then slipway apply"
	var members []kube.EtcdMember
	err := retry.Until(ctx, "etcd", func(ctx context.Context) (err error) {
		members, err = membersOf(ctx, with)
		return err
	}, retry.Options{Timeout: answerTimeout, AttemptTimeout: askTimeout, Progress: func(err error) { s.Waiting(err.Error()) }})
	if err != nil {
		return workflow.WithHint(fmt.Errorf("%s has data of etcd, and it is unknown whether this host was a member: %w", strings.Join(names, ", "), err),
			"see `journalctl -u kubelet` and /var/log/pods/kube-system_etcd-* there, fix the problem and rerun `slipway apply` to resume; or, "+remedy)
	}
	if !started(s, members) {
		return nil
	}
	// The kubelet that a killed run has started may have started the member since.
	now, err := facts.Read(ctx, s)
	if err != nil {
		return err
	}
	if now.Exists(facts.EtcdMember) {
		s.Target.SetFacts(now)
		return nil
	}
	return workflow.WithHint(
		fmt.Errorf("%s has the data of an etcd in which the member of this host has started before, and this host has no data", strings.Join(names, ", ")),
		"restore /var/lib/etcd of this host; or, "+remedy)
}

// membersOf returns the members that the first host that answers knows.
func membersOf(ctx context.Context, hosts []*workflow.Host) ([]kube.EtcdMember, error) {
	var errs []error
	for _, h := range hosts {
		members, err := kube.EtcdMembers(ctx, h.Conn)
		if err == nil {
			return members, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", h.Config.Name, err))
	}
	return nil, errors.Join(errs...)
}

// started reports whether the member of the host of s has published its client URLs.
func started(s *workflow.Step, members []kube.EtcdMember) bool {
	ip, _ := s.Target.NodeIP()
	for _, m := range members {
		if kube.IsMemberOf(m, s.Target.Config.Name, ip.String()) {
			return len(m.ClientURLs) > 0
		}
	}
	return false
}
