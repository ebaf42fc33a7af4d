package validate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// errOff is the connection to a host that is powered off.
var errOff = fmt.Errorf("cp-1: connect to 192.0.2.1:22: %w: no route to host", host.ErrUnreachable)

const wantOff = "degraded: the host is unreachable: connect to 192.0.2.1:22: unreachable: no route to host"

// threeControlPlanes is a run on three control planes with an endpoint and healthy
// members of etcd.
func threeControlPlanes() (*run, *kube.EtcdHealth) {
	cluster := &config.Cluster{ControlPlane: config.ControlPlane{Endpoint: "api.test", BindPort: 6444}}
	health := &kube.EtcdHealth{}
	for i, name := range []string{"cp-1", "cp-2", "cp-3"} {
		cluster.Hosts = append(cluster.Hosts, config.Host{Name: name, NodeIP: fmt.Sprintf("192.0.2.%d", i+1), Roles: []config.Role{config.RoleControlPlane}})
		health.Members = append(health.Members, etcdMemberOf(name, uint64(i+1)))
	}
	return &run{
		cluster: cluster, targets: targetsOf(cluster), progress: &progress{say: func(string) {}},
		etcd: func(context.Context) (kube.EtcdHealth, error) { return *health, nil },
	}, health
}

func TestEtcdProbe(t *testing.T) {
	t.Parallel()
	const follower = "passed: follower, votes, term 7, entry 5000 applied"
	for name, test := range map[string]struct {
		change func(*run, *kube.EtcdHealth)
		want   []string // the results of cp-1, cp-2, cp-3 and the quorum
	}{
		"three members are healthy": {
			func(*run, *kube.EtcdHealth) {},
			[]string{
				"passed: leader, votes, term 7, entry 5000 applied", follower, follower,
				"passed: 3 members, 2 needed, 3 healthy: tolerates 1 failure, leader cp-1",
			},
		},
		"the first control plane is off": {
			func(r *run, h *kube.EtcdHealth) {
				r.targets[0].failure = errOff
				h.Members[0].Problem, h.Members[0].Leader, h.Members[1].Leader = errors.New("x"), false, true
			},
			[]string{
				wantOff, "passed: leader, votes, term 7, entry 5000 applied", follower,
				"degraded: 3 members, 2 needed, 2 healthy: tolerates no failure, leader cp-2",
			},
		},
		"a member of a host that runs is silent": {
			func(_ *run, h *kube.EtcdHealth) { h.Members[2].Problem = errors.New("connection refused") },
			[]string{
				"passed: leader, votes, term 7, entry 5000 applied", follower, "failed: connection refused",
				"degraded: 3 members, 2 needed, 2 healthy: tolerates no failure, leader cp-1",
			},
		},
		"a member is a learner": {
			func(_ *run, h *kube.EtcdHealth) { h.Members[2].Voting = false },
			[]string{
				"passed: leader, votes, term 7, entry 5000 applied", follower, "failed: the member is a learner, and does not vote yet",
				"passed: 2 members, 2 needed, 2 healthy: tolerates no failure, leader cp-1",
			},
		},
		"a control plane has no member": {
			func(_ *run, h *kube.EtcdHealth) { h.Members = h.Members[:2] },
			[]string{
				"passed: leader, votes, term 7, entry 5000 applied", follower, "failed: etcd has no member of this name that has started",
				"passed: 2 members, 2 needed, 2 healthy: tolerates no failure, leader cp-1",
			},
		},
		"a member has never started": {
			func(_ *run, h *kube.EtcdHealth) {
				h.Members = append(h.Members, kube.EtcdMemberHealth{EtcdMember: kube.EtcdMember{ID: 0xabc}, Voting: true})
			},
			[]string{
				"passed: leader, votes, term 7, entry 5000 applied", follower, follower,
				"failed: members of no control plane of the inventory: abc, which has never started",
			},
		},
		"a lost host still has a member": {
			func(r *run, h *kube.EtcdHealth) {
				r.cluster.Leaving = []config.Host{{Name: "cp-0", State: config.StateLost}}
				h.Members = append(h.Members, kube.EtcdMemberHealth{
					EtcdMember: kube.EtcdMember{ID: 9, Name: "cp-0"}, Voting: true, Problem: errors.New("x"),
				})
			},
			[]string{
				"passed: leader, votes, term 7, entry 5000 applied", follower, follower,
				"degraded: 4 members, 3 needed, 3 healthy: tolerates no failure, leader cp-1; still a member: cp-0, which `slipway apply` removes",
			},
		},
		"etcd is out of space": {
			func(_ *run, h *kube.EtcdHealth) { h.Alarms = []string{"memberID:2 alarm:NOSPACE"} },
			[]string{
				"passed: leader, votes, term 7, entry 5000 applied", follower, follower,
				"failed: etcd has alarms: memberID:2 alarm:NOSPACE",
			},
		},
		"nobody leads": {
			func(_ *run, h *kube.EtcdHealth) { h.Members[0].Leader = false },
			[]string{
				follower, follower, follower,
				"failed: 3 members, 2 needed, 3 healthy: tolerates 1 failure, no leader that the members agree on",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, health := threeControlPlanes()
			test.change(r, health)
			checkResults(t, r, "etcd", test.want)
		})
	}
}

