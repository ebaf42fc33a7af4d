package check

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSeveritiesSortFromWorstToBest(t *testing.T) {
	t.Parallel()
	got := []Severity{Skipped, OK, Info, Warning, Unknown, Error}
	slices.SortFunc(got, Worse)
	if diff := cmp.Diff([]Severity{Error, Unknown, Warning, Info, OK, Skipped}, got); diff != "" {
		t.Error(diff)
	}
	if Worse(Warning, Warning) != 0 {
		t.Error("a severity is worse than itself")
	}
}

func TestAddSetsTheStatusOfTheResult(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		findings []Finding
		want     Severity
	}{
		{"no finding is ok", nil, OK},
		{"a finding without a severity has that of the check", []Finding{{}}, Warning},
		{"a finding can be worse than the check", []Finding{{Severity: Error}}, Error},
		{"a better finding does not improve the status", []Finding{{Severity: Error}, {Severity: Info}}, Error},
		{"an ignored finding does not count", []Finding{{Severity: Info}, {Severity: Error, Ignored: "a lab"}}, Info},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := Result{Description: Description{Name: "mtu", Severity: Warning}, Status: OK}
			for _, f := range test.findings {
				r.Add(f)
			}
			if r.Status != test.want {
				t.Errorf("got %s, want %s", r.Status, test.want)
			}
			if len(r.Findings) != len(test.findings) {
				t.Errorf("got %d findings, want %d", len(r.Findings), len(test.findings))
			}
			for _, f := range r.Findings {
				if f.Check != "mtu" || f.Severity == "" {
					t.Errorf("incomplete finding %+v", f)
				}
			}
		})
	}
}

func TestStatusOfAReportIsThatOfItsWorstCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		statuses []Severity
		want     Severity
	}{
		{"no checks are ok", nil, OK},
		{"skipped checks do not count", []Severity{Skipped}, OK},
		{"an info is worse than ok", []Severity{OK, Info}, Info},
		{"unknown is worse than a warning", []Severity{Warning, Unknown, OK}, Unknown},
		{"an error is the worst", []Severity{Unknown, Error, Skipped}, Error},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var r Report
			for _, s := range test.statuses {
				r.Checks = append(r.Checks, Result{Status: s})
			}
			if got := r.Status(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestReportSelectsBySeverity(t *testing.T) {
	t.Parallel()
	mtu := Finding{Check: "mtu", Host: "w-1", Severity: Error}
	proxy := Finding{Check: "proxy", Host: "w-2", Severity: Error}
	r := Report{Checks: []Result{
		{Status: Error, Findings: []Finding{mtu, {Check: "mtu", Severity: Warning}}},
		{Status: OK, Findings: []Finding{{Check: "selinux", Severity: Error, Ignored: "a lab"}}},
		{Status: Error, Findings: []Finding{proxy}},
	}}
	if diff := cmp.Diff([]Finding{mtu, proxy}, r.Findings(Error)); diff != "" {
		t.Error(diff)
	}
	if got := r.Findings(Info); got != nil {
		t.Errorf("got %v, want no infos", got)
	}
	for severity, want := range map[Severity]int{Error: 2, OK: 1, Warning: 0} {
		if got := r.Count(severity); got != want {
			t.Errorf("Count(%s) is %d, want %d", severity, got, want)
		}
	}
}
