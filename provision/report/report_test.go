package report

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

var zero = time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)

// at is the time that many seconds into the run.
func at(seconds float64) time.Time {
	return zero.Add(time.Duration(seconds * float64(time.Second)))
}

// phase is the start and the end of a phase on a host.
func phase(host, name, title string, from, to float64, end Event) []Event {
	end.Time, end.Host, end.Phase, end.Seconds = at(to), host, name, to-from
	return []Event{{Time: at(from), Kind: PhaseStarted, Host: host, Phase: name, Message: title}, end}
}

// goodRun is an apply on three hosts in which everything went well.
func goodRun() []Event {
	return run("apply",
		[]Event{{Time: at(0), Kind: RunStarted, Message: "3 hosts, 4 phases"}},
		phase("cp1", "kernel", "load kernel modules and set sysctls", 0, 6.2, Event{Kind: PhaseChanged, Changes: 9}),
		phase("worker1", "kernel", "load kernel modules and set sysctls", 0.1, 9.4, Event{Kind: PhaseChanged, Changes: 9}),
		phase("worker2", "kernel", "load kernel modules and set sysctls", 0.1, 0.9, Event{Kind: PhaseUnchanged}),
		[]Event{{Time: at(3), Kind: Change, Host: "cp1", Phase: "kernel", Message: "+ /etc/modules-load.d/slipway.conf"}},
		phase("cp1", "kubeadm-init", "create the first control plane", 6.2, 31, Event{Kind: PhaseChanged, Changes: 4}),
		[]Event{
			{Time: at(7), Kind: Output, Host: "cp1", Phase: "kubeadm-init", Message: "[init] Using Kubernetes version: v1.36.4"},
			{Time: at(9), Kind: Waiting, Host: "cp1", Phase: "kubeadm-init", Message: "kube-apiserver: connection refused"},
			{Time: at(10), Kind: Waiting, Host: "cp1", Phase: "kubeadm-init", Message: "kube-apiserver: connection refused"},
			{Time: at(11), Kind: Note, Message: "worker2: clock-skew: no time service runs", Hint: "timedatectl set-ntp true"},
		},
		phase("worker1", "join", "join the cluster", 31, 65.5, Event{Kind: PhaseChanged, Changes: 2}),
		phase("worker2", "join", "join the cluster", 31.1, 44, Event{Kind: PhaseChanged, Changes: 2}),
		phase("", "cni", "install the pod network", 31, 33, Event{Kind: PhaseChanged, Changes: 2}),
		[]Event{{Time: at(65.5), Kind: RunFinished, Changes: 28, Seconds: 65.5}},
	)
}

// badRun is an apply in which a phase failed and those behind it were skipped.
func badRun() []Event {
	return run("apply",
		[]Event{{Time: at(0), Kind: RunStarted}},
		phase("cp1", "kernel", "load kernel modules and set sysctls", 0, 6.2, Event{Kind: PhaseChanged, Changes: 9}),
		phase("cp1", "kubeadm-init", "create the first control plane", 6.2, 31, Event{
			Kind: PhaseFailed, Error: "create the first control plane: cp1: kubeadm init: exit code 1: timed out <waiting>",
			Command: "kubeadm init --config /etc/kubernetes/slipway/kubeadm.yaml",
			Output:  "[wait-control-plane] Waiting for the kubelet\n\x1b[31merror:\x1b[0m timed out waiting for the condition",
			Hint:    "see `journalctl -u kubelet` on cp1, fix the problem and rerun `slipway apply` to resume\n`slipway explain kubeadm-init` explains the phase",
		}),
		phase("worker2", "join", "join the cluster", 6.3, 12, Event{Kind: PhaseFailed, Error: "join: unreachable"}),
		[]Event{
			{Time: at(8), Kind: Output, Host: "worker2", Phase: "join", Message: "[preflight] Running pre-flight checks"},
			{Time: at(31), Kind: PhaseSkipped, Host: "worker1", Phase: "join", Message: "kubeadm-init on cp1 failed"},
			{
				Time: at(31), Kind: RunFinished, Seconds: 31, Changes: 9,
				Error: "create the first control plane: cp1: kubeadm init: exit code 1: timed out <waiting>\njoin: unreachable",
				Hint:  "see `journalctl -u kubelet` on cp1, fix the problem and rerun `slipway apply` to resume\n`slipway explain kubeadm-init` explains the phase",
			},
		},
	)
}

// planOf is a plan for four hosts, of which two have the same changes and one has
// none.
func planOf() []Event {
	change := func(t float64, host, phase, message string) Event {
		return Event{Time: at(t), Kind: Change, Host: host, Phase: phase, Message: message}
	}
	return run("plan",
		[]Event{{Time: at(0), Kind: RunStarted}},
		phase("cp1", "kernel", "load kernel modules and set sysctls", 0, 1, Event{Kind: PhaseChanged, Changes: 2}),
		phase("worker1", "kernel", "load kernel modules and set sysctls", 0, 1, Event{Kind: PhaseChanged, Changes: 3}),
		phase("worker2", "kernel", "load kernel modules and set sysctls", 0, 1, Event{Kind: PhaseChanged, Changes: 3}),
		phase("worker3", "kernel", "load kernel modules and set sysctls", 0, 1, Event{Kind: PhaseUnchanged}),
		[]Event{
			change(0.5, "cp1", "kernel", "+ /etc/sysctl.d/90-slipway.conf"),
			change(0.6, "cp1", "kernel", "~ /etc/modules-load.d/slipway.conf"),
			change(0.7, "worker1", "kernel", "run modprobe br_netfilter"),
			change(0.7, "worker2", "kernel", "run modprobe br_netfilter"),
			change(1.5, "cp1", "kubeadm-init", "run kubeadm init"),
		},
		diffs(),
		[]Event{{Time: at(2), Kind: RunFinished, Changes: 9, Seconds: 2}},
	)
}

