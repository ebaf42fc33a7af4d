package validate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/report"
)

var update = flag.Bool("update", false, "write the golden files")

// workloadProbes set up objects of their own; see workloads_test.go.
var workloadProbes = []string{"network-policy", "load-balancer", "ingress", "volume", "stateful-set", "rolling-update", "autoscaler"}

// podProbes need no API server.
var podProbes = Selection{Skip: append([]string{"nodes-ready", "control-plane-pods", "etcd", "api-server", "endpoint", "dns-replicas"}, workloadProbes...)}

// harnessed is testRun with a harness that is still to be set up.
func harnessed() (*run, *fakeHarness) {
	r, _ := testRun()
	h := &fakeHarness{fixture: r.fixture}
	r.fixture, r.harness = nil, h
	return r, h
}

func TestTheHarnessIsTornDown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// change prepares the run; it may cancel its context.
		change  func(r *run, h *fakeHarness, cancel func())
		err     error
		panics  bool
		timeout time.Duration
	}{
		{"after success", func(*run, *fakeHarness, func()) {}, nil, false, 0},
		{"after the pods could not be created", func(_ *run, h *fakeHarness, _ func()) { h.err = errors.New("forbidden") }, &FailedError{}, false, 0},
		{"after an interruption", func(_ *run, h *fakeHarness, cancel func()) { h.starting = cancel }, context.Canceled, false, 0},
		{"after a timeout", func(_ *run, h *fakeHarness, _ func()) {
			h.fixture.prober.(*fakeNetwork).breaks = func(string, request) (*response, error) { return nil, errTimeout }
		}, &FailedError{}, false, time.Second},
		{"after a panic", func(_ *run, h *fakeHarness, _ func()) { h.starting = func() { panic("oh") } }, nil, true, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, h := harnessed()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				test.change(r, h, cancel)
				defer func() {
					if panicked := recover() != nil; panicked != test.panics {
						t.Errorf("it panicked: %v", panicked)
					}
					if h.tornDown != 1 || !h.contextAlive {
						t.Errorf("torn down %d times, with a context that is alive: %v", h.tornDown, h.contextAlive)
					}
				}()
				var found report.ValidationReport
				err := r.validate(ctx, Options{Selection: podProbes, Timeout: test.timeout}, &found)
				var failed *FailedError
				if _, want := test.err.(*FailedError); want && !errors.As(err, &failed) || !want && !errors.Is(err, test.err) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				if found.OK != (err == nil) {
					t.Errorf("ok: %v; %v", found.OK, found.Failures())
				}
			})
		})
	}
}

func TestAProbeThatTheTimeoutEndsFailsWithItsLastErrorAndTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, h := harnessed()
		h.fixture.prober.(*fakeNetwork).breaks = func(string, request) (*response, error) { return nil, errTimeout }
		var found report.ValidationReport
		err := r.validate(t.Context(), Options{Selection: Selection{Only: []string{"pod-to-service"}}, Timeout: time.Second}, &found)
		var failed *FailedError
		if !errors.As(err, &failed) {
			t.Fatalf("error %v", err)
		}
		want := []string{
			"pod-to-service a: 10.96.7.7:80: i/o timeout (the validation timed out after 1s)",
			"pod-to-service b: 10.96.7.7:80: i/o timeout (the validation timed out after 1s)",
		}
		if diff := cmp.Diff(want, failed.Failures); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheErrorNamesTheFailedProbes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  *FailedError
		want string
	}{
		{"two failed", &FailedError{Failures: []string{"api: refused", "exec w1: timed out"}}, "the cluster does not pass its validation: api: refused\nexec w1: timed out"},
		{"all were skipped", &FailedError{}, "the cluster does not pass its validation: no probe could be run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.err.Error(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestTheReportIsInTheOrderOfTheProbesAndOfTheInventory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, h := harnessed()
		nodes := h.fixture.nodes
		nodes[0], nodes[1] = nodes[1], nodes[0] // as the API lists them
		h.fixture.prober.(*fakeNetwork).breaks = func(pod string, q request) (*response, error) {
			if pod == "probe-b" && q.host == h.fixture.clusterIP {
				return nil, errTimeout
			}
			return nil, nil
		}
		var said []string
		r.progress.say = func(message string) { said = append(said, message) }
		r.cluster.Metadata.Name = "lab"
		selection := Selection{Skip: append([]string{"node-port", "pod-to-pod"}, podProbes.Skip...)}
		var found report.ValidationReport
		err := r.validate(t.Context(), Options{Selection: selection}, &found)
		got, marshalErr := json.MarshalIndent(&found, "", "  ")
		if marshalErr != nil {
			t.Fatal(marshalErr)
		}
		golden(t, "testdata/report.json", got)
		var failed *FailedError
		if !errors.As(err, &failed) {
			t.Fatalf("error %v", err)
		}
		if diff := cmp.Diff([]string{"pod-to-service b: 10.96.7.7:80: i/o timeout"}, failed.Failures); diff != "" {
			t.Error(diff)
		}
		if last := said[len(said)-1]; last != "10 of 10 probes done, 1 failed" {
			t.Errorf("the last progress is %q", last)
		}
	})
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Error(diff)
	}
}