// checkResults compares the results of one kind of probe, without their targets.
func checkResults(t *testing.T, r *run, probe string, want []string) {
	t.Helper()
	var got []string
	for _, p := range probed(t, r, probe) {
		got = append(got, fmt.Sprintf("%s: %s%s", p.Status, p.Evidence, p.Error))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEtcdIsAskedAgainUntilItIsHealthy(t *testing.T) {
	t.Parallel()
	r, health := threeControlPlanes()
	asked := 0
	r.etcd = func(context.Context) (kube.EtcdHealth, error) {
		asked++
		h := *health
		h.Members = append([]kube.EtcdMemberHealth(nil), h.Members...)
		switch {
		case asked == 1:
			return kube.EtcdHealth{}, errors.New("refused")
		case asked < 4:
			h.Members[1].Problem = errors.New("is 2000 entries behind the leader")
		}
		return h, nil
	}
	for _, p := range probed(t, r, "etcd") {
		if p.Status != report.ProbePassed {
			t.Errorf("%s: %s", p.Target, p.Error)
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times", asked)
	}
}

func TestEtcdThatDoesNotAnswerFails(t *testing.T) {
	t.Parallel()
	r, _ := threeControlPlanes()
	r.etcd = func(context.Context) (kube.EtcdHealth, error) { return kube.EtcdHealth{}, errors.New("refused") }
	checkResults(t, r, "etcd", []string{"failed: refused", "failed: refused", "failed: refused", "failed: refused"})
}

func TestTheMembersOnHostsOfEtcd(t *testing.T) {
	t.Parallel()
	r, _ := threeControlPlanes()
	for _, name := range []string{"etcd-1", "etcd-2", "etcd-3"} {
		h := config.Host{Name: name, Roles: []config.Role{config.RoleEtcd}}
		r.cluster.Hosts = append(r.cluster.Hosts, h)
		r.targets = append(r.targets, target{Host: h})
	}
	r.targets[len(r.targets)-1].failure = errOff
	r.etcd = func(context.Context) (kube.EtcdHealth, error) {
		down := memberOf("etcd-3", 3)
		down.Problem = errors.New("no endpoint that answers has it")
		leader := memberOf("etcd-1", 1)
		leader.Leader = true
		return kube.EtcdHealth{Members: []kube.EtcdMemberHealth{leader, memberOf("etcd-2", 2), down}}, nil
	}
	checkResults(t, r, "etcd", []string{
		"passed: leader, votes, term 0, entry 0 applied", "passed: follower, votes, term 0, entry 0 applied", "degraded: the host is unreachable: " + errOff.Error(),
		"degraded: 3 members, 2 needed, 2 healthy: tolerates no failure, leader etcd-1",
	})
	for _, task := range nodeTasks(t.Context(), r) {
		if strings.HasPrefix(task.target, "etcd") {
			t.Errorf("%s is expected to be a node", task.target)
		}
	}
}

func TestTheMembersOfAnEtcdThatExists(t *testing.T) {
	t.Parallel()
	r, _ := threeControlPlanes()
	r.cluster.Etcd.External.Endpoints = []string{"https://192.0.2.31:2379", "https://192.0.2.32:2379", "https://192.0.2.33:2379"}
	r.etcd = func(context.Context) (kube.EtcdHealth, error) {
		theirs, down := memberOf("theirs-1", 1), memberOf("theirs-2", 2)
		theirs.Leader, theirs.Host = true, "https://192.0.2.31:2379"
		down.Problem, down.ClientURLs = errors.New("refused"), []string{"https://192.0.2.32:2379"}
		return kube.EtcdHealth{Members: []kube.EtcdMemberHealth{theirs, down}, Silent: r.cluster.Etcd.External.Endpoints[1:]}, nil
	}
	checkResults(t, r, "etcd", []string{
		"passed: leader, votes, term 0, entry 0 applied", "degraded: refused", "degraded: no member has answered there",
		"failed: 2 members, 2 needed, 1 healthy: no quorum, no leader that the members agree on",
	})
}

// A member that was not asked is not down.
func TestTheMembersBehindLoadBalancers(t *testing.T) {
	t.Parallel()
	r, _ := threeControlPlanes()
	r.cluster.Etcd.External.Endpoints = []string{"https://lb-1.example:2379", "https://lb-2.example:2379"}
	r.etcd = func(context.Context) (kube.EtcdHealth, error) {
		first, second, third := memberOf("theirs-1", 1), memberOf("theirs-2", 2), memberOf("theirs-3", 3)
		first.Host, second.Leader, second.NotAsked, third.NotAsked = "https://lb-1.example:2379", true, true, true
		return kube.EtcdHealth{Members: []kube.EtcdMemberHealth{first, second, third}}, nil
	}
	checkResults(t, r, "etcd", []string{
		"passed: follower, votes, term 0, entry 0 applied", "passed: answers, with a member that another endpoint reaches too",
		"passed: 3 members, 2 needed, 1 healthy, 2 not asked: a majority answers, leader theirs-2",
	})
}

// memberOf is a healthy member.
func memberOf(name string, id uint64) kube.EtcdMemberHealth {
	return kube.EtcdMemberHealth{EtcdMember: kube.EtcdMember{ID: id, Name: name}, Voting: true}
}

func TestAPIServersAndTheEndpoint(t *testing.T) {
	t.Parallel()
	r, _ := threeControlPlanes()
	r.targets = append(r.targets, target{Host: config.Host{Name: "w-1"}})
	for i := range r.targets {
		r.targets[i].conn = named(r.targets[i].Name)
	}
	r.targets[0].failure = errOff
	r.readyAt = func(_ context.Context, from host.Host, address string) (time.Time, error) {
		switch from.String() + " " + address {
		case "cp-2 192.0.2.2:6444", "cp-2 api.test:6443", "w-1 api.test:6443":
			return testExpiry, nil
		}
		return time.Time{}, errors.New(from.String() + " to " + address + ": refused")
	}
	checkResults(t, r, "api-server", []string{
		wantOff, "passed: 192.0.2.2:6444 is ready; its certificate is valid for the address until 2027-11-30",
		"failed: cp-3 to 192.0.2.3:6444: refused",
	})
	const answers = "passed: api.test:6443 is ready; its certificate is valid for the address until 2027-11-30"
	checkResults(t, r, "endpoint", []string{"skipped: cp-1 is unreachable", answers, "failed: cp-3 to api.test:6443: refused", answers})
	r.targets[0].failure = fmt.Errorf("cp-1: %w", host.ErrAuth)
	if got := probed(t, r, "endpoint")[0]; got.Status != report.ProbeFailed {
		t.Errorf("a host that refuses the key: %+v", got)
	}
}

// named is a host that is only named.
type named string

func (n named) String() string { return string(n) }

func (named) Query(context.Context, host.Cmd) (host.Result, error) { panic("unused") }
func (named) Run(context.Context, host.Cmd) (host.Result, error)   { panic("unused") }
func (named) ReadFile(context.Context, string) ([]byte, error)     { panic("unused") }
func (named) Differs(context.Context, ...host.File) ([]host.File, error) {
	panic("unused")
}
func (named) WriteFiles(context.Context, ...host.File) error { panic("unused") }
func (named) Upload(context.Context, ...host.Blob) error     { panic("unused") }

func TestDNSReplicasProbe(t *testing.T) {
	t.Parallel()
	pod := func(name, node, ready string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: coredns-%s, namespace: kube-system, labels: {k8s-app: kube-dns}},
			spec: {nodeName: %s}, status: {phase: Running, conditions: [{type: Ready, status: "%s"}]}}`, name, node, ready)
	}
	const one = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 1}}"
	cordoned := `{apiVersion: v1, kind: Node, metadata: {name: w-1}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: "True"}]}}`
	for name, test := range map[string]struct {
		objects []string
		off     bool
		want    string
	}{
		"on two nodes": {nil, false, "passed: 2 of 2 replicas ready, on cp-1, w-1"},
		"both on one of two nodes": {
			[]string{pod("b", "cp-1", "True")}, false, "degraded: 2 of 2 replicas ready, on cp-1; w-1 can take one: run `slipway apply`",
		},
		"both on the only node that can take them": {
			[]string{pod("b", "cp-1", "True"), cordoned}, false, "passed: 2 of 2 replicas ready, on cp-1; no other node can take one",
		},
		"one is not ready":              {[]string{pod("b", "w-1", "False")}, false, "degraded: 1 of 2 replicas ready, on cp-1"},
		"one was on a host that is off": {[]string{pod("a", "cp-1", "False")}, true, "degraded: 1 of 2 replicas ready, on w-1"},
		"none is ready":                 {[]string{pod("a", "cp-1", "False"), pod("b", "w-1", "False")}, true, "failed: no replica is ready"},
		"one replica that could not be anywhere": {
			[]string{one, pod("b", "w-9", "False"), pod("a", "cp-1", "True")},
			false,
			"degraded: 1 of 1 replicas ready, on cp-1; scale deployment kube-system/coredns to 2 replicas",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkInMemory(t, test.objects, test.off, "dns-replicas", []string{test.want})
		})
	}
}

// checkInMemory is checkResults on a fake cluster whose API server is in memory.
func checkInMemory(t *testing.T, objects []string, off bool, probe string, want []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := testClusterOn(t, kubetest.NewInMemory(t))
		for _, object := range objects {
			c.Put(object)
		}
		r := c.run()
		if off {
			r.targets[0].failure = errOff
		}
		for _, d := range definitions() {
			if d.name != probe {
				continue
			}
			var got []string
			for _, p := range r.runProbes(t.Context(), []definition{d})[probe] {
				got = append(got, fmt.Sprintf("%s: %s%s", p.Status, p.Evidence, p.Error))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestAHostThatIsOffDegradesTheCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testClusterOn(t, kubetest.NewInMemory(t))
		r := c.run()
		r.targets[0].failure = errOff
		r.etcd = func(context.Context) (kube.EtcdHealth, error) {
			h := kube.EtcdHealth{Members: []kube.EtcdMemberHealth{etcdMemberOf("cp-1", 2), etcdMemberOf("cp-2", 1), etcdMemberOf("cp-3", 3)}}
			h.Members[0].Problem = errors.New("no control plane that answers has it")
			return h, nil
		}
		for _, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"} {
			for _, name := range []string{"cp-2", "cp-3"} {
				c.Put(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s-%s, namespace: kube-system}, status: {conditions: [{type: Ready, status: "True"}]}}`, component, name))
			}
		}
		r.targets = append(r.targets, target{Host: config.Host{Name: "cp-2", Roles: []config.Role{config.RoleControlPlane}}},
			target{Host: config.Host{Name: "cp-3", Roles: []config.Role{config.RoleControlPlane}}})
		c.Put(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 2, availableReplicas: 1}}`)
		c.Put(`{apiVersion: v1, kind: Pod, metadata: {name: coredns-a, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {nodeName: cp-1}, status: {phase: Running}}`)
		// The node controller notices it after 40 s.
		time.AfterFunc(40*time.Second, func() {
			c.Put(`{apiVersion: v1, kind: Node, metadata: {name: cp-1}, status: {conditions: [{type: Ready, status: Unknown}]}}`)
		})
		start := time.Now()
		var found report.ValidationReport
		selection := Selection{Skip: append([]string{"nodes-ready", "api-server"}, workloadProbes...)}
		if err := r.validate(t.Context(), Options{Selection: selection}, &found); err != nil {
			t.Error(err)
		}
		var notable []string
		for _, p := range found.Probes {
			if p.Status != report.ProbePassed && p.Status != report.ProbeSkipped {
				notable = append(notable, fmt.Sprintf("%s %s: %s: %s%s", p.Name, p.Target, p.Status, p.Evidence, p.Error))
			}
			if strings.Contains(p.Target, "cp-1 ->") || strings.Contains(p.Target, "-> cp-1") {
				t.Errorf("%s %s", p.Name, p.Target)
			}
		}
		want := []string{
			"control-plane-pods coredns: degraded: 1 of 2 replicas ready",
			"etcd cp-1: " + wantOff,
			"etcd quorum: degraded: 3 members, 2 needed, 2 healthy: tolerates no failure, leader cp-2",
			"dns-replicas coredns: degraded: 1 of 2 replicas ready, on w-1",
			"test-pods cp-1: degraded: the host is unreachable, and its node is not Ready",
		}
		if diff := cmp.Diff(want, notable); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(start); took < 40*time.Second || took > 2*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAHostThatOnlySlipwayCannotReachKeepsItsTestPod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testClusterOn(t, kubetest.NewInMemory(t))
		r := c.run()
		r.targets[0].failure = errOff
		var found report.ValidationReport
		if err := r.validate(t.Context(), Options{Selection: Selection{Only: []string{"logs", "nodes-ready"}}}, &found); err != nil || found.Degraded != 1 || found.Failed != 0 {
			t.Errorf("%d degraded, %d failed: %v", found.Degraded, found.Failed, err)
		}
		if err := r.validate(t.Context(), Options{Selection: Selection{Only: []string{"nodes-ready"}}, Strict: true}, &found); err == nil ||
			!strings.Contains(err.Error(), "nodes-ready cp-1: the host is unreachable") {
			t.Errorf("strict: %v", err)
		}
	})
}

func TestNodesOfHostsThatLeaveAreNamed(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	c.Put("{apiVersion: v1, kind: Node, metadata: {name: w-0}}")
	r := c.run()
	r.cluster.Leaving = []config.Host{{Name: "w-0", State: config.StateAbsent}}
	if got := failing(t, nodeTasks(t.Context(), r), "no others"); got != "still registered: w-0, which `slipway apply` removes" {
		t.Error(got)
	}
}

func TestHostsAreConnectedToUnlessAnEarlierPhaseHas(t *testing.T) {
	t.Parallel()
	f := workflowtest.New(t, inventory)
	if got := connect(t.Context(), f.Hosts); len(got) != 2 || got[0].failure != nil {
		t.Errorf("got %+v", got)
	}
	f.Hosts.All[0].SetFacts(nil)
	f.Host("cp-1").ExpectQuery("true").Error(errOff)
	f.Hosts.All[1].SetUnreachable(host.ErrAuth)
	got := connect(t.Context(), f.Hosts)
	if !got[0].off() || got[1].off() || got[1].failure == nil {
		t.Errorf("got %+v", got)
	}
}

func TestEtcdOfControlPlanesThatLeaveIsAskedToo(t *testing.T) {
	t.Parallel()
	c, f := newTestCluster(t), workflowtest.New(t, inventory+`
- {name: cp-2, address: 192.0.2.3, roles: [control-plane], state: absent}
- {name: cp-3, address: 192.0.2.4, roles: [control-plane], state: absent}
`)
	f.Serve(c.Server)
	f.Bundle = bundleOf(t, testImage)
	for _, name := range []string{"cp-1", "cp-2", "cp-3"} {
		f.ServeEtcd(name, `{"ID":"1","name":"cp-1"}`, `{"ID":"2","name":"cp-2"}`, `{"ID":"3","name":"cp-3"}`)
	}
	var found report.ValidationReport
	if err := f.Apply(Phase(Options{Selection: Selection{Only: []string{"etcd"}}}, &found)); err != nil {
		t.Error(err)
	}
	const want = "etcd quorum: 3 members, 2 needed, 3 healthy: tolerates 1 failure, leader cp-1; still a member: cp-2, cp-3, which `slipway apply` removes"
	if diff := cmp.Diff([]string{want}, found.Degradations()); diff != "" {
		t.Error(diff)
	}
}

func TestALostHostHasNoTestPod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testClusterOn(t, kubetest.NewInMemory(t))
		r := c.run()
		// Apply has removed w-9 already.
		r.cluster.Leaving = []config.Host{{Name: "w-0", State: config.StateLost}, {Name: "w-9", State: config.StateLost}}
		c.Put(`{apiVersion: v1, kind: Node, metadata: {name: w-0}, status: {conditions: [{type: Ready, status: Unknown}]}}`)
		var found report.ValidationReport
		if err := r.validate(t.Context(), Options{Selection: Selection{Only: []string{"logs"}}}, &found); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"test-pods w-0: the host is unreachable, and its node is not Ready"}, found.Degradations()); diff != "" {
			t.Error(diff)
		}
	})
}
