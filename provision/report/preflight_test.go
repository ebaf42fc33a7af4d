package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
)

// preflightReport is a report on three hosts: an error of three hosts, a warning,
// an ignored error, an unreadable host, a skipped check and an unreachable port.
func preflightReport() *check.Report {
	result := func(name string, kind check.Kind, status check.Severity, findings ...check.Finding) check.Result {
		return check.Result{Description: check.Description{Name: name, Title: "the " + name, Kind: kind, Why: "Because.", Docs: "docs/preflight.md#" + name}, Status: status, Findings: findings}
	}
	skipped := result("iscsid", check.Host, check.Skipped)
	skipped.Reason = "skipped with --skip-checks"
	return &check.Report{
		Cluster: "lab", Hosts: []string{"w-1", "w-2", "w-3"}, Seconds: 1.25, Started: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
		Checks: []check.Result{
			result("kernel", check.Host, check.Error,
				check.Finding{Check: "kernel", Host: "w-1", Severity: check.Error, Evidence: "no overlay", Fix: "boot another kernel"},
				check.Finding{Check: "kernel", Host: "w-2", Severity: check.Error, Evidence: "no overlay", Fix: "boot another kernel"},
				check.Finding{Check: "kernel", Host: "w-3", Severity: check.Error, Evidence: "no overlay", Fix: "boot another kernel"}),
			result("firewall", check.Host, check.Warning, check.Finding{Check: "firewall", Host: "w-2", Severity: check.Warning, Evidence: "ufw <script>alert(1)</script>", Fix: "ufw allow 1"}),
			result("duplicate-uuid", check.AllHosts, check.OK, check.Finding{Check: "duplicate-uuid", Severity: check.Error, Evidence: "the same", Fix: "change it", Ignored: "a lab"}),
			result("disk-space", check.Host, check.Unknown, check.Finding{Check: "disk-space", Host: "w-3", Severity: check.Unknown, Evidence: check.HostUnreadable, Fix: "x"}),
			result("proxy", check.Host, check.OK),
			skipped,
		},
		Matrix: &netprobe.Matrix{
			Links: []netprobe.Link{{From: "w-1", To: "w-2", Protocol: netprobe.TCP, Port: 6443, Status: netprobe.TimedOut}, {From: "w-2", To: "w-1", Protocol: netprobe.TCP, Port: 6443, Status: netprobe.Reached}},
			Paths: []netprobe.Path{{From: "w-2", To: "w-1", MTU: 1500, Wanted: 1500, RoundTrip: 300 * time.Microsecond}},
		},
	}
}

func TestPreflightForPeople(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Preflight(&out, preflightReport(), false); err != nil {
		t.Fatal(err)
	}
	want := `error    kernel: the kernel
         w-1..w-3: no overlay
         fix: boot another kernel
         why: Because.

warning  firewall: the firewall
         w-2: ufw <script>alert(1)</script>
         fix: ufw allow 1
         why: Because.

info     duplicate-uuid: the duplicate-uuid
         the same
         ignored: a lab
         why: Because.

unknown  1 check has no result on w-3
         fix: see the connection checks

unreachable ports, from the host in the row to the host in the column:
       w-1  w-2  w-3
  w-1         1    ?
  w-2    .         ?
  w-3    ?    ?     

5 checks of 3 hosts, 1 error, 1 unknown, 1 warning, 2 ok, 1 skipped, in 1.3s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if err := Preflight(&out, preflightReport(), true); err != nil || !strings.Contains(out.String(), "ok       proxy: the proxy\nskipped  iscsid: skipped with --skip-checks\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestHostsThatCountUpAreShortened(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprintf("w%d", i+1))
	}
	for want, hosts := range map[string][]string{
		"w1..w12":            many,
		"w1, w2":             {"w1", "w2"},
		"cp, w1..w3, w5, x9": {"cp", "w1", "w2", "w3", "w5", "x9"},
		"a, b, c":            {"a", "b", "c"},
		"w1, w3, w2":         {"w1", "w3", "w2"},
	} {
		if got := strings.Join(ranges(hosts), ", "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPreflightAsJUnit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := PreflightJUnit(&out, preflightReport()); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 2 {
		t.Fatalf("got %+v", got)
	}
	host := got.Suites[0]
	if host.Tests != 5 || host.Failures != 1 || host.Errors != 1 || host.Skipped != 1 || len(host.Cases) != 5 {
		t.Errorf("got %+v", host)
	}
	if failure := host.Cases[0].Failure; failure == nil || !strings.Contains(failure.Text, "w-2: error: no overlay; fix: boot another kernel") {
		t.Errorf("got %+v", failure)
	}
	if !strings.Contains(host.Cases[1].Out, "<script>") || got.Suites[1].Cases[0].Failure != nil {
		t.Errorf("got %+v", got)
	}
}

func TestPreflightAsAPageIsEscapedAndLoadsNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := PreflightHTML(&out, preflightReport()); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, want := range []string{`<table id="map">`, `<table id="matrix">`, `id="check-kernel"`, "<b>w-1..w-3</b>: no overlay", "Ignored: a lab", "skipped with --skip-checks", "tcp 6443 timed out", "300µs"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, bad := range []string{"<script>alert", "src=", "href=", "@import", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}
