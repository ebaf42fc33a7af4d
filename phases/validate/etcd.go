package validate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
)

// etcdTimeout bounds a task of etcd: all of them wait for the same answers.
const etcdTimeout = apiRetryTime + 15*time.Second

// etcdTasks check each member, and all of them together.
func etcdTasks(ctx context.Context, r *run) []task {
	health := once(func() (kube.EtcdHealth, error) { return r.settledEtcd(ctx) })
	check := func(name string, of func(kube.EtcdHealth) (string, error)) task {
		return task{target: name, timeout: etcdTimeout, try: func(context.Context) (string, error) {
			found, err := health()
			if err != nil {
				return "", err
			}
			return of(found)
		}}
	}
	var tasks []task
	for _, t := range r.etcdHosts() {
		tasks = append(tasks, check(t.Name, func(h kube.EtcdHealth) (string, error) { return etcdMember(h, t) }))
	}
	for _, endpoint := range r.cluster.Etcd.External.Endpoints {
		tasks = append(tasks, check(endpoint, func(h kube.EtcdHealth) (string, error) { return memberAt(h, endpoint) }))
	}
	return append(tasks, check("quorum", r.quorum))
}

// etcdHosts are the hosts of the inventory that have a member of etcd.
func (r *run) etcdHosts() []target {
	return slices.DeleteFunc(slices.Clone(r.targets), func(t target) bool {
		if r.cluster.ExternalEtcd() {
			return !t.Has(config.RoleEtcd)
		}
		return !t.Has(config.RoleControlPlane)
	})
}

// once calls read for the first caller; the others wait for its answer. A mutex would
// stop the clock of a test.
func once(read func() (kube.EtcdHealth, error)) func() (kube.EtcdHealth, error) {
	var health kube.EtcdHealth
	var err error
	done, turn := false, make(chan struct{}, 1)
	return func() (kube.EtcdHealth, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		if !done {
			health, err = read()
			done = true
		}
		return health, err
	}
}

// readEtcd asks the control planes that are not off, also those that leave the cluster, or
// another etcd through them.
func (r *run) readEtcd(ctx context.Context) (kube.EtcdHealth, error) {
	var hosts []host.Host
	for _, t := range slices.Concat(r.targets, r.leaving) {
		if t.Has(config.RoleControlPlane) && t.failure == nil {
			hosts = append(hosts, t.conn)
		}
	}
	if r.cluster.ExternalEtcd() {
		endpoints, err := cluster.ReadEtcdEndpoints(ctx, r.client)
		if err != nil {
			return kube.EtcdHealth{}, err
		}
		return kube.ReadExternalEtcdHealth(ctx, hosts, endpoints)
	}
	return kube.ReadEtcdHealth(ctx, hosts)
}

// settledEtcd retries until all members are healthy except those of hosts that are
// off or leave, or the time is up.
func (r *run) settledEtcd(ctx context.Context) (health kube.EtcdHealth, err error) {
	_, err = r.retry(ctx, apiRetryTime, func(ctx context.Context) (string, error) {
		read, err := r.etcd(ctx)
		if err != nil {
			return "", err
		}
		health = read
		for _, m := range read.Members {
			if m.Problem != nil && !r.isOff(m.Name) && !r.leaves(m.Name) {
				return "", m.Problem
			}
		}
		return "", nil
	})
	if len(health.Members) > 0 {
		err = nil // its problems are results
	}
	return health, err
}

// etcdMember checks the member of a host.
func etcdMember(h kube.EtcdHealth, t target) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	m := h.Member(t.Name)
	if m == nil {
		return "", errors.New("etcd has no member of this name that has started")
	}
	return healthOf(m)
}

// memberAt checks the member of an etcd that exists at a client URL. One that is down is a
// loss of redundancy: nobody knows whether its host is off.
func memberAt(h kube.EtcdHealth, endpoint string) (string, error) {
	i := slices.IndexFunc(h.Members, func(m kube.EtcdMemberHealth) bool {
		return m.Host == endpoint || slices.Contains(m.ClientURLs, endpoint)
	})
	switch {
	case i < 0 && slices.Contains(h.Silent, endpoint):
		return "", degraded("no member has answered there")
	case i < 0: // a load balancer
		return "answers, with a member that another endpoint reaches too", nil
	case h.Members[i].Problem != nil:
		return "", degraded(h.Members[i].Problem.Error())
	}
	return healthOf(&h.Members[i])
}

// healthOf is the evidence of a member that is healthy.
func healthOf(m *kube.EtcdMemberHealth) (string, error) {
	switch {
	case m.Problem != nil:
		return "", m.Problem
	case m.NotAsked:
		return "", errors.New("the member was not asked: no endpoint of the cluster is known to be its own")
	case !m.Voting:
		return "", errors.New("the member is a learner, and does not vote yet")
	}
	role := "follower"
	if m.Leader {
		role = "leader"
	}
	return fmt.Sprintf("%s, votes, term %d, entry %d applied", role, m.Term, m.Applied), nil
}

// quorum checks all members together.
func (r *run) quorum(h kube.EtcdHealth) (string, error) {
	quorum := h.Quorum()
	leaving, err := r.otherMembers(h)
	switch {
	case err != nil:
		return "", err
	case len(h.Alarms) > 0:
		return "", errors.New("etcd has alarms: " + strings.Join(h.Alarms, ", "))
	case !quorum.Holds(), h.Leader() == "":
		return "", errors.New(quorum.Verdict() + ", no leader that the members agree on")
	}
	evidence := quorum.Verdict() + ", leader " + h.Leader()
	switch {
	case len(leaving) > 0:
		return "", degraded(evidence + "; still a member: " + strings.Join(leaving, ", ") + ", which `slipway apply` removes")
	case quorum.Healthy+quorum.NotAsked < quorum.Members:
		return "", degraded(evidence)
	}
	return evidence, nil
}

// otherMembers returns the members of hosts that leave the cluster. One that is of no
// host of the inventory is an error.
func (r *run) otherMembers(h kube.EtcdHealth) (leaving []string, err error) {
	var others []string
	if len(r.cluster.Etcd.External.Endpoints) > 0 {
		return nil, nil // its members are those of others
	}
	for _, m := range h.Members {
		switch {
		case slices.ContainsFunc(r.etcdHosts(), func(t target) bool { return t.Name == m.Name }):
		case r.leaves(m.Name):
			leaving = append(leaving, m.Name)
		case m.Name == "":
			others = append(others, fmt.Sprintf("%x, which has never started", m.ID))
		default:
			others = append(others, m.Name)
		}
	}
	if len(others) > 0 {
		owner := "control plane"
		if r.cluster.ExternalEtcd() {
			owner = "host with the role etcd"
		}
		return nil, fmt.Errorf("members of no %s of the inventory: %s", owner, strings.Join(others, ", "))
	}
	return leaving, nil
}
