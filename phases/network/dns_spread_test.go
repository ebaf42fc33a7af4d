package network

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const two = "hosts:\n  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n  - {name: w-1, address: 192.0.2.21}\n"

const readyStatus = "phase: Running, containerStatuses: [{name: coredns, containerID: a, state: {running: {}}}], conditions: [{type: Ready, status: \"True\"}]"

func readyNode(name string) string {
	return "{apiVersion: v1, kind: Node, metadata: {name: " + name + "}, status: {conditions: [{type: Ready, status: \"True\"}]}}"
}

func podOn(node, name, status string) string {
	return strings.Replace(pod(name, "", status), "nodeName: cp-1", "nodeName: "+node, 1)
}

// spreading is a cluster of two nodes whose API server evicts pods, in place of which
// another one starts on a node after 3 s.
type spreading struct {
	*workflowtest.Fixture
	server  *kubetest.Server
	evicted []string
	// blocked: a PodDisruptionBudget forbids it. next is the node of the new pod.
	blocked atomic.Bool
	next    string
	// status is that of the new pod.
	status string
}

func newSpreading(t *testing.T, objects ...string) *spreading {
	t.Helper()
	s := &spreading{Fixture: workflowtest.New(t, two), server: kubetest.NewInMemory(t), next: "w-1", status: readyStatus}
	for _, object := range append(objects, coreDNS, readyNode("cp-1")) {
		s.server.Put(object)
	}
	s.Serve(s.server)
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		path, eviction := strings.CutSuffix(r.URL.Path, "/eviction")
		switch {
		case !eviction:
			return false
		case s.blocked.Load():
			kubetest.Refuse(w, http.StatusTooManyRequests, "TooManyRequests", "it would violate the pod's disruption budget")
			return true
		}
		name := path[strings.LastIndex(path, "/")+1:]
		s.evicted = append(s.evicted, name)
		gone := s.server.Get(path)
		gone["metadata"].(kubetest.Object)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		s.server.PutObject(gone)
		time.AfterFunc(3*time.Second, func() { s.server.Put(podOn(s.next, "new", s.status)) })
		kubetest.Answer(w, http.StatusCreated, kubetest.Object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
		return true
	})
	return s
}

func TestApplySpreadsCoreDNS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpreading(t, readyNode("w-1"), pod("a", "", readyStatus), pod("b", "", readyStatus))
		want := []string{"evicted pod kube-system/b from cp-1, the node of all replicas of CoreDNS"}
		s.MustPlan(DNS())
		if diff := cmp.Diff(want, s.Changes()); diff != "" || s.evicted != nil {
			t.Errorf("a plan evicted %v: %s", s.evicted, diff)
		}
		start := time.Now()
		s.MustApply(DNS())
		if diff := cmp.Diff(want, s.Changes()); diff != "" || fmt.Sprint(s.evicted) != "[b]" {
			t.Errorf("evicted %v: %s", s.evicted, diff)
		}
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("it did not wait for the new pod: %s", took)
		}
		s.MustApply(DNS())
		if s.Changes() != nil || len(s.evicted) != 1 {
			t.Errorf("a second run evicted %v", s.evicted)
		}
	})
}

func TestApplyEvictsTheReplicaThatIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpreading(t, readyNode("w-1"), pod("a", "", started), pod("b", "", readyStatus))
		s.MustApply(DNS())
		if fmt.Sprint(s.evicted) != "[a]" {
			t.Errorf("evicted %v", s.evicted)
		}
	})
}

func TestTheReplicasOfANewClusterNeedOnlyStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpreading(t, readyNode("w-1"), pod("a", "", started), pod("b", "", started))
		s.status = started
		start := time.Now()
		s.MustApply(DNS())
		if took := time.Since(start); fmt.Sprint(s.evicted) != "[a]" || took < 3*time.Second || took > 5*time.Second {
			t.Errorf("evicted %v in %s", s.evicted, took)
		}
	})
}

func TestApplyLeavesCoreDNSWhereItIs(t *testing.T) {
	t.Parallel()
	for name, objects := range map[string][]string{
		"the replicas are on two nodes":       {readyNode("w-1"), pod("a", "", readyStatus), podOn("w-1", "b", readyStatus)},
		"there is one replica":                {readyNode("w-1"), pod("a", "", readyStatus)},
		"no other node can take one":          {pod("a", "", readyStatus), pod("b", "", readyStatus)},
		"a replica is not scheduled yet":      {readyNode("w-1"), pod("a", "", readyStatus), podOn("''", "b", pending)},
		"a replica is already being replaced": {readyNode("w-1"), pod("a", "", readyStatus), pod("b", ", deletionTimestamp: 2026-01-01T00:00:00Z", readyStatus)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSpreading(t, objects...)
				s.MustApply(DNS())
				if s.evicted != nil || s.Changes() != nil {
					t.Errorf("evicted %v", s.evicted)
				}
			})
		})
	}
}

func TestADisruptionBudgetHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpreading(t, readyNode("w-1"), pod("a", "", readyStatus), pod("b", "", readyStatus))
		s.blocked.Store(true)
		s.MustApply(DNS())
		if notes := strings.Join(s.Notes(), "\n"); s.Changes() != nil || !strings.Contains(notes, "all replicas of CoreDNS stay on cp-1, although w-1 can take one") ||
			!strings.Contains(notes, "disruption budget") {
			t.Errorf("changes %v, notes %s", s.Changes(), notes)
		}
		time.AfterFunc(5*time.Second, func() { s.blocked.Store(false) })
		s.MustApply(DNS())
		if fmt.Sprint(s.evicted) != "[b]" {
			t.Errorf("evicted %v", s.evicted)
		}
	})
}

func TestASchedulerThatDoesNotSpreadIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpreading(t, readyNode("w-1"), pod("a", "", readyStatus), pod("b", "", readyStatus))
		s.next = "cp-1"
		s.MustApply(DNS())
		if diff := cmp.Diff([]string{"the scheduler has placed all replicas of CoreDNS on cp-1 again"}, s.Notes()); diff != "" {
			t.Error(diff)
		}
	})
}
