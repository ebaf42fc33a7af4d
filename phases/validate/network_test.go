package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/report"
)

// lines are the probes as "target: status: evidence or error".
func lines(probes []report.ProbeResult) []string {
	var lines []string
	for _, p := range probes {
		lines = append(lines, fmt.Sprintf("%s: %s: %s%s", p.Target, p.Status, p.Evidence, p.Error))
	}
	return lines
}

// probed runs one kind of probe in a bubble, where retries take no time.
func probed(t *testing.T, r *run, name string) (probes []report.ProbeResult) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		all := definitions()
		i := slices.IndexFunc(all, func(d definition) bool { return d.name == name })
		probes = r.runProbes(t.Context(), all[i:i+1])[name]
	})
	return probes
}

func TestProbesInPods(t *testing.T) {
	t.Parallel()
	noDNS := func(_ string, q request) (*response, error) {
		if strings.HasSuffix(q.host, ".") {
			return nil, errors.New("lookup: i/o timeout")
		}
		return nil, nil
	}
	connect := func(string, request) (*response, error) { return &response{connectedOnly: "no proxy"}, nil }
	tests := []struct {
		name, probe string
		change      func(*run, *fakeNetwork)
		want        []string
	}{
		{"names resolve", "dns", nil, []string{
			"a: passed: resolved kubernetes.default.svc.cluster.test, probe.ns.svc.cluster.test, probe; a name that does not exist is refused",
			"b: passed: resolved kubernetes.default.svc.cluster.test, probe.ns.svc.cluster.test, probe; a name that does not exist is refused",
		}},
		{"DNS does not response on one node", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(pod string, q request) (*response, error) {
				if pod == "probe-a" {
					return nil, nil
				}
				return noDNS(pod, q)
			}
		}, []string{
			"a: passed: resolved kubernetes.default.svc.cluster.test, probe.ns.svc.cluster.test, probe; a name that does not exist is refused",
			"b: failed: kubernetes.default.svc.cluster.test.: lookup: i/o timeout",
		}},
		{"short names do not resolve", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q request) (*response, error) {
				if q.host == "probe" {
					return nil, errNoSuchHost
				}
				return nil, nil
			}
		}, []string{"a: failed: probe: no such host", "b: failed: probe: no such host"}},
		{"the resolver knows names that do not exist", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(string, request) (*response, error) { return &response{body: "welcome"}, nil }
		}, []string{
			"a: failed: no-such-service.ns.svc.cluster.test. resolves, although it does not exist",
			"b: failed: no-such-service.ns.svc.cluster.test. resolves, although it does not exist",
		}},
		{"the resolver does not response for names that do not exist", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q request) (*response, error) {
				if strings.HasPrefix(q.host, "no-such-service") {
					return nil, errTimeout
				}
				return nil, nil
			}
		}, []string{
			"a: failed: no-such-service.ns.svc.cluster.test.: i/o timeout",
			"b: failed: no-such-service.ns.svc.cluster.test.: i/o timeout",
		}},

		{"pods reach each other", "pod-to-pod", nil, []string{
			"a -> b: passed: HTTP, UDP and 4000 bytes to 10.244.1.2, answered by probe-b",
			"b -> a: passed: HTTP, UDP and 4000 bytes to 10.244.0.2, answered by probe-a",
		}},
		{"traffic passes one way only", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(pod string, _ request) (*response, error) {
				if pod == "probe-b" {
					return nil, errTimeout
				}
				return nil, nil
			}
		}, []string{
			"a -> b: passed: HTTP, UDP and 4000 bytes to 10.244.1.2, answered by probe-b",
			"b -> a: failed: http to 10.244.0.2:8080: i/o timeout",
		}},
		{"UDP does not pass", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q request) (*response, error) {
				if q.protocol == "udp" {
					return nil, errTimeout
				}
				return nil, nil
			}
		}, []string{"a -> b: failed: udp to 10.244.1.2:8081: i/o timeout", "b -> a: failed: udp to 10.244.0.2:8081: i/o timeout"}},
		{"large packets do not pass", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q request) (*response, error) {
				if q.whole {
					return nil, errTimeout
				}
				return nil, nil
			}
		}, []string{
			"a -> b: failed: small packets reach 10.244.1.2:8080, but 4000 bytes over HTTP do not; check whether the MTU of the pod network is too large: i/o timeout",
			"b -> a: failed: small packets reach 10.244.0.2:8080, but 4000 bytes over HTTP do not; check whether the MTU of the pod network is too large: i/o timeout",
		}},
		{"large packets are cut", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q request) (*response, error) {
				if q.whole {
					return &response{body: "xxx"}, nil
				}
				return nil, nil
			}
		}, []string{
			"a -> b: failed: 10.244.1.2:8080 returned 3 of 4000 bytes",
			"b -> a: failed: 10.244.0.2:8080 returned 3 of 4000 bytes",
		}},
		{"another pod has the address", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q request) (*response, error) {
				if !q.whole {
					return &response{body: "impostor"}, nil
				}
				return nil, nil
			}
		}, []string{
			`a -> b: failed: http to 10.244.1.2:8080: "impostor" answered instead of probe-b`,
			`b -> a: failed: http to 10.244.0.2:8080: "impostor" answered instead of probe-a`,
		}},
		{"connections are all that can be shown", "pod-to-pod", func(_ *run, n *fakeNetwork) { n.breaks = connect }, []string{
			"a -> b: passed: TCP and UDP connect to 10.244.1.2 (no proxy)",
			"b -> a: passed: TCP and UDP connect to 10.244.0.2 (no proxy)",
		}},
		{"the cluster has only one node", "pod-to-pod", func(r *run, _ *fakeNetwork) { r.fixture.nodes = r.fixture.nodes[:1] }, []string{
			": skipped: the cluster has only one node",
		}},
		{"a node has no test pod", "pod-to-pod", func(r *run, _ *fakeNetwork) { r.fixture.nodes[1].failure = "no image" }, []string{
			"a -> b: skipped: no test pod on b", "b -> a: skipped: no test pod on b",
		}},

		{"the service answers", "pod-to-service", nil, []string{
			"a: passed: 10.96.7.7:80 answered by probe-a", "b: passed: 10.96.7.7:80 answered by probe-a",
		}},
		{"the service does not response", "pod-to-service", func(_ *run, n *fakeNetwork) {
			n.breaks = func(string, request) (*response, error) { return nil, errTimeout }
		}, []string{"a: failed: 10.96.7.7:80: i/o timeout", "b: failed: 10.96.7.7:80: i/o timeout"}},
		{"something else answers for the service", "pod-to-service", func(_ *run, n *fakeNetwork) {
			n.breaks = func(string, request) (*response, error) { return &response{body: "nginx"}, nil }
		}, []string{
			`a: failed: 10.96.7.7:80: "nginx" answered, which is not a test pod`, `b: failed: 10.96.7.7:80: "nginx" answered, which is not a test pod`,
		}},
		{"the service is connected to", "pod-to-service", func(_ *run, n *fakeNetwork) { n.breaks = connect }, []string{
			"a: passed: 10.96.7.7:80 answered by a connection (no proxy)",
			"b: passed: 10.96.7.7:80 answered by a connection (no proxy)",
		}},

		{"node ports response", "node-port", nil, []string{
			"a -> a: passed: 192.0.2.1:30123 answered by probe-a", "a -> b: passed: 192.0.2.2:30123 answered by probe-a",
			"b -> a: passed: 192.0.2.1:30123 answered by probe-a", "b -> b: passed: 192.0.2.2:30123 answered by probe-a",
		}},
		{"the node port of one node is closed, another has no address and no pod", "node-port", func(r *run, n *fakeNetwork) {
			r.fixture.nodes[1].address, r.fixture.nodes[1].failure = "", "no image"
			n.breaks = func(_ string, q request) (*response, error) { return nil, errors.New("connection refused") }
		}, []string{
			"a -> a: failed: 192.0.2.1:30123: connection refused", "a -> b: failed: node b has no InternalIP",
			"b -> a: skipped: no test pod on b", "b -> b: skipped: no test pod on b",
		}},

		{"commands run", "exec", nil, []string{
			"a: passed: /agnhost --version: app version 2.63.0", "b: passed: /agnhost --version: app version 2.63.0",
		}},
		{"kubelet is not reached for a command", "exec", func(_ *run, n *fakeNetwork) { n.execErr = errTimeout }, []string{
			"a: failed: i/o timeout", "b: failed: i/o timeout",
		}},
		{"a command prints nothing", "exec", func(_ *run, n *fakeNetwork) { n.execOut = "\n" }, []string{
			"a: failed: /agnhost --version in probe-a printed nothing", "b: failed: /agnhost --version in probe-b printed nothing",
		}},

		{"logs are read", "logs", nil, []string{
			"a: passed: log of probe-a: Started HTTP server on port 8080", "b: passed: log of probe-b: Started HTTP server on port 8080",
		}},
		{"kubelet is not reached for logs", "logs", func(_ *run, n *fakeNetwork) { n.logErr = errTimeout }, []string{
			"a: failed: i/o timeout", "b: failed: i/o timeout",
		}},
		{"the log is another one", "logs", func(_ *run, n *fakeNetwork) { n.logText = "panic" }, []string{
			`a: failed: the log of probe-a lacks the first line of agnhost: "panic"`, `b: failed: the log of probe-b lacks the first line of agnhost: "panic"`,
		}},

		{"test pods run", "test-pods", nil, []string{"a: passed: probe-a at 10.244.0.2", "b: passed: probe-b at 10.244.1.2"}},
		{"a test pod does not start", "test-pods", func(r *run, _ *fakeNetwork) { r.fixture.nodes[1].failure = "ImagePullBackOff" }, []string{
			"a: passed: probe-a at 10.244.0.2", "b: failed: ImagePullBackOff",
		}},
		{"there are no test pods at all", "test-pods", func(r *run, _ *fakeNetwork) { r.fixture, r.setUpFailure = nil, "namespace: forbidden" }, []string{
			": failed: namespace: forbidden",
		}},
		{"nor probes in them", "node-port", func(r *run, _ *fakeNetwork) { r.fixture = nil }, []string{": skipped: there are no test pods"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, network := testRun()
			if test.change != nil {
				test.change(r, network)
			}
			if diff := cmp.Diff(test.want, lines(probed(t, r, test.probe))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAProbeIsRetriedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	r, network := testRun()
	network.breaks = func(string, request) (*response, error) {
		if network.requests < 20 {
			return nil, errTimeout
		}
		return nil, nil
	}
	for _, p := range probed(t, r, "pod-to-service") {
		if p.Status != report.ProbePassed {
			t.Errorf("%s: %s", p.Target, p.Error)
		}
		if p.DurationMS < 2000 { // nine pauses at least
			t.Errorf("it took %d ms only", p.DurationMS)
		}
	}
}

func TestAProbeFailsWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	r, network := testRun()
	network.breaks = func(string, request) (*response, error) { return nil, errTimeout }
	for _, p := range probed(t, r, "pod-to-service") {
		if took := p.DurationMS; took < podRetryTime.Milliseconds() || took > podRetryTime.Milliseconds()+1000 {
			t.Errorf("%s gave up after %d ms", p.Target, took)
		}
	}
}

func TestAPanicIsAFailedProbe(t *testing.T) {
	t.Parallel()
	r, network := testRun()
	network.breaks = func(string, request) (*response, error) { panic("oh") }
	want := []string{"a: failed: panic: oh", "b: failed: panic: oh"}
	if diff := cmp.Diff(want, lines(probed(t, r, "pod-to-service"))); diff != "" {
		t.Error(diff)
	}
}
