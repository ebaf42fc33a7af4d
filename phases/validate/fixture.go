package validate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"slipway.io/slipway/provision/probe/httpprobe"
	"slipway.io/slipway/provision/retry"
)

// The HTTP status codes that probes expect; phases do not import net/http.
const (
	statusOK       = 200
	statusNotFound = 404
)

// harness sets up and tears down what probes need in the cluster.
type harness interface {
	// createNamespace creates the test namespace and returns its name.
	createNamespace(ctx context.Context, say func(string)) (namespace string, err error)
	// startPods starts a test pod on each node except those without one, and waits
	// for them. A node whose pod does not start is part of the fixture, with the
	// reason.
	startPods(ctx context.Context, without []string, say func(string)) (*fixture, error)
	// tearDown deletes what the other two created. It is always called.
	tearDown(ctx context.Context) error
}

// fixture is a test pod on each node and two Services in front of them.
type fixture struct {
	prober prober
	// namespace and service name the ClusterIP Service, whose address is
	// clusterIP; nodePort is the port of the NodePort Service.
	namespace, service string
	clusterIP          string
	nodePort           int
	nodes              []testNode
}

// testNode is a node and its test pod.
type testNode struct {
	// name and address (InternalIP) are those of the node.
	name, address string
	// pod and podIP are those of its test pod.
	pod, podIP string
	// failure says why the node has no ready test pod; empty if it has one.
	failure string
}

// sort puts the nodes into the order of the inventory, others last.
func (f *fixture) sort(inventory []string) {
	slices.SortStableFunc(f.nodes, func(a, b testNode) int {
		return rank(a.name, inventory) - rank(b.name, inventory)
	})
}

// isTestPod reports whether the Services may answer with a pod of that name.
func (f *fixture) isTestPod(name string) bool {
	return name != "" && slices.ContainsFunc(f.nodes, func(node testNode) bool { return node.pod == name })
}

// answeredBy is the test pod that answered an HTTP request from outside of the
// cluster; any other answer is an error.
func (f *fixture) answeredBy(got httpprobe.Response) (pod string, err error) {
	if got.Status != statusOK || !f.isTestPod(got.Body) {
		return "", fmt.Errorf("answered %d %q, which is not a test pod", got.Status, head(got.Body, 80))
	}
	return got.Body, nil
}

// skip is an error if the node has no ready test pod: podTasks has failed for
// it, and says why.
func (n testNode) skip() error {
	if n.failure == "" {
		return nil
	}
	return skip("no test pod on " + n.name)
}

// podTasks report where test pods run.
func podTasks(_ context.Context, r *run) []task {
	var tasks []task
	for _, node := range r.fixture.nodes {
		tasks = append(tasks, task{target: node.name, try: func(context.Context) (string, error) {
			if node.failure != "" {
				return "", retry.Stop(errors.New(node.failure))
			}
			return fmt.Sprintf("%s at %s", node.pod, node.podIP), nil
		}})
	}
	for _, name := range r.without {
		tasks = append(tasks, task{target: name, try: func(context.Context) (string, error) {
			return "", degraded("the host is unreachable, and its node is not Ready")
		}})
	}
	return tasks
}

// onEachNode is a task for the test pod of each node.
func (r *run) onEachNode(try func(ctx context.Context, node testNode) (string, error)) []task {
	var tasks []task
	for _, node := range r.fixture.nodes {
		tasks = append(tasks, task{target: node.name, try: func(ctx context.Context) (string, error) {
			if err := node.skip(); err != nil {
				return "", err
			}
			return try(ctx, node)
		}})
	}
	return tasks
}
