package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// leavingInventory has control planes cp-1 to cp-3 with the given states.
func leavingInventory(first, second, third string) string {
	return `
controlPlane: {endpoint: "192.0.2.100:6443"}
preflight: {ignore: [{check: even-etcd, reason: a test}]}
hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane], state: ` + first + `}
- {name: cp-2, address: 192.0.2.12, roles: [control-plane], state: ` + second + `}
- {name: cp-3, address: 192.0.2.13, roles: [control-plane], state: ` + third + `}
- {name: w-1, address: 192.0.2.21}
`
}

func TestChecksOfHostsThatLeave(t *testing.T) {
	t.Parallel()
	all := []string{"cp-1", "cp-2", "cp-3"}
	tests := []struct {
		name      string
		inventory string
		members   []string
		answering []string
		prepare   func(f *workflowtest.Fixture, s *cluster.State)
		want      []string
		evidence  string
		fix       string
	}{
		{name: "nothing leaves, and one is down", inventory: leavingInventory("present", "present", "present"), members: all, answering: all[:2]},
		{name: "one of three is lost", inventory: leavingInventory("present", "present", "lost"), members: all, answering: all[:2]},
		{
			name: "one of three is lost, and another is down", inventory: leavingInventory("present", "present", "lost"), members: all, answering: all[:1],
			want: []string{"etcd-quorum  error"}, evidence: "etcd has 3 members, 2 needed, 1 healthy: it has no quorum, and cannot remove cp-3", fix: "start the other control planes",
		},
		{name: "one of three is absent", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all},
		{
			name: "one of three is absent, and another is down", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all[:2],
			want: []string{"etcd-quorum  error"}, evidence: "etcd has 3 members, 2 needed, 2 healthy: removing cp-1 would leave 2 members, 2 needed, 1 healthy",
		},
		{name: "the only member is replaced", inventory: leavingInventory("absent", "present", "lost"), members: all[:1], answering: all[:1]},
		{name: "one is lost, one is absent, and one is new", inventory: leavingInventory("lost", "absent", "present"), members: []string{"cp-1", "cp-2", "cp-9"}, answering: []string{"cp-2", "cp-9"}, want: []string{"ghost-member cp-2 warning"}, evidence: "cp-9", fix: "state: lost"},
		{
			name: "a learner is lost, and another is down", inventory: leavingInventory("present", "present", "lost"), members: all, answering: all[:1],
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Members[2].Learner = true },
		},
		{
			name: "one of two is absent, beside a learner", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all[:2],
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Members[2].Learner = true },
			want:    []string{"ghost-member cp-2 error"}, evidence: "is a learner",
		},
		{
			name: "a lost host that lives", inventory: leavingInventory("present", "present", "lost"), members: all, answering: all[:2],
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Nodes = []cluster.Node{{Name: "cp-3", Ready: true}}
			},
			want: []string{"lost-host cp-3 error"}, evidence: "its node is ready", fix: "state: absent",
		},
		{
			name: "a lost host that is not ready, and answers", inventory: leavingInventory("present", "present", "lost"), members: all, answering: all[:2],
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { f.Listening = []string{"192.0.2.13:22"} },
			want:    []string{"lost-host cp-3 error"}, evidence: "SSH (192.0.2.13:22) answers localhost", fix: "power the machine off",
		},
		{
			name: "a lost control plane whose cluster no other host has", inventory: leavingInventory("present", "present", "lost"),
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				f.Facts("cp-1").Existing, f.Facts("cp-2").Existing = nil, nil
				s.Exists = false
			},
			want: []string{"lost-host cp-3 error"}, evidence: "no other host has the data", fix: "delete the lost hosts",
		},
		{
			name: "an absent host that cannot be reached", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all,
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { lose(f) },
			want:    []string{"absent-host cp-1 warning"}, evidence: "no route", fix: "state: lost",
		},
		{
			name: "two of three are absent", inventory: leavingInventory("absent", "absent", "present"), members: all, answering: all,
		},
		{
			name: "two of three are absent, and one of them cannot be reached", inventory: leavingInventory("absent", "absent", "present"), members: all, answering: all[1:],
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { lose(f) },
			want:    []string{"absent-host cp-1 warning", "etcd-quorum  error"},
		},
		{
			name: "an absent host that cannot be reached, and has left", inventory: leavingInventory("absent", "present", "present"), members: all[1:], answering: all[1:],
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { lose(f) },
		},
		{
			name: "an absent host that cannot be reached, and whose member never started", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all[1:],
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				lose(f)
				s.Members[0] = kube.EtcdMember{ID: 1, PeerURLs: []string{"https://192.0.2.11:2380"}, Learner: true}
			},
			want: []string{"absent-host cp-1 warning"}, evidence: "no route",
		},
		{
			name: "an absent control plane that may have the cluster", inventory: leavingInventory("absent", "present", "lost"),
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				lose(f)
				s.Exists = false
			},
			want: []string{"absent-host cp-1 error"}, evidence: "no route", fix: "state: lost",
		},
		{
			name: "an absent host with the address of another machine", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all,
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Nodes = []cluster.Node{{Name: "cp-1", Ready: true, MachineID: "0123456789abcdef"}}
			},
			want: []string{"node-identity cp-1 error"}, evidence: "node cp-1 is another machine: its machine ID is 01234567…", fix: "correct the address of the host, or set state: lost",
		},
		{
			name: "an absent host that has joined, with another machine ID", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all,
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				f.Facts("cp-1").Existing = []facts.Path{facts.KubeletConf, facts.Journal}
				f.Facts("cp-2").Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.Journal}
				s.Nodes = []cluster.Node{{Name: "cp-1", Ready: true, MachineID: "0123456789abcdef"}}
			},
			want: []string{"node-identity cp-1 error"}, evidence: "another machine", fix: "restart its kubelet",
		},
		{
			name: "an absent host that is the machine of its node", inventory: leavingInventory("absent", "present", "present"), members: all, answering: all,
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				s.Nodes = []cluster.Node{{Name: "cp-1", Ready: true, MachineID: f.Facts("cp-1").MachineID}}
			},
		},
		{
			name: "an absent host of another cluster", inventory: leavingInventory("present", "present", "absent"),
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) {
				f.Facts("cp-3").Existing = []facts.Path{facts.KubeletConf, facts.Journal}
			},
			want: []string{"cluster-identity cp-3 error"}, evidence: "no control plane of the inventory has the data", fix: "or delete this host from it",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, test.inventory)
			state := &cluster.State{Exists: true, MembersOf: "cp-2", Answering: test.answering}
			for i, name := range test.members {
				state.Members = append(state.Members, kube.EtcdMember{ID: uint64(i + 1), Name: name})
			}
			if test.prepare != nil {
				test.prepare(fixture, state)
			}
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: state}
			cc.hosts.SetState(state)
			cc.alive = cc.hosts.SignsOfLife(t.Context(), cc.cluster)
			report := cc.report(Selection{Only: []string{"lost-host", "absent-host", "etcd-quorum", "ghost-member", "cluster-identity", "node-identity"}})
			complete(t, report)
			if diff := cmp.Diff(test.want, told(report)); diff != "" {
				t.Fatal(diff)
			}
			for _, c := range report.Checks {
				for _, f := range c.Findings {
					if !strings.Contains(f.Evidence, test.evidence) || !strings.Contains(f.Fix, test.fix) {
						t.Errorf("got %+v", f)
					}
				}
			}
		})
	}
}

// lose makes cp-1 unreachable.
func lose(f *workflowtest.Fixture) {
	old := f.Hosts.Leaving[0]
	f.Hosts.Leaving[0] = &workflow.Host{Config: old.Config, Conn: old.Conn}
	f.Hosts.Leaving[0].SetUnreachable(errors.New("no route"))
}
