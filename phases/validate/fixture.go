package validate

import (
	"context"
	"fmt"
)

// testbed makes and removes what the probes in pods need.
type testbed interface {
	// open makes the namespace, and gives its name.
	open(ctx context.Context, say func(string)) (namespace string, err error)
	// lay starts a test pod on each node and waits for them. A node whose pod
	// does not start is part of the fixture, with its trouble.
	lay(ctx context.Context, say func(string)) (*fixture, error)
	// clear removes all of it; it is called in any case.
	clear(ctx context.Context) error
}

// fixture is a test pod on each node and two Services in front of them.
type fixture struct {
	prober prober
	// namespace and service name the ClusterIP Service, whose address is
	// clusterIP; nodePort is open on each node for the other one.
	namespace, service string
	clusterIP          string
	nodePort           int
	nodes              []bedNode
}

// bedNode is a node and its test pod.
type bedNode struct {
	// name and address (InternalIP) are the node's.
	name, address string
	// pod and podIP are those of its test pod.
	pod, podIP string
	// trouble says why there is no ready pod; empty if there is one.
	trouble string
}

// prober acts in a test pod, or on it.
type prober interface {
	// ask has the pod send one request and gives the answer. A name that the
	// pod's resolver says does not exist is an errNoSuchName.
	ask(ctx context.Context, pod string, q question) (answer, error)
	// exec runs a command in the pod and gives its standard output.
	exec(ctx context.Context, pod string, argv ...string) (string, error)
	// logs reads what the pod has logged.
	logs(ctx context.Context, pod string) (string, error)
}

// question is a request that a test pod shall send.
type question struct {
	// protocol is "http" or "udp".
	protocol string
	host     string
	port     int
	// request is the path for HTTP, without the leading slash, or the data
	// for UDP.
	request string
	// whole: the answer itself is what counts; a mere connection is not
	// enough.
	whole bool
}

// answer is what came back.
type answer struct {
	// body is the answer; empty if connectedOnly.
	body string
	// connectedOnly: the pod could only be told to connect, since it cannot be
	// reached through the API server's proxy, for this reason.
	connectedOnly string
}

// by says who answered, as evidence.
func (a answer) by() string {
	if a.connectedOnly != "" {
		return "a connection (no more is known: " + a.connectedOnly + ")"
	}
	return a.body
}

const testPods = "test-pods"

// podTasks report where test pods run.
func podTasks(_ context.Context, r *run) []task {
	if r.fixture == nil {
		return failed(r.noBed)
	}
	var tasks []task
	for _, node := range r.fixture.nodes {
		tasks = append(tasks, task{target: node.name, once: func(context.Context) (string, error) {
			if node.trouble != "" {
				return "", finalError{node.trouble}
			}
			return fmt.Sprintf("%s at %s", node.pod, node.podIP), nil
		}})
	}
	return tasks
}

// onEachNode makes a task for each node's test pod; where there is none, the
// probe is skipped, for podTasks has failed there.
func (r *run) onEachNode(once func(ctx context.Context, node bedNode) (string, error)) []task {
	if r.fixture == nil {
		return skipped("there are no test pods")
	}
	var tasks []task
	for _, node := range r.fixture.nodes {
		tasks = append(tasks, task{target: node.name, once: func(ctx context.Context) (string, error) {
			if node.trouble != "" {
				return "", skipError{"no test pod on " + node.name}
			}
			return once(ctx, node)
		}})
	}
	return tasks
}

// isTestPod says whether a pod may answer for the Services.
func (b *fixture) isTestPod(name string) bool {
	for _, node := range b.nodes {
		if name != "" && node.pod == name {
			return true
		}
	}
	return false
}
