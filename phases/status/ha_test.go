package status

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const ha = `
controlPlane:
  endpoint: 192.0.2.100
  loadBalancer: {type: keepalived}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`

// highlyAvailable is a cluster of three control planes, cp-2 of which has the address,
// and what they answer.
func highlyAvailable(t *testing.T) (*workflowtest.Fixture, live) {
	t.Helper()
	f := workflowtest.New(t, ha)
	f.Hosts.SetState(&cluster.State{Exists: true, Record: &cluster.Record{}})
	holds(f, "cp-2")
	var l live
	for i, name := range []string{"cp-1", "cp-2", "cp-3"} {
		l.etcd.Members = append(l.etcd.Members, kube.EtcdMemberHealth{
			EtcdMember: kube.EtcdMember{ID: uint64(i + 1), Name: name}, Host: name, Voting: true, Leader: i == 0,
		})
		l.apiServers = append(l.apiServers, APIServer{Host: name, Address: fmt.Sprintf("192.0.2.1%d:6444", i+1), Ready: true})
	}
	return f, l
}

// holds gives a host the address of the endpoint.
func holds(f *workflowtest.Fixture, name string) {
	addresses := &f.Facts(name).Addresses
	*addresses = append(*addresses, facts.Address{Interface: "eth0", Prefix: netip.MustParsePrefix("192.0.2.100/32")})
}

// turnOff makes a host unreachable.
func turnOff(f *workflowtest.Fixture, i int) {
	f.Hosts.All[i].SetFacts(nil)
	f.Hosts.All[i].SetUnreachable(fmt.Errorf("%s: %w: no route to host", f.Hosts.All[i].Config.Name, host.ErrUnreachable))
}

func TestStatusOfAHighlyAvailableCluster(t *testing.T) {
	t.Parallel()
	f, l := highlyAvailable(t)
	s, err := of(f.Cluster, f.Hosts, l, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Endpoint{Address: "192.0.2.100:6443", LoadBalancer: "keepalived", Holders: []string{"cp-2"}}, s.Endpoint); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&Quorum{kube.Quorum{Members: 3, Healthy: 3}, 2, 1}, s.Quorum); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Member{Name: "cp-1", ID: "1", Host: "cp-1", Voting: true, Healthy: true, Leader: true}, s.Etcd[0]); diff != "" {
		t.Error(diff)
	}
	if s.Degradations != nil {
		t.Errorf("degraded: %v", s.Degradations)
	}
}

