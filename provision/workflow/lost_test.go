package workflow_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const withLost = `
controlPlane: {endpoint: "192.0.2.100:6443", bindPort: 6444}
preflight: {ignore: [{check: even-etcd, reason: a test}]}
hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
- {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
- {name: cp-3, address: 192.0.2.13, roles: [control-plane], state: lost}
- {name: w-1, address: 192.0.2.21, state: lost}
- {name: w-2, address: 192.0.2.22, nodeIP: 192.0.2.32, state: lost}
- {name: w-3, address: 192.0.2.23, state: lost}
- {name: w-4, address: 192.0.2.23}
`

func TestSignsOfLifeOfLostHosts(t *testing.T) {
	t.Parallel()
	node := func(name string, addresses ...string) cluster.Node {
		return cluster.Node{Name: name, Addresses: addresses}
	}
	tests := []struct {
		name      string
		state     *cluster.State
		listening []string
		want      map[string][]string
	}{
		{
			name: "nothing answers", state: &cluster.State{Nodes: []cluster.Node{node("cp-3"), node("w-1")}},
			listening: []string{"192.0.2.99:22"},
		},
		{
			name: "all of a control plane", state: &cluster.State{Nodes: []cluster.Node{node("cp-3")}},
			listening: []string{"192.0.2.13:22", "192.0.2.13:2380", "192.0.2.13:6444", "192.0.2.13:10250"},
			want: map[string][]string{"cp-3": {
				"SSH (192.0.2.13:22) answers localhost, cp-1, cp-2", "kubelet (192.0.2.13:10250) answers cp-1, cp-2",
				"etcd (192.0.2.13:2380) answers cp-1, cp-2", "the API server (192.0.2.13:6444) answers cp-1, cp-2",
			}},
		},
		{
			name: "a control plane without a Node, and with a member", state: &cluster.State{Members: []kube.EtcdMember{{Name: "cp-3"}}},
			listening: []string{"192.0.2.13:2380"},
			want:      map[string][]string{"cp-3": {"etcd (192.0.2.13:2380) answers cp-1, cp-2"}},
		},
		{
			name: "workers, at the addresses of their Nodes", state: &cluster.State{Nodes: []cluster.Node{node("w-1", "10.0.0.21"), node("w-2", "10.0.0.22")}},
			listening: []string{"10.0.0.21:10250", "192.0.2.32:10250", "192.0.2.21:2380"},
			want: map[string][]string{
				"w-1": {"kubelet (10.0.0.21:10250) answers cp-1, cp-2"}, "w-2": {"kubelet (192.0.2.32:10250) answers cp-1, cp-2"},
			},
		},
		{
			name: "a host that was removed, and reinstalled", state: &cluster.State{Nodes: []cluster.Node{node("w-4")}},
			listening: []string{"192.0.2.21:22", "192.0.2.13:22"},
		},
		{
			name: "a new host with the address of a lost one", state: &cluster.State{Nodes: []cluster.Node{node("w-3", "192.0.2.23")}},
			listening: []string{"192.0.2.23:22", "192.0.2.23:10250"},
		},
		{name: "a cluster that was not read", listening: []string{"192.0.2.13:22"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inventory := strings.Replace(withLost, "- {name: w-4, address: 192.0.2.23}\n", "", 1)
			if strings.Contains(test.name, "new host") {
				inventory = withLost
			}
			fixture := workflowtest.New(t, inventory)
			fixture.Listening = test.listening
			fixture.Dials("cp-1")
			fixture.Dials("cp-2")
			fixture.Hosts.SetState(test.state)
			got := fixture.Hosts.SignsOfLife(t.Context(), fixture.Cluster)
			if test.want == nil {
				test.want = map[string][]string{}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAMachineThatLivesIsAnErrorWithTheWaysOut(t *testing.T) {
	t.Parallel()
	err := &workflow.AliveError{Host: "w-1", Signs: []string{"its node is ready", "SSH (192.0.2.21:22) answers cp-1"}}
	if got := err.Error(); got != "the machine of the lost host w-1 lives: its node is ready; SSH (192.0.2.21:22) answers cp-1" {
		t.Error(got)
	}
	for _, way := range []string{"slipway node remove w-1", "state: absent", "power the machine off", "preflight.ignore"} {
		if !strings.Contains(err.Remedy(), way) {
			t.Errorf("%q lacks %q", err.Remedy(), way)
		}
	}
}

func TestALostControlPlaneHasNoMemberOfAnExternalEtcd(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, withLost+"etcd: {external: {endpoints: ['https://192.0.2.41:2379'], caFile: a, certFile: b, keyFile: c}}\n")
	fixture.Listening = []string{"192.0.2.13:2380", "192.0.2.13:10250"}
	fixture.Dials("cp-1")
	fixture.Hosts.SetState(&cluster.State{Nodes: []cluster.Node{{Name: "cp-3"}}})
	want := map[string][]string{"cp-3": {"kubelet (192.0.2.13:10250) answers cp-1"}}
	if diff := cmp.Diff(want, fixture.Hosts.SignsOfLife(t.Context(), fixture.Cluster)); diff != "" {
		t.Error(diff)
	}
}
