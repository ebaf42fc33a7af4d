package preflight

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// TestWhatPreflightSaysOfDistributions compares the findings about a worker of each
// distribution with testdata/distributions/findings.golden. Each fixture names the
// sources of its facts. What a distribution does not determine, such as memory and
// addresses, is that of an ordinary host. Each package repository answers.
func TestWhatPreflightSaysOfDistributions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/distributions/*.facts")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	var got strings.Builder
	for _, file := range files {
		fmt.Fprintf(&got, "%s\n", strings.TrimSuffix(filepath.Base(file), ".facts"))
		for _, f := range findingsAbout(t, file) {
			fmt.Fprintf(&got, "  %-8s %s: %s\n           %s\n", f.Severity, f.Check, f.Evidence, f.Fix)
		}
	}
	const golden = "testdata/distributions/findings.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("rerun with -update if this is what preflight should say (-want +have):\n%s", diff)
	}
}

func findingsAbout(t *testing.T, file string) []check.Finding {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read, err := facts.Parse(text, time.Now(), time.Now())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	fixture := workflowtest.New(t, two)
	f := fixture.Facts("w-1")
	f.OS, f.Kernel, f.Arch, f.Init = read.OS, read.Kernel, read.Arch, read.Init
	f.CgroupVersion, f.Controllers = read.CgroupVersion, read.Controllers
	f.SELinux, f.Firewalls = read.SELinux, read.Firewalls
	f.Modules, f.Loadable, f.ModulesUnreadable = read.Modules, read.Loadable, read.ModulesUnreadable
	f.Sysctls, f.Existing = read.Sysctls, append(f.Existing, read.Existing...)
	f.ActiveUnits = append(f.ActiveUnits, read.ActiveUnits...)
	f.Commands = append(f.Commands, read.Commands...)
	cc := &checkContext{
		cluster: fixture.Cluster, hosts: fixture.Hosts, version: workflowtest.Kubernetes, unmeasured: "no packets in this test",
		moreModules: map[string]string{"w-1": ""},
	}
	report := cc.report(Selection{})
	complete(t, report)
	var found []check.Finding
	for _, result := range report.Checks {
		for _, f := range result.Findings {
			// The other host is a Debian on amd64 in each case.
			if f.Host == "w-1" {
				f.Check = cmp.Or(f.Check, result.Name)
				found = append(found, f)
			}
		}
	}
	return found
}
