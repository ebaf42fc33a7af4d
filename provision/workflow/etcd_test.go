package workflow_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const threePlanes = `
controlPlane: {endpoint: api.example}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`

// The list of a member that is cut off may be old.
func TestAMemberOfEtcdThatIsCutOffIsNotHealthy(t *testing.T) {
	t.Parallel()
	one, two, three, four := `{"ID":"1","name":"cp-1"}`, `{"ID":"2","name":"cp-2"}`, `{"ID":"3","name":"cp-3"}`, `{"ID":"4","name":"cp-4"}`
	for _, test := range []struct {
		name            string
		cutOff, serving []string
		members         int
		quorum          kube.Quorum
	}{
		{"all have a majority", nil, []string{"cp-1", "cp-2"}, 4, kube.Quorum{Members: 4, Healthy: 2}},
		{"one is cut off", []string{"cp-1"}, []string{"cp-2"}, 3, kube.Quorum{Members: 3, Healthy: 1}},
		{"there is no majority", []string{"cp-1", "cp-2"}, []string{"cp-1", "cp-2"}, 4, kube.Quorum{Members: 4, Healthy: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, threePlanes)
			fixture.CutOff = test.cutOff
			fixture.ServeEtcd("cp-1", one, two, three, four)
			fixture.ServeEtcd("cp-2", one, two, three)
			etcd, err := workflow.ReadEtcd(t.Context(), fixture.Hosts.All)
			if err != nil {
				t.Fatal(err)
			}
			var serving []string
			for _, h := range etcd.Serving() {
				serving = append(serving, h.Config.Name)
			}
			if diff := cmp.Diff(test.serving, serving); diff != "" || len(etcd.Answered) != 2 || len(etcd.Members) != test.members {
				t.Errorf("%s; %d answered, members %+v", diff, len(etcd.Answered), etcd.Members)
			}
			if got := etcd.Quorum(); got != test.quorum {
				t.Errorf("quorum %s, want %s", got, test.quorum)
			}
		})
	}
}

func TestAMemberOfEtcdIsRemovedThroughTheFirstHostThatCan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		cutOff  []string
		removed [2]string
		err     string
	}{
		{"the first one", nil, [2]string{`{"ID":"3"}`, ""}, ""},
		{"the second one", []string{"cp-1"}, [2]string{"", `{"ID":"3"}`}, ""},
		{"none", []string{"cp-1", "cp-2"}, [2]string{}, "cp-2: etcd: remove member 3: 503"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, threePlanes)
			fixture.CutOff = test.cutOff
			first, second := fixture.ServeEtcd("cp-1"), fixture.ServeEtcd("cp-2")
			etcd := &workflow.Etcd{Healthy: fixture.Hosts.All[:2]}
			err := fixture.Apply(workflow.Phase{Name: "remove", On: workflow.Localhost, Do: func(ctx context.Context, s *workflow.Step) error {
				return etcd.Remove(ctx, s, "cp-3", 3)
			}})
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
			if got := [2]string{strings.Join(*first, ""), strings.Join(*second, "")}; got != test.removed {
				t.Errorf("removed %q, want %q", got, test.removed)
			}
			if changed := len(fixture.Changes()) == 1; changed != (test.err == "") {
				t.Errorf("changes %q", fixture.Changes())
			}
		})
	}
}

// The others elect a leader in a moment when it has left.
func TestAMemberOfEtcdThatKnowsNoLeaderYetIsAskedAgain(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, threePlanes)
	fixture.Electing = []string{"cp-1"}
	for _, name := range []string{"cp-1", "cp-2"} {
		fixture.ServeEtcd(name, `{"ID":"1","name":"cp-1"}`, `{"ID":"2","name":"cp-2"}`)
	}
	etcd, err := workflow.ReadEtcd(t.Context(), fixture.Hosts.All[:2])
	if err != nil || len(etcd.Healthy) != 2 {
		t.Errorf("got %+v, %v", etcd, err)
	}
}
