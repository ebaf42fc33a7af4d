package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// lines are the probes as "target: status: evidence or error".
func lines(probes []Probe) []string {
	var lines []string
	for _, p := range probes {
		lines = append(lines, fmt.Sprintf("%s: %s: %s%s", p.Target, p.Status, p.Evidence, p.Error))
	}
	return lines
}

// performed runs one kind of probe in a bubble, where retries take no time.
func performed(t *testing.T, r *run, name string) (probes []Probe) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		all := definitions()
		i := slices.IndexFunc(all, func(d definition) bool { return d.name == name })
		probes = r.perform(t.Context(), all[i:i+1])[name]
	})
	return probes
}

func TestProbesInPods(t *testing.T) {
	t.Parallel()
	noDNS := func(_ string, q question) (*answer, error) {
		if strings.HasSuffix(q.host, ".") {
			return nil, errors.New("lookup: i/o timeout")
		}
		return nil, nil
	}
	connect := func(string, question) (*answer, error) { return &answer{connectedOnly: "no proxy"}, nil }
	tests := []struct {
		name, probe string
		change      func(*run, *fakeNetwork)
		want        []string
	}{
		{"names resolve", "dns", nil, []string{
			"a: passed: kubernetes.default.svc.cluster.test, probe.ns.svc.cluster.test, probe answer; a name that does not exist is refused",
			"b: passed: kubernetes.default.svc.cluster.test, probe.ns.svc.cluster.test, probe answer; a name that does not exist is refused",
		}},
		{"DNS does not answer on one node", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(pod string, q question) (*answer, error) {
				if pod == "probe-a" {
					return nil, nil
				}
				return noDNS(pod, q)
			}
		}, []string{
			"a: passed: kubernetes.default.svc.cluster.test, probe.ns.svc.cluster.test, probe answer; a name that does not exist is refused",
			"b: failed: kubernetes.default.svc.cluster.test.: lookup: i/o timeout",
		}},
		{"short names do not resolve", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q question) (*answer, error) {
				if q.host == "probe" {
					return nil, errNoSuchName
				}
				return nil, nil
			}
		}, []string{"a: failed: probe: no such host", "b: failed: probe: no such host"}},
		{"the resolver knows names that do not exist", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(string, question) (*answer, error) { return &answer{body: "welcome"}, nil }
		}, []string{
			"a: failed: no-such-service.ns.svc.cluster.test. resolves, although it does not exist",
			"b: failed: no-such-service.ns.svc.cluster.test. resolves, although it does not exist",
		}},
		{"the resolver does not answer for names that do not exist", "dns", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q question) (*answer, error) {
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
			n.breaks = func(pod string, _ question) (*answer, error) {
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
			n.breaks = func(_ string, q question) (*answer, error) {
				if q.protocol == "udp" {
					return nil, errTimeout
				}
				return nil, nil
			}
		}, []string{"a -> b: failed: udp to 10.244.1.2:8081: i/o timeout", "b -> a: failed: udp to 10.244.0.2:8081: i/o timeout"}},
		{"large packets do not pass", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q question) (*answer, error) {
				if q.whole {
					return nil, errTimeout
				}
				return nil, nil
			}
		}, []string{
			"a -> b: failed: small packets reach 10.244.1.2:8080, 4000 bytes over HTTP do not (is the pod network's MTU too large?): i/o timeout",
			"b -> a: failed: small packets reach 10.244.0.2:8080, 4000 bytes over HTTP do not (is the pod network's MTU too large?): i/o timeout",
		}},
		{"large packets are cut", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q question) (*answer, error) {
				if q.whole {
					return &answer{body: "xxx"}, nil
				}
				return nil, nil
			}
		}, []string{
			"a -> b: failed: 10.244.1.2:8080 gave back 3 bytes of 4000",
			"b -> a: failed: 10.244.0.2:8080 gave back 3 bytes of 4000",
		}},
		{"another pod has the address", "pod-to-pod", func(_ *run, n *fakeNetwork) {
			n.breaks = func(_ string, q question) (*answer, error) {
				if !q.whole {
					return &answer{body: "impostor"}, nil
				}
				return nil, nil
			}
		}, []string{
			`a -> b: failed: http to 10.244.1.2:8080: "impostor" answered instead of probe-b`,
			`b -> a: failed: http to 10.244.0.2:8080: "impostor" answered instead of probe-a`,
		}},
		{"connections are all that can be shown", "pod-to-pod", func(_ *run, n *fakeNetwork) { n.breaks = connect }, []string{
			"a -> b: passed: TCP and UDP connect to 10.244.1.2 (no more is known: no proxy)",
			"b -> a: passed: TCP and UDP connect to 10.244.0.2 (no more is known: no proxy)",
		}},
		{"there is one node only", "pod-to-pod", func(r *run, _ *fakeNetwork) { r.fixture.nodes = r.fixture.nodes[:1] }, []string{
			": skipped: there is one node only",
		}},
		{"a node has no test pod", "pod-to-pod", func(r *run, _ *fakeNetwork) { r.fixture.nodes[1].trouble = "no image" }, []string{
			"a -> b: skipped: no test pod on b", "b -> a: skipped: no test pod on b",
		}},

		{"the service answers", "pod-to-service", nil, []string{
			"a: passed: 10.96.7.7:80 answered by probe-a", "b: passed: 10.96.7.7:80 answered by probe-a",
		}},
		{"the service does not answer", "pod-to-service", func(_ *run, n *fakeNetwork) {
			n.breaks = func(string, question) (*answer, error) { return nil, errTimeout }
		}, []string{"a: failed: 10.96.7.7:80: i/o timeout", "b: failed: 10.96.7.7:80: i/o timeout"}},
		{"something else answers for the service", "pod-to-service", func(_ *run, n *fakeNetwork) {
			n.breaks = func(string, question) (*answer, error) { return &answer{body: "nginx"}, nil }
		}, []string{
			`a: failed: 10.96.7.7:80: "nginx" answered, which is no test pod`, `b: failed: 10.96.7.7:80: "nginx" answered, which is no test pod`,
		}},
		{"the service is connected to", "pod-to-service", func(_ *run, n *fakeNetwork) { n.breaks = connect }, []string{
			"a: passed: 10.96.7.7:80 answered by a connection (no more is known: no proxy)",
			"b: passed: 10.96.7.7:80 answered by a connection (no more is known: no proxy)",
		}},

		{"node ports answer", "node-port", nil, []string{
			"a -> a: passed: 192.0.2.1:30123 answered by probe-a", "a -> b: passed: 192.0.2.2:30123 answered by probe-a",
			"b -> a: passed: 192.0.2.1:30123 answered by probe-a", "b -> b: passed: 192.0.2.2:30123 answered by probe-a",
		}},
		{"the node port of one node is closed, another has no address and no pod", "node-port", func(r *run, n *fakeNetwork) {
			r.fixture.nodes[1].address, r.fixture.nodes[1].trouble = "", "no image"
			n.breaks = func(_ string, q question) (*answer, error) { return nil, errors.New("connection refused") }
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
			`a: failed: the log of probe-a lacks agnhost's first line: "panic"`, `b: failed: the log of probe-b lacks agnhost's first line: "panic"`,
		}},

		{"test pods run", "test-pods", nil, []string{"a: passed: probe-a at 10.244.0.2", "b: passed: probe-b at 10.244.1.2"}},
		{"a test pod does not start", "test-pods", func(r *run, _ *fakeNetwork) { r.fixture.nodes[1].trouble = "ImagePullBackOff" }, []string{
			"a: passed: probe-a at 10.244.0.2", "b: failed: ImagePullBackOff",
		}},
		{"there are no test pods at all", "test-pods", func(r *run, _ *fakeNetwork) { r.fixture, r.noBed = nil, "namespace: forbidden" }, []string{
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
			if diff := cmp.Diff(test.want, lines(performed(t, r, test.probe))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAProbeIsTriedAgainUntilItSucceeds(t *testing.T) {
	t.Parallel()
	r, network := testRun()
	network.breaks = func(string, question) (*answer, error) {
		if network.asked < 20 {
			return nil, errTimeout
		}
		return nil, nil
	}
	for _, p := range performed(t, r, "pod-to-service") {
		if p.Status != Passed {
			t.Errorf("%s: %s", p.Target, p.Error)
		}
		if p.DurationMS < 2000 { // nine pauses at least
			t.Errorf("it took %d ms only", p.DurationMS)
		}
	}
}

func TestAProbeGivesUpInTime(t *testing.T) {
	t.Parallel()
	r, network := testRun()
	network.breaks = func(string, question) (*answer, error) { return nil, errTimeout }
	for _, p := range performed(t, r, "pod-to-service") {
		if took := p.DurationMS; took < podPatience.Milliseconds() || took > podPatience.Milliseconds()+1000 {
			t.Errorf("%s gave up after %d ms", p.Target, took)
		}
	}
}

func TestAPanicIsAFailedProbe(t *testing.T) {
	t.Parallel()
	r, network := testRun()
	network.breaks = func(string, question) (*answer, error) { panic("oh") }
	want := []string{"a: failed: panic: oh", "b: failed: panic: oh"}
	if diff := cmp.Diff(want, lines(performed(t, r, "pod-to-service"))); diff != "" {
		t.Error(diff)
	}
}