func TestADegradedCluster(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*workflowtest.Fixture, *live)
		want   []string
	}{
		"a control plane is off": {
			func(f *workflowtest.Fixture, l *live) {
				turnOff(f, 1)
				l.etcd.Members[1].Problem, l.apiServers[1] = errors.New("x"), APIServer{Host: "cp-2", Problem: "the host is unreachable"}
			},
			[]string{"cp-2 is unreachable"},
		},
		"an API server is stopped": {
			func(_ *workflowtest.Fixture, l *live) {
				l.apiServers[2] = APIServer{Host: "cp-3", Problem: "connection refused"}
			},
			[]string{"the API server of cp-3 is not ready: connection refused"},
		},
		"a member is behind, one is a learner and one is new": {
			func(_ *workflowtest.Fixture, l *live) {
				l.etcd.Members[1].Problem = errors.New("is 2000 entries behind the leader")
				l.etcd.Members[2].Voting = false
				l.etcd.Members = append(l.etcd.Members, kube.EtcdMemberHealth{EtcdMember: kube.EtcdMember{ID: 0xabc}, Problem: errors.New("nobody has it")})
			},
			[]string{
				"the etcd member cp-2 is not healthy: is 2000 entries behind the leader", "the etcd member cp-3 does not vote",
				"the etcd member abc, which has never started, is not healthy: nobody has it",
			},
		},
		"members were not asked": {
			func(_ *workflowtest.Fixture, l *live) {
				l.etcd.Members[1].NotAsked, l.etcd.Members[2].NotAsked = true, true
			},
			nil,
		},
		"etcd is out of space": {
			func(_ *workflowtest.Fixture, l *live) { l.etcd.Alarms = []string{"memberID:1 alarm:NOSPACE"} },
			[]string{"etcd has the alarm memberID:1 alarm:NOSPACE"},
		},
		"two hosts have the address": {
			func(f *workflowtest.Fixture, _ *live) { holds(f, "cp-3") },
			[]string{"more than one host has the address 192.0.2.100: cp-2, cp-3"},
		},
		"no host has the address": {
			func(f *workflowtest.Fixture, _ *live) {
				addresses := &f.Facts("cp-2").Addresses
				*addresses = (*addresses)[:1]
			},
			[]string{"no host has the address 192.0.2.100"},
		},
		"a host refuses the key": {
			func(f *workflowtest.Fixture, _ *live) { f.Hosts.All[0].SetUnreachable(host.ErrAuth) }, nil,
		},
		"the API server does not answer at all": {
			func(f *workflowtest.Fixture, _ *live) {
				turnOff(f, 0)
				f.Hosts.SetState(&cluster.State{Exists: true, Silent: errors.New("refused")})
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, l := highlyAvailable(t)
			test.change(f, &l)
			s, err := of(f.Cluster, f.Hosts, l, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, s.Degradations); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPIServersAreAskedAtTheirOwnAddress(t *testing.T) {
	t.Parallel()
	f, server := workflowtest.New(t, ha), kubetest.NewInMemory(t)
	f.Serve(server)
	for _, name := range []string{"cp-1", "cp-3"} {
		f.Facts(name).Existing = []facts.Path{facts.KubeletConf}
	}
	turnOff(f, 2)
	got := shown(t, f, &cluster.State{Exists: true})
	if len(got.APIServers) != 2 { // cp-2 has not joined
		t.Fatalf("got %+v", got.APIServers)
	}
	// The certificate of the test server is valid for other addresses.
	first := got.APIServers[0]
	if first.Host != "cp-1" || first.Address != "192.0.2.11:6444" || first.Ready || !strings.Contains(first.Problem, "certificate is valid for 127.0.0.1") {
		t.Errorf("got %+v", first)
	}
	if diff := cmp.Diff(APIServer{Host: "cp-3", Problem: "the host is unreachable"}, got.APIServers[1]); diff != "" {
		t.Error(diff)
	}
}

// shrinking is a cluster of three control planes, of which cp-1 stays.
func shrinking(t *testing.T) *workflowtest.Fixture {
	t.Helper()
	f := workflowtest.New(t, strings.NewReplacer("cp-2,", "cp-2, state: absent,", "cp-3,", "cp-3, state: absent,").Replace(ha))
	for _, name := range []string{"cp-1", "cp-2", "cp-3"} {
		f.Facts(name).Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf}
		f.ServeEtcd(name, `{"ID":"1","name":"cp-1"}`, `{"ID":"2","name":"cp-2"}`, `{"ID":"3","name":"cp-3"}`)
	}
	holds(f, "cp-2")
	return f
}

func TestControlPlanesThatLeaveAreAskedToo(t *testing.T) {
	t.Parallel()
	got := shown(t, shrinking(t), &cluster.State{Exists: true})
	if diff := cmp.Diff(&Quorum{kube.Quorum{Members: 3, Healthy: 3}, 2, 1}, got.Quorum); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"cp-2"}, got.Endpoint.Holders); diff != "" {
		t.Error(diff)
	}
	var asked []string
	for _, server := range got.APIServers {
		asked = append(asked, server.Host)
	}
	if diff := cmp.Diff([]string{"cp-1", "cp-2", "cp-3"}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestAHostThatLeavesDegradesNothingByItself(t *testing.T) {
	t.Parallel()
	three := []cluster.Node{{Name: "cp-1", Ready: true}, {Name: "cp-2", Ready: true}, {Name: "cp-3", Ready: true}}
	for name, test := range map[string]struct {
		off   bool // cp-3
		nodes []cluster.Node
		want  []string
	}{
		"its API server is stopped": {false, three, nil},
		"it is off":                 {true, three, []string{"cp-3 is unreachable"}},
		"it has left the cluster":   {true, three[:2], nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := shrinking(t)
			f.Hosts.SetState(&cluster.State{Exists: true, Record: &cluster.Record{}, Nodes: test.nodes})
			l := live{apiServers: []APIServer{{Host: "cp-1", Ready: true}, {Host: "cp-3", Problem: "connection refused"}}}
			if test.off {
				f.Hosts.Leaving[1].SetFacts(nil)
				f.Hosts.Leaving[1].SetUnreachable(host.ErrUnreachable)
			}
			s, err := of(f.Cluster, f.Hosts, l, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, s.Degradations); diff != "" {
				t.Error(diff)
			}
		})
	}
}
