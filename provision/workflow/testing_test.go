package workflow

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/report"
)

// hostsOf returns hosts without connections. Those whose names begin with cp are
// control planes.
func hostsOf(names ...string) *Hosts {
	hosts := &Hosts{}
	for _, name := range names {
		role := config.RoleWorker
		if strings.HasPrefix(name, "cp") {
			role = config.RoleControlPlane
		}
		hosts.All = append(hosts.All, &Host{Config: config.Host{Name: name, Roles: []config.Role{role}}})
	}
	return hosts
}

// diary records what phases do, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) sorted() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.lines))
}

// phase returns a phase that only writes its name and host.
func (d *diary) phase(name string, on Place, needs ...string) Phase {
	return Phase{Name: name, On: on, Needs: needs, Do: func(_ context.Context, s *Step) error {
		d.write("%s %s", name, s.hostName())
		return nil
	}}
}

// runOf returns a run that records its events.
func runOf(hosts *Hosts) (*Run, *report.Recorder) {
	events := &report.Recorder{}
	return &Run{Cluster: &config.Cluster{Metadata: config.Metadata{Name: "lab"}}, Hosts: hosts, Sink: events, Parallel: 10, Holder: "me@here"}, events
}

// kinds lists how each phase ended on each host, sorted.
func kinds(events *report.Recorder) []string {
	var ends []string
	for _, e := range events.Events() {
		switch e.Kind {
		case report.PhaseChanged, report.PhaseUnchanged, report.PhaseSkipped, report.PhaseFailed:
			ends = append(ends, strings.Join([]string{e.Host, e.Phase, string(e.Kind)}, " "))
		}
	}
	return slices.Sorted(slices.Values(ends))
}

// scripted is a host that answers Run with a function.
type scripted struct {
	host.Host
	run func(ctx context.Context, cmd host.Cmd) (host.Result, error)
}

func (s scripted) String() string { return "scripted" }

func (s scripted) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	return s.run(ctx, cmd)
}

// do runs a workflow of these phases, and fails the test on an error.
func do(t *testing.T, r *Run, phases ...Phase) {
	t.Helper()
	if err := r.Do(t.Context(), Workflow{Name: "test", Phases: phases}); err != nil {
		t.Fatal(err)
	}
}
