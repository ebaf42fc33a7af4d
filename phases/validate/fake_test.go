package validate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"slipway.io/slipway/provision/config"
)

// fakeNetwork is a prober whose pods, names and addresses all work, but for
// what breaks says.
type fakeNetwork struct {
	fixture *fixture
	// breaks gives the answer to a question, or an error; nil, nil: it works.
	breaks func(pod string, q question) (*answer, error)
	// execOut and logText are what exec and logs give.
	execOut, logText string
	execErr, logErr  error

	mu    sync.Mutex
	asked int
}

func (f *fakeNetwork) ask(_ context.Context, pod string, q question) (answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.breaks != nil {
		if got, err := f.breaks(pod, q); got != nil || err != nil {
			if got == nil {
				got = &answer{}
			}
			return *got, err
		}
	}
	if strings.HasPrefix(q.host, "no-such-service.") {
		return answer{}, fmt.Errorf("lookup %s: %w", q.host, errNoSuchName)
	}
	if text, ok := strings.CutPrefix(q.request, "echo?msg="); ok {
		return answer{body: text}, nil
	}
	for _, node := range f.fixture.nodes {
		if node.podIP == q.host {
			return answer{body: node.pod}, nil
		}
	}
	return answer{body: f.fixture.nodes[0].pod}, nil // a Service or a NodePort
}

func (f *fakeNetwork) exec(context.Context, string, ...string) (string, error) {
	return f.execOut, f.execErr
}

func (f *fakeNetwork) logs(context.Context, string) (string, error) { return f.logText, f.logErr }

// testRun is a run over two nodes, a and b, with a network that works.
func testRun() (*run, *fakeNetwork) {
	b := &fixture{
		namespace: "ns", service: "probe", clusterIP: "10.96.7.7", nodePort: 30123,
		nodes: []bedNode{
			{name: "a", address: "192.0.2.1", pod: "probe-a", podIP: "10.244.0.2"},
			{name: "b", address: "192.0.2.2", pod: "probe-b", podIP: "10.244.1.2"},
		},
	}
	network := &fakeNetwork{fixture: b, execOut: "app version 2.63.0\n", logText: "x Started HTTP server on port 8080\ny"}
	b.prober = network
	cluster := &config.Cluster{
		Network: config.Network{DNSDomain: "cluster.test"},
		Hosts:   []config.Host{{Name: "a", Roles: []config.Role{config.RoleControlPlane}}, {Name: "b"}},
	}
	return &run{options: Options{Cluster: cluster}, progress: &progress{}, fixture: b}, network
}

// fakeBed is a testbed that only counts.
type fakeBed struct {
	made    *fixture
	err     error
	laid    func()
	cleared int
	// alive: the context of clear had not ended.
	alive bool
}

func (f *fakeBed) open(context.Context, func(string)) (string, error) { return "ns", nil }

func (f *fakeBed) lay(ctx context.Context, _ func(string)) (*fixture, error) {
	if f.laid != nil {
		f.laid()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return f.made, f.err
}

func (f *fakeBed) clear(ctx context.Context) error {
	f.cleared++
	f.alive = ctx.Err() == nil
	return nil
}

var errTimeout = errors.New("i/o timeout")
