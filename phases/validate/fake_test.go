package validate

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"slipway.io/slipway/provision/config"
)

// fakeNetwork is a prober whose pods, names and addresses all work, except for
// what breaks returns.
type fakeNetwork struct {
	fixture *fixture
	// breaks returns the response to a request, or an error; nil, nil if the
	// request works.
	breaks func(pod string, q request) (*response, error)
	// execOut and logText are what exec and logs return.
	execOut, logText string
	execErr, logErr  error

	mu       sync.Mutex
	requests int
}

func (f *fakeNetwork) send(_ context.Context, pod string, q request) (response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	if f.breaks != nil {
		if got, err := f.breaks(pod, q); got != nil || err != nil {
			if got == nil {
				got = &response{}
			}
			return *got, err
		}
	}
	if strings.HasPrefix(q.host, "no-such-service.") {
		return response{}, fmt.Errorf("lookup %s: %w", q.host, errNoSuchHost)
	}
	if text, ok := strings.CutPrefix(q.payload, "echo?msg="); ok {
		return response{body: text}, nil
	}
	for _, node := range f.fixture.nodes {
		if node.podIP == q.host {
			return response{body: node.pod}, nil
		}
	}
	return response{body: f.fixture.nodes[0].pod}, nil // a Service or a NodePort
}

func (f *fakeNetwork) exec(context.Context, string, ...string) (string, error) {
	return f.execOut, f.execErr
}

func (f *fakeNetwork) logs(context.Context, string) (string, error) { return f.logText, f.logErr }

// testRun is a run on two nodes, a and b, with a network that works.
func testRun() (*run, *fakeNetwork) {
	f := &fixture{
		namespace: "ns", service: "probe", clusterIP: "10.96.7.7", nodePort: 30123,
		nodes: []testNode{
			{name: "a", address: "192.0.2.1", pod: "probe-a", podIP: "10.244.0.2"},
			{name: "b", address: "192.0.2.2", pod: "probe-b", podIP: "10.244.1.2"},
		},
	}
	network := &fakeNetwork{fixture: f, execOut: "app version 2.63.0\n", logText: "x Started HTTP server on port 8080\ny"}
	f.prober = network
	cluster := &config.Cluster{
		Network: config.Network{DNSDomain: "cluster.test"},
		Hosts:   []config.Host{{Name: "a", Roles: []config.Role{config.RoleControlPlane}}, {Name: "b"}},
	}
	return &run{cluster: cluster, progress: &progress{say: func(string) {}}, fixture: f}, network
}

// fakeHarness is a harness that sets up nothing.
type fakeHarness struct {
	fixture *fixture
	err     error
	// starting is called when the pods start.
	starting func()
	// tornDown counts the calls of tearDown; contextAlive: the context of the
	// last one had not ended.
	tornDown     int
	contextAlive bool
}

func (f *fakeHarness) createNamespace(context.Context, func(string)) (string, error) {
	return "ns", nil
}

func (f *fakeHarness) startPods(ctx context.Context, _ []string, _ func(string)) (*fixture, error) {
	if f.starting != nil {
		f.starting()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return f.fixture, f.err
}

func (f *fakeHarness) tearDown(ctx context.Context) error {
	f.tornDown++
	f.contextAlive = ctx.Err() == nil
	return nil
}

var errTimeout = newRequestError("i/o timeout")