// diffs are changes with a diff: one is the same on two hosts, the other one not.
func diffs() []Event {
	event := func(host, message, diff string) Event {
		return Event{Time: at(0.8), Kind: Change, Host: host, Phase: "kernel", Message: message, Diff: diff}
	}
	const same = "mode 0644 → 0600\n@@ -1,3 +1,3 @@\n a\n \n-b\n+<c>\x1b[2J\td"
	return []Event{
		event("worker1", "write /etc/same", same), event("worker2", "write /etc/same", same),
		event("worker1", "write /etc/hosts", "+10.0.0.1 worker1"), event("worker2", "write /etc/hosts", "+10.0.0.2 worker2"),
	}
}

// run puts the events of a run into the order of their times.
func run(name string, parts ...[]Event) []Event {
	var all []Event
	for _, part := range parts {
		all = append(all, part...)
	}
	slices.SortStableFunc(all, func(x, y Event) int { return x.Time.Compare(y.Time) })
	for i := range all {
		all[i].Run, all[i].Cluster = name, "lab"
	}
	return all
}

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./provision/report -update writes it:\n%s", path, diff)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, golden string
		events       []Event
		opts         Options
	}{
		{"a run shows phases, waits and notes, but neither changes nor output", "lines-good.golden", goodRun(), Options{}},
		{"a verbose run shows changes and output", "lines-verbose.golden", goodRun(), Options{Verbose: true}},
		{"a failure shows its command, output and hint once", "lines-bad.golden", badRun(), Options{}},
		{"a plan shows its changes", "lines-plan.golden", planOf(), Options{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			sink := Lines(&out, test.opts)
			for _, e := range test.events {
				sink.Event(e)
			}
			if err := sink.Close(); err != nil {
				t.Fatal(err)
			}
			golden(t, test.golden, out.String())
		})
	}
}

func TestSummaries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, golden string
		write        func(*strings.Builder) error
	}{
		{"the timeline names the slowest host of each phase", "timeline.golden", func(b *strings.Builder) error { return Timeline(b, goodRun()) }},
		{"the timeline of a failed run", "timeline-bad.golden", func(b *strings.Builder) error { return Timeline(b, badRun()) }},
		{"a plan puts hosts with the same changes together", "plan.golden", func(b *strings.Builder) error { return Plan(b, planOf()) }},
		{"the page of a good run", "page-good.html", func(b *strings.Builder) error { return HTML(b, goodRun()) }},
		{"the page of a plan has the diffs", "page-plan.html", func(b *strings.Builder) error { return HTML(b, planOf()) }},
		{"the page of a failed run", "page-bad.html", func(b *strings.Builder) error { return HTML(b, badRun()) }},
		{"a table aligns its columns and goes on below", "table.golden", func(b *strings.Builder) error {
			return Table(b, []string{"check", "host", "found"}, []Row{
				{Status: StatusOK, Cells: []string{"swap-returns", "cp1", "none"}},
				{Status: StatusFailed, Cells: []string{"ip-forward", "worker1", "net.ipv4.ip_forward is 0\nsysctl.d sets it to 0"}},
				{Status: StatusWarning, Cells: []string{"größe", "–", ""}},
			})
		}},
		{"a table without statuses has no column for them", "table-plain.golden", func(b *strings.Builder) error {
			return Table(b, []string{"name", "version"}, []Row{{Cells: []string{"containerd", "2.2.1"}}, {Cells: []string{"runc", "1.3.3"}}})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if err := test.write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, test.golden, out.String())
		})
	}
}

func TestReportsOfRunsWithoutEvents(t *testing.T) {
	t.Parallel()
	for _, events := range [][]Event{nil, {{Time: at(0), Kind: RunStarted, Run: "apply"}}} {
		var out strings.Builder
		if err := HTML(&out, events); err != nil {
			t.Error(err)
		}
		out.Reset()
		if err := Timeline(&out, events); err != nil || out.String() != "" {
			t.Errorf("Timeline of no phases wrote %q, %v", out.String(), err)
		}
		if err := Plan(&out, events); err != nil || out.String() != "Nothing to change.\n" {
			t.Errorf("Plan of no phases wrote %q, %v", out.String(), err)
		}
	}
}

func TestAFailedPlanIsIncomplete(t *testing.T) {
	t.Parallel()
	events := append(planOf(), Event{Time: at(3), Kind: PhaseFailed, Run: "plan", Host: "worker3", Phase: "facts", Error: "unreachable"})
	var out strings.Builder
	if err := Plan(&out, events); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FAILED: unreachable", "incomplete"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// The events of the run show it with its fixes. It does not say what would
// change, so that it is no part of the result.
func TestAPlanThatPreflightStoppedHasNoUnknownChanges(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := Plan(&out, []Event{
		{Time: at(0), Kind: PhaseStarted, Run: "plan", Phase: "preflight", Message: "check the hosts"},
		{Time: at(1), Kind: PhaseFailed, Run: "plan", Phase: "preflight", Error: "cp1: resources: 1 CPU; use 2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "incomplete") || strings.Contains(got, "unknown") || strings.Contains(got, "resources") {
		t.Errorf("got:\n%s", got)
	}
}
