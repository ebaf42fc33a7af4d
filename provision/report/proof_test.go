package report

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

func proof() *Proof {
	return &Proof{
		Cluster: "lab", Took: 3 * time.Second, Started: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
		Probes: []ProofProbe{
			{Name: "dns", Target: "cp-1", Title: "Pods resolve names", Status: StatusOK, Seen: "all answer", Took: time.Second},
			{Name: "dns", Target: "w-1", Title: "Pods resolve names", Status: StatusFailed, Seen: "<i/o> timeout\x00", Took: time.Second},
			{Name: "ingress", Title: "An Ingress answers", Status: StatusSkipped, Seen: "the inventory has no ingress"},
		},
	}
}

func TestProofAsJUnit(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := ProofJUnit(&out, proof()); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(got.Suites) != 2 || got.Suites[0].Tests != 2 || got.Suites[0].Failures != 1 || got.Suites[1].Skipped != 1 {
		t.Errorf("got %s", out.String())
	}
	if c := got.Suites[0].Cases[1]; c.Failure == nil || c.Name != "w-1" || !strings.Contains(c.Failure.Text, "<i/o> timeout") {
		t.Errorf("got %+v", c)
	}
	if c := got.Suites[1].Cases[0]; c.Name != "ingress" || c.Skipped == nil || c.Skipped.Message != "the inventory has no ingress" {
		t.Errorf("got %+v", c)
	}
}

func TestProofAsAPage(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := ProofHTML(&out, proof()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 passed, 1 failed, 1 skipped in 3s", "&lt;i/o&gt; timeout", `class="badge failed">failed`, "Validation of lab"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "://") || strings.Contains(out.String(), "src=") {
		t.Error("the page loads something")
	}
}
