package workflow_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

const node = "apiVersion: v1\nkind: Node\nmetadata: {name: cp-1}\n"

const manifests = `apiVersion: v1
kind: Namespace
metadata: {name: x}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: x}
data: {a: b}
`

// served is a fixture whose control plane has the kubeconfig of an API server.
func served(t *testing.T) (*workflowtest.Fixture, *kubetest.Server) {
	t.Helper()
	fixture, server := workflowtest.New(t, one), kubetest.New(t)
	fixture.Serve(server)
	return fixture, server
}

func phase(do func(context.Context, *workflow.Step) error) workflow.Phase {
	return workflow.Phase{Name: "test", Title: "do it", On: workflow.Seed, Do: do}
}

// applySet applies the objects as a set.
func applySet(ctx context.Context, s *workflow.Step) error {
	objects, err := kube.Decode([]byte(manifests))
	if err != nil {
		return err
	}
	set, err := s.Set(ctx, "test")
	if err != nil {
		return err
	}
	if err := set.Apply(ctx, objects); err != nil {
		return err
	}
	return set.Prune(ctx)
}

func TestApplyCountsChanges(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	apply := phase(applySet)
	fixture.MustPlan(apply)
	want := []string{"created namespace x", "created configmap x/c"}
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	if server.Get("/api/v1/namespaces/x") != nil {
		t.Error("a plan has created the namespace")
	}
	fixture.MustApply(apply)
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	fixture.MustApply(apply)
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

func TestSetNodeCountsItsChange(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	server.Put(node)
	set := phase(func(ctx context.Context, s *workflow.Step) error {
		return s.SetNode(ctx, map[string]string{"a": "b"}, []corev1.Taint{{Key: "k", Effect: "NoSchedule"}})
	})
	want := []string{"set the labels and taints of node cp-1"}
	fixture.MustPlan(set)
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	const diff = "+metadata:\n+  labels:\n+    a: b\n+spec:\n+  taints:\n+  - effect: NoSchedule\n+    key: k"
	for _, e := range fixture.Events.Events() {
		if e.Kind == report.Change && !strings.Contains(e.Diff, diff) {
			t.Errorf("the diff is\n%s", e.Diff)
		}
	}
	if metadata := server.Get("/api/v1/nodes/cp-1")["metadata"].(map[string]any); metadata["labels"] != nil {
		t.Errorf("a plan has set %v", metadata["labels"])
	}
	fixture.MustApply(set)
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	fixture.MustApply(set)
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

func TestDeleteNodeKeepsTheNodeOfAnotherMachine(t *testing.T) {
	t.Parallel()
	own := strings.Repeat("a", 32) // the first host's
	remove := phase(func(ctx context.Context, s *workflow.Step) error { return s.DeleteNode(ctx) })
	for name, test := range map[string]struct {
		node    string
		deleted bool
		hint    string
	}{
		"that of the host":                             {node + "status: {nodeInfo: {machineID: " + own + "}}\n", true, ""},
		"one whose kubelet has not told its machine":   {node, true, ""},
		"one of another machine":                       {node + "status: {nodeInfo: {machineID: " + strings.Repeat("b", 32) + "}}\n", false, "kubectl delete node cp-1"},
		"one of another host, when there is none left": {strings.Replace(node, "cp-1", "cp-2", 1), false, ""},
	} {
		fixture, server := served(t)
		server.Put(test.node)
		err := fixture.Apply(remove)
		if (err != nil) != (test.hint != "") || !strings.Contains(workflow.Hint(err), test.hint) {
			t.Errorf("%s: got %v, hint %q", name, err, workflow.Hint(err))
		}
		if changed := len(fixture.Changes()) > 0; changed != test.deleted {
			t.Errorf("%s: changes %q", name, fixture.Changes())
		}
		if left := server.Get("/api/v1/nodes/cp-1") != nil; left != (test.hint != "") {
			t.Errorf("%s: the node is left: %v", name, left)
		}
	}
}

func TestWithoutAKubeconfigThereIsNoCluster(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	err := fixture.Apply(phase(applySet))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want a file that does not exist", err)
	}
}

// An interrupted init may have left an API server: it does not have yet what later
// phases look for.
func TestAPlanThatCreatesTheClusterSendsItNoRequests(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("asked: %s", r.URL)
		return false
	})
	fixture.MustPlan(phase(func(ctx context.Context, s *workflow.Step) error {
		s.CreatesCluster()
		if _, err := s.Run(ctx, host.Cmd{Argv: []string{"kubeadm", "init"}}); err != nil {
			return err
		}
		return applySet(ctx, s)
	}))
	if diff := cmp.Diff([]string{"run kubeadm init", "do it"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestAStepThatCreatesTheClusterConnectsAgain(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	fixture.MustApply(phase(func(ctx context.Context, s *workflow.Step) error {
		before, err := s.Kube(ctx)
		if err != nil {
			return err
		}
		s.CreatesCluster()
		fixture.Serve(server)
		after, err := s.Kube(ctx)
		if before == after {
			t.Error("the client has the kubeconfig from before")
		}
		return err
	}))
}

func TestWithoutAClusterTheHintSaysHowToCreateIt(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	_, _, err := fixture.Hosts.AdminConf(t.Context())
	if err == nil || !strings.Contains(err.Error(), "there is no cluster yet") || !strings.Contains(workflow.Hint(err), "slipway apply") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
	lost := errors.New("lost")
	fixture.Host("cp-1").ExpectRead(kube.AdminConf).Error(lost)
	if _, err := fixture.Hosts.Connect(t.Context(), kube.Options{}); !errors.Is(err, lost) || workflow.Hint(err) != "" {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestTheAdminConfIsThatOfAnyControlPlane(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, `
controlPlane: {endpoint: 192.0.2.100}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`)
	fixture.Host("cp-2").Put(kube.AdminConf, "the kubeconfig")
	conf, from, err := fixture.Hosts.AdminConf(t.Context())
	if err != nil || string(conf) != "the kubeconfig" || from.Config.Name != "cp-2" {
		t.Errorf("got %q of %v, %v", conf, from, err)
	}
}

func TestAPlanSetsTheMarksOfANodeThatJoinsLater(t *testing.T) {
	t.Parallel()
	fixture, _ := served(t)
	set := phase(func(ctx context.Context, s *workflow.Step) error {
		return s.SetNode(ctx, map[string]string{"a": "b"}, nil)
	})
	if err := fixture.Plan(set); err == nil {
		t.Error("a plan reports no error for a node that never joins")
	}
	join := phase(func(context.Context, *workflow.Step) error { return host.ErrPlanned })
	join.Creates = []string{"/etc/kubernetes/"}
	fixture.MustPlan(join)
	fixture.MustPlan(set)
	if diff := cmp.Diff([]string{"set the labels and taints of node cp-1"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	if err := fixture.Apply(set); err == nil {
		t.Error("apply reports no error for a node that does not exist")
	}
}

func TestAPlanDoesNotWait(t *testing.T) {
	t.Parallel()
	fixture, _ := served(t)
	fixture.MustPlan(phase(func(ctx context.Context, s *workflow.Step) error {
		return s.WaitFor(ctx, kube.NodeRegistered("w-9"), time.Hour)
	}))
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changes %v", got)
	}
}

func TestJoinTokenIsRevoked(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	fixture.MustApply(phase(func(ctx context.Context, s *workflow.Step) error {
		token, revoke, err := s.JoinToken(ctx, time.Minute)
		if err != nil {
			return err
		}
		id, _, _ := strings.Cut(token, ".")
		path := "/api/v1/namespaces/kube-system/secrets/bootstrap-token-" + id
		if server.Get(path) == nil {
			t.Errorf("there is no secret for %s", id)
		}
		revoke()
		if server.Get(path) != nil {
			t.Error("the token is not revoked")
		}
		return nil
	}))
}

func TestJoinTokenIsRevokedAfterCtrlC(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	fixture.MustApply(phase(func(ctx context.Context, s *workflow.Step) error {
		ctx, cancel := context.WithCancel(ctx)
		_, revoke, err := s.JoinToken(ctx, time.Minute)
		cancel()
		if err != nil {
			return err
		}
		revoke()
		return nil
	}))
	var deleted int
	for _, request := range server.Requests() {
		if strings.HasPrefix(request, "DELETE ") {
			deleted++
		}
	}
	if deleted != 1 {
		t.Errorf("requests %v", server.Requests())
	}
}

func TestAPlanCreatesNoJoinToken(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	fixture.MustPlan(phase(func(ctx context.Context, s *workflow.Step) error {
		_, _, err := s.JoinToken(ctx, time.Minute)
		return err
	}))
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("the plan wrote: %v", got)
	}
	if diff := cmp.Diff([]string{"do it"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestWaitForShowsObservations(t *testing.T) {
	t.Parallel()
	fixture, _ := served(t)
	checks := 0
	fixture.MustApply(phase(func(ctx context.Context, s *workflow.Step) error {
		return s.WaitFor(ctx, kube.Condition{Name: "the node", Check: func(context.Context, *kube.Client) (bool, string, error) {
			checks++
			return checks > 2, "not registered", nil
		}}, time.Minute)
	}))
	var seen []string
	for _, e := range fixture.Events.Events() {
		if e.Kind == report.Waiting {
			seen = append(seen, e.Message)
		}
	}
	if diff := cmp.Diff([]string{"the node: not registered"}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestSumsAreThoseOfTheHost(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Host("cp-1").Put("/a", "")
	fixture.MustPlan(phase(func(ctx context.Context, s *workflow.Step) error {
		sums, err := journal.Sums(ctx, s, []string{"/a", "/b"})
		want := map[string]journal.Sum{"/a": {SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}
		if diff := cmp.Diff(want, sums); diff != "" {
			t.Error(diff)
		}
		return err
	}))
}
