package preflight

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestEveryCheckIsDescribed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range Describe() {
		if seen[d.Name] || !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(d.Name) {
			t.Errorf("%q is a duplicate, or not a valid name", d.Name)
		}
		seen[d.Name] = true
		if d.Title == "" || d.Examines == "" || d.Why == "" || len(d.Manual) == 0 || d.Docs != "docs/preflight.md#"+d.Name {
			t.Errorf("%s is not described: %+v", d.Name, d)
		}
		if !strings.HasSuffix(d.Examines, ".") || !strings.HasSuffix(d.Why, ".") || strings.HasSuffix(d.Title, ".") {
			t.Errorf("%s: Examines and Why are sentences, Title is none", d.Name)
		}
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Facts("w-1").CPUs, fixture.Facts("w-1").Arch = 0, "riscv64"
	tests := []struct {
		name      string
		selection Selection
		want      []string
	}{
		{"all", Selection{}, []string{"architecture w-1 error", "resources w-1 error", "os-mix  info"}},
		{"one left out", Selection{Skip: []string{"architecture"}}, []string{"resources w-1 error", "os-mix  info"}},
		{"one only", Selection{Only: []string{"architecture"}}, []string{"architecture w-1 error"}},
		{"one of two only", Selection{Only: []string{"architecture", "resources"}, Skip: []string{"resources"}}, []string{"architecture w-1 error"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "no packets in this test"}
			if diff := cmp.Diff(test.want, told(cc.report(test.selection))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARenamedCheckIsKnownByItsOldName(t *testing.T) {
	t.Parallel()
	if err := (Selection{Only: []string{"mesh"}}).Validate(); err != nil {
		t.Error(err)
	}
	for name, selection := range map[string]Selection{"only": {Only: []string{"mtu"}}, "skip": {Skip: []string{"mesh"}}} {
		if selection.skipReason("reachability") == "" {
			t.Errorf("%s: the check runs", name)
		}
	}
	fixture := workflowtest.New(t, two)
	report := (&checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none"}).report(Selection{Only: []string{"mesh"}})
	if len(report.Checks) != 1 || report.Checks[0].Name != "reachability" {
		t.Errorf("got %+v", report.Checks)
	}
	cc := &checkContext{cluster: &config.Cluster{Preflight: config.Preflight{Ignore: []config.IgnoredCheck{{Check: "mesh", Reason: "a lab"}}}}}
	if reason := cc.ignored("reachability"); reason != "a lab" {
		t.Errorf("the error is ignored because of %q", reason)
	}
}

func TestASelectionNamesChecksThatExist(t *testing.T) {
	t.Parallel()
	if err := (Selection{Only: []string{"reachability"}, Skip: []string{"swap-returns"}}).Validate(); err != nil {
		t.Error(err)
	}
	err := Selection{Only: []string{"swap"}, Skip: []string{"zzz"}}.Validate()
	var unknown *workflow.SelectionError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "did you mean swap-returns?") || !strings.Contains(err.Error(), `unknown check "zzz"`) {
		t.Errorf("got %v", err)
	}
}

// An unreachable host does not affect the checks of the others, and does not fail
// the run: it is a finding.
func TestRunReportsAnUnreachableHostAndChecksTheOthers(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	for _, m := range fixture.Hosts.All {
		m.SetFacts(nil)
	}
	args := facts.Arguments()
	fixture.Host("cp-1").ExpectQueryScript("facts.sh", args...).Returns("arch\triscv64\nkernel\t6.1\n")
	fixture.Host("w-1").ExpectQueryScript("facts.sh", args...).Error(host.ErrUnreachable)
	report, err := Run(t.Context(), fixture.Cluster, fixture.Hosts, Options{NoPairs: true, Selection: Selection{Only: []string{"architecture", "ssh-connect"}}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ssh-connect w-1 error", "architecture cp-1 error", "architecture w-1 unknown"}, told(report)); diff != "" {
		t.Error(diff)
	}
	if report.Status() != check.Error || report.Seconds <= 0 || len(report.Hosts) != 2 {
		t.Errorf("got %+v", report)
	}
	if err := fixture.Hosts.All[1].Unreachable(); err != nil {
		t.Errorf("the run fails with %v", err)
	}
}

func TestAnUnusableBundleIsAFinding(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Facts("w-1").Arch = "riscv64"
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "no packets in this test", bundleErr: errors.New("no bundle.yaml")}
	if diff := cmp.Diff([]string{"architecture w-1 error", "version  error", "os-mix  info"}, told(cc.report(Selection{}))); diff != "" {
		t.Error(diff)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fixture := workflowtest.New(t, two)
	if _, err := Run(ctx, fixture.Cluster, fixture.Hosts, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTheInventoryIgnoresWithAReason(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two+"preflight: {ignore: [{check: architecture, reason: an experiment}]}\n")
	fixture.Facts("w-1").Arch = "riscv64"
	for _, c := range reportOf(fixture).Checks {
		if c.Name == "architecture" && (c.Status != check.OK || c.Findings[0].Ignored != "an experiment") {
			t.Errorf("got %+v", c)
		}
	}
}
