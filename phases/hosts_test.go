package phases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

// trial runs a workflow whose phases do nothing on cp-1, w-1 and w-2, of which
// w-2 is unreachable. It returns which hosts each phase ran on.
func trial(t *testing.T, w workflow.Workflow, selection workflow.Selection) (ran map[string][]string, err error) {
	t.Helper()
	hosts := &workflow.Hosts{All: []*workflow.Host{
		{Config: config.Host{Name: "cp-1", Roles: []config.Role{config.RoleControlPlane}}},
		{Config: config.Host{Name: "w-1", Roles: []config.Role{config.RoleWorker}}},
		{Config: config.Host{Name: "w-2", Roles: []config.Role{config.RoleWorker}}},
	}}
	for i := range w.Phases {
		w.Phases[i].Done, w.Phases[i].Do = nil, func(context.Context, *workflow.Step) error { return nil }
		if w.Phases[i].Name == "facts" {
			w.Phases[i].Do = func(_ context.Context, s *workflow.Step) error {
				if s.Target.Config.Name == "w-2" {
					s.Target.SetUnreachable(fmt.Errorf("w-2: connect: %w", host.ErrUnreachable))
				} else {
					s.Target.SetFacts(&facts.Facts{})
				}
				return nil
			}
		}
	}
	events := &report.Recorder{}
	run := &workflow.Run{Cluster: everything(), Hosts: hosts, Sink: events, Selection: selection, Parallel: 4}
	err = run.Do(t.Context(), w)
	ran = map[string][]string{}
	for _, e := range events.Events() {
		if e.Kind == report.PhaseStarted {
			ran[e.Phase] = append(ran[e.Phase], e.Host)
		}
	}
	for _, on := range ran {
		slices.Sort(on)
	}
	return ran, err
}

func TestAHostThatIsNotNeededCannotFailARunOnOthers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		phase   string
		read    []string
		blocked bool
	}{
		{"kernel", []string{"w-1"}, false},
		{"containerd", []string{"w-1"}, false},
		{"join", []string{"cp-1", "w-1"}, false},
		{"node-metadata", []string{"cp-1", "w-1"}, false},
		{"hosts-file", []string{"cp-1", "w-1", "w-2"}, true},
	}
	for _, test := range tests {
		t.Run(test.phase, func(t *testing.T) {
			t.Parallel()
			ran, err := trial(t, Apply(), workflow.Selection{Only: []string{test.phase}, Hosts: []string{"w-1"}})
			if diff := cmp.Diff(test.read, ran["facts"]); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"w-1"}, ran["lock"]); diff != "" {
				t.Error(diff)
			}
			if errors.Is(err, host.ErrUnreachable) != test.blocked {
				t.Errorf("the run ends with %v", err)
			}
		})
	}
}

func TestResetContinuesWithoutAnUnreachableHost(t *testing.T) {
	t.Parallel()
	ran, err := trial(t, Reset(), workflow.Selection{})
	if !errors.Is(err, host.ErrUnreachable) || err.Error() != "w-2: connect: unreachable" {
		t.Errorf("the run ends with %v", err)
	}
	for _, phase := range []string{"lock", "stop", "network", "undo"} {
		if diff := cmp.Diff([]string{"cp-1", "w-1"}, ran[phase]); diff != "" {
			t.Errorf("%s: %s", phase, diff)
		}
	}
}
