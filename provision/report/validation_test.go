package report

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func validationReport() *ValidationReport {
	r := &ValidationReport{Cluster: "lab", DurationMS: 3000, Started: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}
	r.Add(
		ProbeResult{Name: "dns", Target: "cp-1", Title: "Pods resolve names", Status: ProbePassed, Evidence: "all answer", DurationMS: 1000},
		ProbeResult{Name: "dns", Target: "w-1", Title: "Pods resolve names", Status: ProbeFailed, Error: "<i/o> timeout\x00", DurationMS: 1000},
		ProbeResult{Name: "ingress", Title: "An Ingress answers", Status: ProbeSkipped, Evidence: "the inventory has no ingress addon"},
	)
	return r
}

func TestValidationIsOKIfSomethingPassedAndNothingFailed(t *testing.T) {
	t.Parallel()
	passed, failed, skipped := ProbeResult{Status: ProbePassed}, ProbeResult{Status: ProbeFailed}, ProbeResult{Status: ProbeSkipped}
	degraded := ProbeResult{Status: ProbeDegraded}
	for name, test := range map[string]struct {
		results []ProbeResult
		want    bool
		status  ProbeStatus
	}{
		"one passed":                      {[]ProbeResult{passed}, true, ProbePassed},
		"one passed and one was skipped":  {[]ProbeResult{passed, skipped}, true, ProbePassed},
		"one passed and one failed":       {[]ProbeResult{failed, passed}, false, ProbeFailed},
		"one passed and one is degraded":  {[]ProbeResult{passed, degraded}, true, ProbeDegraded},
		"one is degraded":                 {[]ProbeResult{degraded, skipped}, true, ProbeDegraded},
		"one failed and one is degraded":  {[]ProbeResult{failed, degraded}, false, ProbeFailed},
		"all were skipped":                {[]ProbeResult{skipped}, false, ProbeFailed},
		"there is no probe in the report": {nil, false, ProbeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r ValidationReport
			r.Add(test.results...)
			if r.OK != test.want {
				t.Errorf("OK is %v, want %v", r.OK, test.want)
			}
			if r.Status() != test.status {
				t.Errorf("the status is %s, want %s", r.Status(), test.status)
			}
		})
	}
}

func TestFailuresNameTheProbeAndItsTarget(t *testing.T) {
	t.Parallel()
	r := validationReport()
	r.Add(ProbeResult{Name: "stateful-set", Status: ProbeFailed, Error: "no default StorageClass"})
	want := []string{"dns w-1: <i/o> timeout\x00", "stateful-set: no default StorageClass"}
	if diff := cmp.Diff(want, r.Failures()); diff != "" {
		t.Error(diff)
	}
}

func TestValidationAsText(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := validationReport()
	r.Probes[1].Error = "i/o timeout"
	if err := Validation(&out, r); err != nil {
		t.Fatal(err)
	}
	want := `         PROBE    TARGET  TIME  EVIDENCE
ok       dns      cp-1    1s    all answer
failed   dns      w-1     1s    i/o timeout
skipped  ingress          0s    the inventory has no ingress addon
1 passed, 1 failed, 1 skipped in 3s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestValidationAsJUnit(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := ValidationJUnit(&out, validationReport()); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(got.Suites) != 2 || got.Suites[0].Tests != 2 || got.Suites[0].Failures != 1 || got.Suites[1].Skipped != 1 {
		t.Errorf("got %s", out.String())
	}
	if c := got.Suites[0].Cases[0]; c.Failure != nil || c.Skipped != nil || !strings.Contains(c.Out, "all answer") {
		t.Errorf("got %+v", c)
	}
	if c := got.Suites[0].Cases[1]; c.Failure == nil || c.Name != "w-1" || !strings.Contains(c.Failure.Text, "<i/o> timeout") {
		t.Errorf("got %+v", c)
	}
	if c := got.Suites[1].Cases[0]; c.Name != "ingress" || c.Skipped == nil || c.Skipped.Message != "the inventory has no ingress addon" {
		t.Errorf("got %+v", c)
	}
}

func TestValidationAsHTML(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := ValidationHTML(&out, validationReport()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 passed, 1 failed, 1 skipped in 3s", "&lt;i/o&gt; timeout", "the inventory has no ingress addon", "Validation of lab",
		`<span id="status" class="badge failed">failed`, `<span class="badge passed">passed`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "://") || strings.Contains(out.String(), "src=") {
		t.Error("the page loads something")
	}
}

func TestADegradedClusterIsNoFailure(t *testing.T) {
	t.Parallel()
	var r ValidationReport
	r.Add(ProbeResult{Name: "etcd", Target: "cp-1", Title: "etcd has a quorum", Status: ProbeDegraded, Evidence: "the host is unreachable"},
		ProbeResult{Name: "etcd", Target: "cp-2", Title: "etcd has a quorum", Status: ProbePassed, Evidence: "votes"})
	if diff := cmp.Diff([]string{"etcd cp-1: the host is unreachable"}, r.Degradations()); diff != "" || r.Failures() != nil {
		t.Errorf("failures %v; %s", r.Failures(), diff)
	}
	var text, junit, page strings.Builder
	if err := errors.Join(Validation(&text, &r), ValidationJUnit(&junit, &r), ValidationHTML(&page, &r)); err != nil {
		t.Fatal(err)
	}
	want := `          PROBE  TARGET  TIME  EVIDENCE
degraded  etcd   cp-1    0s    the host is unreachable
ok        etcd   cp-2    0s    votes
1 passed, 0 failed, 1 degraded, 0 skipped in 0s
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(junit.String(), "<system-out>degraded: the host is unreachable</system-out>") || strings.Contains(junit.String(), "<failure") {
		t.Errorf("got %s", junit.String())
	}
	for _, want := range []string{`<span id="status" class="badge degraded">degraded`, "1 passed, 0 failed, 1 degraded, 0 skipped"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, page.String())
		}
	}
}
