package validate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func names(definitions []definition) string {
	var names []string
	for _, d := range definitions {
		names = append(names, d.name)
	}
	return strings.Join(names, " ")
}

func TestOnlyAndSkipChooseProbes(t *testing.T) {
	t.Parallel()
	all := strings.Join(Names(), " ")
	tests := []struct {
		name       string
		only, skip []string
		want, err  string
	}{
		{"by default all", nil, nil, all, ""},
		{"without one", nil, []string{"logs"}, strings.Replace(all, " logs", "", 1), ""},
		{"only one, with the pods it needs", []string{"dns"}, nil, "test-pods dns", ""},
		{"only one that needs no pods", []string{"nodes-ready"}, nil, "nodes-ready", ""},
		{"the pods stay while others need them", []string{"dns", "exec"}, []string{"test-pods", "exec"}, "test-pods dns", ""},
		{"a name that is not there", []string{"dsn"}, []string{"x"}, "", "no probe is called dsn, x; there are nodes-ready, "},
		{"nothing left", []string{"dns"}, []string{"dns"}, "", "no probe is left to run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			chosen, err := choose(test.only, test.skip)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, names(chosen)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// ofWorkloads are the probes that make what they need: no fake keeps data, or
// answers from outside. The end-to-end test has them all.
var ofWorkloads = []string{"network-policy", "load-balancer", "ingress", "volume", "stateful-set", "rolling-update", "autoscaler"}

// podsOnly leaves the API out too, for which there is no client here.
var podsOnly = Options{Skip: append([]string{"nodes-ready", "control-plane-pods"}, ofWorkloads...)}

func TestAValidationClearsUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		run    func(t *testing.T, o Options, f *fakeBed) (*Report, error)
		err    error
		failed bool
	}{
		{"after success", func(t *testing.T, o Options, f *fakeBed) (*Report, error) {
			return validate(t.Context(), o, f)
		}, nil, false},
		{"after the pods could not be made", func(t *testing.T, o Options, f *fakeBed) (*Report, error) {
			f.err = errors.New("forbidden")
			return validate(t.Context(), o, f)
		}, nil, true},
		{"after an interruption", func(t *testing.T, o Options, f *fakeBed) (*Report, error) {
			ctx, cancel := context.WithCancel(t.Context())
			f.laid = cancel
			return validate(ctx, o, f)
		}, context.Canceled, true},
		{"after a timeout", func(t *testing.T, o Options, f *fakeBed) (*Report, error) {
			o.Timeout = time.Second
			f.made.prober.(*fakeNetwork).breaks = func(string, question) (*answer, error) { return nil, errTimeout }
			return validate(t.Context(), o, f)
		}, nil, true},
		{"after a panic", func(t *testing.T, o Options, f *fakeBed) (*Report, error) {
			f.laid = func() { panic("oh") }
			defer func() {
				if recover() == nil {
					t.Error("the panic was lost")
				}
			}()
			return validate(t.Context(), o, f)
		}, nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, _ := testRun()
				f := &fakeBed{made: r.fixture}
				o := podsOnly
				o.Cluster = r.options.Cluster
				report, err := test.run(t, o, f)
				if !errors.Is(err, test.err) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				if f.cleared != 1 || !f.alive {
					t.Errorf("cleared %d times, with a context that lives: %v", f.cleared, f.alive)
				}
				if report != nil && report.OK == test.failed {
					t.Errorf("ok: %v; %v", report.OK, report.Failures())
				}
			})
		})
	}
}

func TestTheReportIsInTheOrderOfTheProbesAndOfTheInventory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, network := testRun()
		r.fixture.nodes[0], r.fixture.nodes[1] = r.fixture.nodes[1], r.fixture.nodes[0] // as the API lists them
		network.breaks = func(pod string, q question) (*answer, error) {
			if pod == "probe-b" && q.host == r.fixture.clusterIP {
				return nil, errTimeout
			}
			return nil, nil
		}
		var told []string
		o := podsOnly
		o.Cluster = r.options.Cluster
		o.Cluster.Metadata.Name = "lab"
		o.Skip = append([]string{"node-port", "pod-to-pod"}, o.Skip...)
		o.Progress = func(message string) { told = append(told, message) }
		report, err := validate(t.Context(), o, &fakeBed{made: r.fixture})
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/report.json", got)
		if diff := cmp.Diff([]string{"pod-to-service b: 10.96.7.7:80: i/o timeout"}, report.Failures()); diff != "" {
			t.Error(diff)
		}
		if last := told[len(told)-1]; last != "10 of 10 probes done, 1 failed" {
			t.Errorf("the last progress is %q", last)
		}
		rows := report.Rows()
		if len(rows) != len(report.Probes) || len(rows[0]) != len(Columns()) {
			t.Errorf("%d rows of %d cells", len(rows), len(rows[0]))
		}
		want := []string{"pod-to-service", "b", "failed", "30s", "10.96.7.7:80: i/o timeout"}
		if diff := cmp.Diff(want, rows[8]); diff != "" {
			t.Error(diff)
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
