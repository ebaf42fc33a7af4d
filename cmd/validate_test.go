package cmd

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"slipway.io/slipway/provision/report"
)

func TestTheValidationReportIsPrintedInTheFormatOfTheFlag(t *testing.T) {
	t.Parallel()
	found := &report.ValidationReport{Cluster: "lab"}
	found.Add(report.ProbeResult{Name: "dns", Target: "w1", Status: report.ProbePassed, Evidence: "resolved"})
	for format, want := range map[string]string{
		"text": "1 passed, 0 failed, 0 skipped", "json": `"status": "passed"`, "junit": `classname="slipway.validate.dns"`, "html": "<title>slipway validate of lab: passed",
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			a := &app{out: &out, err: &errOut, settings: viper.New()}
			a.settings.Set("output", format)
			if err := a.printValidation(found); err != nil || !strings.Contains(out.String(), want) {
				t.Errorf("error %v, no %s in\n%s", err, want, out.String())
			}
			if errOut.Len() > 0 {
				t.Errorf("on standard error: %s", errOut.String())
			}
		})
	}
}

func TestANamespaceThatIsLeftIsReportedBesideTheReport(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	a := &app{out: &out, err: &errOut, settings: viper.New()}
	if err := a.printValidation(&report.ValidationReport{Probes: []report.ProbeResult{}, Leftover: "delete namespace x: forbidden"}); err != nil {
		t.Fatal(err)
	}
	if want := "the test namespace is not deleted: delete namespace x: forbidden\n"; !strings.Contains(errOut.String(), want) {
		t.Errorf("%q lacks %q", errOut.String(), want)
	}
}

func TestValidationProgressIsPrintedWithVerboseOnly(t *testing.T) {
	t.Parallel()
	for verbose, want := range map[bool]string{false: "", true: "test pods: 1 of 2 ready\n"} {
		var errOut bytes.Buffer
		a := &app{err: &errOut, settings: viper.New()}
		a.settings.Set("verbose", verbose)
		a.validateProgress(report.Event{Kind: report.PhaseStarted, Message: "validate the cluster"})
		a.validateProgress(report.Event{Kind: report.Waiting, Message: "test pods: 1 of 2 ready"})
		if errOut.String() != want {
			t.Errorf("verbose %v: %q, want %q", verbose, errOut.String(), want)
		}
	}
}

func TestValidateRefusesAnUnknownProbeBeforeItConnects(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", `apiVersion: slipway.io/v1alpha1
kind: Cluster
metadata: {name: lab}
hosts: [{name: cp1, address: 192.0.2.1, roles: [control-plane]}]
`)
	_, stderr, code := slipway(t, "validate", "-i", "inventory.yaml", "--only", "dsn")
	if code != exitUsage || !strings.Contains(stderr, `unknown probe "dsn"`) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestADegradedClusterIsAWarningBesideTheReport(t *testing.T) {
	t.Parallel()
	found := &report.ValidationReport{}
	found.Add(report.ProbeResult{Name: "api-server", Target: "cp-1", Status: report.ProbeDegraded, Evidence: "the host is unreachable"})
	var out, errOut bytes.Buffer
	a := &app{out: &out, err: &errOut, settings: viper.New()}
	if err := a.printValidation(found); err != nil {
		t.Fatal(err)
	}
	if want := "warning: the cluster works, but it is degraded:\n  api-server cp-1: the host is unreachable\n"; errOut.String() != want {
		t.Errorf("%q, want %q", errOut.String(), want)
	}
}
