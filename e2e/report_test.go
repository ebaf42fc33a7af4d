//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
)

// pageState is what the script reports about the page in the frame.
type pageState struct {
	Errors          []string
	Rows, Columns   int
	MatrixRows      int
	Overflow        int
	Button, Copied  string
	Badge, Headline string
}

// script inspects the page in the frame when it is loaded, clicks the first button,
// and writes the state to the document, for --dump-dom to print.
const script = `
var frame = document.getElementById("frame"), out = document.getElementById("out"), errors = [];
function inspect() {
  var d = frame.contentDocument, w = frame.contentWindow;
  var button = d.querySelector("button.copy");
  button.click();
  setTimeout(function () {
    out.textContent = JSON.stringify({
      errors: errors, rows: d.querySelectorAll("#map tbody tr").length, columns: d.querySelectorAll("#map thead th").length,
      matrixRows: d.querySelectorAll("#matrix tbody tr").length,
      overflow: d.documentElement.scrollWidth - w.innerWidth, button: button.textContent, copied: w.getSelection().toString(),
      badge: d.getElementById("status").textContent, headline: d.querySelector("h1").textContent
    });
  }, 200);
}
frame.addEventListener("load", function () {
  frame.contentWindow.addEventListener("error", function (e) { errors.push(e.message); });
  inspect();
});
`

// TestReportInABrowser opens the HTML report in headless Chromium, wide and
// narrow.
func TestReportInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is missing: apt-get install chromium")
		}
		t.Skip("chromium is missing: apt-get install chromium")
	}
	var page strings.Builder
	wanted := bigReport()
	if err := report.PreflightHTML(&page, wanted); err != nil {
		t.Fatal(err)
	}
	artifacts := absolute(t, "ARTIFACTS", "../artifacts")
	if err := os.MkdirAll(artifacts, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{1280, 400} {
		t.Run(fmt.Sprint(width, " pixels wide"), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "frame.html")
			// A frame, because the window of Chromium has a minimum width.
			write(t, file, fmt.Sprintf(`<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="border:0;width:%dpx;height:2400px" srcdoc="%s"></iframe><pre id="out"></pre><script>%s</script>`,
				width, html.EscapeString(page.String()), script))
			screenshot := filepath.Join(artifacts, fmt.Sprintf("preflight-%d.png", width))
			dom := browse(t, chromium, file, max(width, 500), screenshot)
			match := regexp.MustCompile(`(?s)<pre id="out">(.*?)</pre>`).FindStringSubmatch(dom)
			if match == nil || match[1] == "" {
				t.Fatalf("the script wrote no state:\n%s", tail(dom, 5))
			}
			var got pageState
			if err := json.Unmarshal([]byte(html.UnescapeString(match[1])), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Errors) > 0 || got.Overflow > 0 {
				t.Errorf("script errors %v, %d pixels too wide", got.Errors, got.Overflow)
			}
			if got.Rows != len(wanted.Checks)-1 || got.Columns != len(wanted.Hosts)+2 || got.MatrixRows != len(wanted.Hosts) {
				t.Errorf("got %+v", got)
			}
			if got.Badge != "error" || !strings.Contains(got.Headline, "workshop") {
				t.Errorf("got %+v", got)
			}
			if got.Button == "Copy" || got.Copied != "boot the other kernel" {
				t.Errorf("the button did not copy: %+v", got)
			}
			if info, err := os.Stat(screenshot); err != nil || info.Size() < 10_000 {
				t.Errorf("no screenshot: %v", err)
			}
		})
	}
}

// browse opens a file, takes a screenshot, and returns the page after its scripts ran.
func browse(t *testing.T, chromium, file string, width int, screenshot string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	common := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--proxy-server=127.0.0.1:9", "--allow-file-access-from-files",
		"--user-data-dir=" + t.TempDir(), fmt.Sprintf("--window-size=%d,1600", width), "--virtual-time-budget=3000",
	}
	out, err := exec.CommandContext(ctx, chromium, append(common, "--dump-dom", "file://"+file)...).Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	if text, err := exec.CommandContext(ctx, chromium, append(common, "--screenshot="+screenshot, "file://"+file)...).CombinedOutput(); err != nil {
		t.Fatalf("chromium: %v: %s", err, text)
	}
	return string(out)
}

// bigReport is a report on twenty hosts with every status.
func bigReport() *check.Report {
	r := &check.Report{Cluster: "workshop", Seconds: 2.5, Started: time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC), Matrix: &netprobe.Matrix{}}
	for i := range 20 {
		r.Hosts = append(r.Hosts, fmt.Sprintf("worker-%d", i+1))
	}
	add := func(name string, status check.Severity, findings ...check.Finding) {
		for i := range findings {
			findings[i].Check, findings[i].Severity = name, status
		}
		r.Checks = append(r.Checks, check.Result{
			Description: check.Description{Name: name, Title: "what " + name + " asks", Kind: check.Host, Why: "Otherwise it breaks in the middle of the workshop.", Docs: "docs/preflight.md#" + name},
			Status:      status, Findings: findings,
		})
	}
	var kernels []check.Finding
	for _, host := range r.Hosts[3:9] {
		kernels = append(kernels, check.Finding{Host: host, Evidence: "kernel 6.1.0 has no module vxlan", Fix: "boot the other kernel"})
	}
	add("kernel", check.Error, kernels...)
	add("firewall", check.Warning, check.Finding{Host: "worker-2", Evidence: "ufw is active", Fix: strings.Repeat("ufw allow 10250/tcp && ", 12) + "true"})
	add("proxy", check.Unknown, check.Finding{Host: "worker-20", Evidence: check.HostUnreadable, Fix: "see the checks of the connection"})
	add("swap-returns", check.Info, check.Finding{Host: "worker-1", Evidence: "swap is turned on", Fix: "nothing: slipway turns it off"})
	add("duplicate-machine-id", check.Error, check.Finding{Evidence: strings.Join(r.Hosts, ", ") + " have the same machine-id 0123456789abcdef0123456789abcdef", Fix: "systemd-machine-id-setup"})
	for i := range 40 {
		add(fmt.Sprintf("check-%d", i), check.OK)
	}
	add("late", check.Skipped)
	r.Checks[len(r.Checks)-1].Reason = "skipped with --skip-checks"
	for i, from := range r.Hosts {
		for j, to := range r.Hosts {
			if i == j {
				continue
			}
			status := netprobe.Reached
			if j == 4 && i%3 == 0 {
				status = netprobe.TimedOut
			}
			r.Matrix.Links = append(r.Matrix.Links, netprobe.Link{From: from, To: to, Protocol: netprobe.TCP, Port: 10250, Status: status})
			r.Matrix.Paths = append(r.Matrix.Paths, netprobe.Path{From: from, To: to, MTU: 1500, Wanted: 1500, RoundTrip: time.Duration(200+10*i+j) * time.Microsecond})
		}
	}
	return r
}
