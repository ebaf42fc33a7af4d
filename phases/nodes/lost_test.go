package nodes

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const withLost = `
controlPlane: {endpoint: "192.0.2.100:6443"}
hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
- {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
- {name: cp-3, address: 192.0.2.13, roles: [control-plane], state: lost}
- {name: cp-4, address: 192.0.2.14, roles: [control-plane]}
- {name: w-1, address: 192.0.2.21, state: lost}
`

// lostNode is the Node of a lost host.
func lostNode(name, ready string) string {
	return "{apiVersion: v1, kind: Node, metadata: {name: " + name + "}, status: {conditions: [{type: Ready, status: " + ready + "}]}}"
}

func TestLostHostsAreRemovedFromTheCluster(t *testing.T) {
	t.Parallel()
	const both = `{"ID":"3","name":"cp-3"}`
	first, second := `{"ID":"1","name":"cp-1"}`, `{"ID":"2","name":"cp-2"}`
	tests := []struct {
		name string
		// members are those of etcd, answering the control planes whose etcd answers.
		members   []string
		answering []string
		nodes     []string
		plan      bool
		// listening are the addresses at which something answers.
		listening []string
		ignore    bool
		changes   []string
		removed   string
		err       string
	}{
		{
			name: "a control plane and a worker", members: []string{first, second, both}, answering: []string{"cp-1", "cp-2"},
			nodes:   []string{lostNode("cp-3", "Unknown"), lostNode("w-1", "'False'")},
			changes: []string{"remove etcd member cp-3", "delete node cp-3", "delete node w-1"}, removed: `{"ID":"3"}`,
		},
		{
			name: "in a plan", members: []string{first, second, both}, answering: []string{"cp-1", "cp-2"}, plan: true,
			nodes:   []string{lostNode("cp-3", "Unknown"), lostNode("w-1", "'False'")},
			changes: []string{"remove etcd member cp-3", "delete node cp-3", "delete node w-1"},
		},
		{
			name: "a learner, without a majority", members: []string{first, second, `{"ID":"3","name":"cp-3","isLearner":true}`},
			answering: []string{"cp-1"}, changes: []string{"remove etcd member cp-3"}, removed: `{"ID":"3"}`,
		},
		{name: "a second time", members: []string{first, second}, answering: []string{"cp-1", "cp-2"}},
		{
			name: "a member that never started", members: []string{first, second, `{"ID":"3","peerURLs":["https://192.0.2.13:2380"]}`},
			answering: []string{"cp-1", "cp-2"}, changes: []string{"remove etcd member cp-3"}, removed: `{"ID":"3"}`,
		},
		{
			name: "a member without a Node", members: []string{first, second, both}, answering: []string{"cp-1", "cp-2"},
			changes: []string{"remove etcd member cp-3"}, removed: `{"ID":"3"}`,
		},
		{
			name: "without a quorum", members: []string{first, second, both}, answering: []string{"cp-1"},
			nodes: []string{lostNode("cp-3", "Unknown")}, err: "etcd has 3 members, 2 needed, 1 healthy: it has no quorum, and cannot remove cp-3",
		},
		{
			name: "a host that lives", members: []string{first, second, both}, answering: []string{"cp-1", "cp-2"},
			nodes: []string{lostNode("w-1", "'True'")}, err: "the machine of the lost host w-1 lives: its node is ready",
		},
		{
			name: "a host that is not ready, and lives", members: []string{first, second, both}, answering: []string{"cp-1", "cp-2"},
			nodes: []string{lostNode("cp-3", "Unknown")}, listening: []string{"192.0.2.13:2380"},
			err: "the machine of the lost host cp-3 lives: etcd (192.0.2.13:2380) answers cp-1, cp-2",
		},
		{
			name: "a host at whose address another machine answers", members: []string{first, second, both}, answering: []string{"cp-1", "cp-2"},
			nodes: []string{lostNode("w-1", "Unknown")}, listening: []string{"192.0.2.21:22"}, ignore: true,
			changes: []string{"remove etcd member cp-3", "delete node w-1"}, removed: `{"ID":"3"}`,
		},
		{
			name: "a worker, while etcd has no quorum for a removal that is not needed", members: []string{first, second}, answering: []string{"cp-1"},
			nodes: []string{lostNode("w-1", "Unknown")}, changes: []string{"delete node w-1"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, withLost), kubetest.New(t)
			for _, name := range []string{"cp-1", "cp-2"} {
				fixture.Facts(name).Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf}
			}
			fixture.Serve(server)
			for _, node := range test.nodes {
				server.Put(node)
			}
			fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-3"}, {Name: "w-1"}}})
			fixture.Listening = test.listening
			if test.ignore {
				fixture.Cluster.Preflight.Ignore = append(fixture.Cluster.Preflight.Ignore, config.IgnoredCheck{Check: config.CheckLostHost})
			}
			var gateways []*[]string
			for _, name := range test.answering {
				gateways = append(gateways, fixture.ServeEtcd(name, test.members...))
			}
			run := fixture.Apply
			if test.plan {
				run = fixture.Plan
			}
			err := run(Lost())
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("got %v, want %q", err, test.err)
			}
			if err != nil && workflow.Hint(err) == "" {
				t.Error("no hint")
			}
			if diff := cmp.Diff(test.changes, fixture.Changes()); diff != "" {
				t.Error(diff)
			}
			var removed []string
			for _, g := range gateways {
				removed = append(removed, *g...)
			}
			if got := strings.Join(removed, " "); got != test.removed {
				t.Errorf("removed %s, want %s", got, test.removed)
			}
			for _, name := range []string{"cp-3", "w-1"} {
				left := server.Get("/api/v1/nodes/"+name) != nil
				put := strings.Contains(strings.Join(test.nodes, ""), "name: "+name)
				if left != (put && (test.plan || test.err != "")) {
					t.Errorf("node %s is left: %v", name, left)
				}
			}
		})
	}
}

func TestLostHostsOfAClusterThatDoesNotExistNeedNothing(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, withLost)
	fixture.Hosts.SetState(&cluster.State{})
	fixture.MustApply(Lost())
	if changes := fixture.Changes(); len(changes) > 0 {
		t.Errorf("changed %q", changes)
	}
}

func TestDrainOfAHostThatLeaves(t *testing.T) {
	t.Parallel()
	const objects = `
apiVersion: v1
kind: Node
metadata: {name: w-1}
status: {conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: w-1}
`
	for _, plan := range []bool{true, false} {
		fixture, server := workflowtest.New(t, "hosts:\n- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n- {name: w-1, address: 192.0.2.21}\n"), kubetest.New(t)
		fixture.Serve(server)
		server.Put(objects)
		fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "w-1"}}})
		run := fixture.MustApply
		if plan {
			run = fixture.MustPlan
		}
		run(Drain())
		if diff := cmp.Diff([]string{"cordon node w-1", "evict pod shop/web"}, fixture.Changes()); diff != "" {
			t.Errorf("plan %v: %s", plan, diff)
		}
		if notes := fixture.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "shop/web") {
			t.Errorf("plan %v: notes %q", plan, notes)
		}
		if exists := server.Get("/api/v1/namespaces/shop/pods/web") != nil; exists != plan {
			t.Errorf("plan %v: the pod exists: %v", plan, exists)
		}
	}
}

func TestForeignNodesAreReportedWithTheWayToRemoveThem(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, withLost)
	fixture.Serve(kubetest.New(t))
	fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-3"}, {Name: "old"}}})
	fixture.MustPlan(Ready())
	if notes := fixture.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "node old is not in the inventory") || !strings.Contains(notes[0], "state: absent") || !strings.Contains(notes[0], "state: lost") {
		t.Errorf("notes %q", notes)
	}
}

// A member that is cut off from the others lists them, and can remove none.
func TestALostMemberIsRemovedThroughOneThatHasAMajority(t *testing.T) {
	t.Parallel()
	five := []string{`{"ID":"1","name":"cp-1"}`, `{"ID":"2","name":"cp-2"}`, `{"ID":"3","name":"cp-3"}`, `{"ID":"4","name":"cp-4"}`, `{"ID":"5","name":"cp-5"}`}
	for _, test := range []struct {
		name             string
		members          []string
		removed, refused string
	}{
		{"of five members, the first one is cut off", five, `{"ID":"3"}`, ""},
		{"of three members, the first one is cut off", five[:3], "", "etcd has 3 members, 2 needed, 1 healthy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, strings.Replace(withLost, "- {name: w-1", "- {name: cp-5, address: 192.0.2.15, roles: [control-plane]}\n- {name: w-1", 1)+
				"preflight: {ignore: [{check: even-etcd, reason: a test}]}\n")
			fixture.CutOff = []string{"cp-1"}
			var removed []string
			gateways := map[string]*[]string{}
			for _, name := range []string{"cp-1", "cp-2", "cp-4", "cp-5"} {
				if !strings.Contains(strings.Join(test.members, ""), name) {
					continue
				}
				fixture.Facts(name).Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf}
				gateways[name] = fixture.ServeEtcd(name, test.members...)
			}
			fixture.Serve(kubetest.New(t))
			fixture.Hosts.SetState(&cluster.State{Exists: true})
			err := fixture.Apply(Lost())
			if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Errorf("got %v, want %q", err, test.refused)
			}
			for _, name := range slices.Sorted(maps.Keys(gateways)) {
				removed = append(removed, *gateways[name]...)
			}
			if got := strings.Join(removed, " "); got != test.removed {
				t.Errorf("removed %s, want %s", got, test.removed)
			}
		})
	}
}
