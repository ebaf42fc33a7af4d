package phases

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

// lockable is a host on which only lock.sh runs. It records that it was locked.
type lockable struct {
	host.Host
	name  string
	taken func(name string) error
	// asked is called when the administrator's kubeconfig is read.
	asked func(name string)
}

func (l lockable) String() string { return l.name }

// ReadFile finds no file: there is no cluster.
func (l lockable) ReadFile(context.Context, string) ([]byte, error) {
	l.asked(l.name)
	return nil, fs.ErrNotExist
}

func (l lockable) Run(_ context.Context, cmd host.Cmd) (host.Result, error) {
	if cmd.Name == "lock.sh" && slices.Contains(cmd.Argv, "take") {
		return host.Result{}, l.taken(l.name)
	}
	return host.Result{}, nil
}

// trial runs a workflow on cp-1, w-1 and w-2, of which w-2 is unreachable. Its
// phases do nothing, except for the lock, which refused refuses if it is not nil.
// It returns which hosts each phase ran on.
func trial(t *testing.T, w workflow.Workflow, selection workflow.Selection, refused func(name string) error) (ran map[string][]string, err error) {
	t.Helper()
	hosts := &workflow.Hosts{All: []*workflow.Host{
		{Config: config.Host{Name: "cp-1", Roles: []config.Role{config.RoleControlPlane}}},
		{Config: config.Host{Name: "w-1", Roles: []config.Role{config.RoleWorker}}},
		{Config: config.Host{Name: "w-2", Roles: []config.Role{config.RoleWorker}}},
	}}
	var mu sync.Mutex
	var locked, asked []string
	for _, h := range hosts.All {
		h.Conn = lockable{name: h.Config.Name, asked: func(name string) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, name)
		}, taken: func(name string) error {
			mu.Lock()
			defer mu.Unlock()
			locked = append(locked, name)
			if refused == nil {
				return nil
			}
			return refused(name)
		}}
	}
	for i := range w.Phases {
		if w.Phases[i].Name == "lock" {
			continue
		}
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
	ran = map[string][]string{"lock": locked, "the cluster's lock": asked}
	for _, e := range events.Events() {
		if e.Kind == report.PhaseStarted && e.Phase != "lock" {
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
			ran, err := trial(t, Apply(), workflow.Selection{Only: []string{test.phase}, Hosts: []string{"w-1"}}, nil)
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
	ran, err := trial(t, Reset(), workflow.Selection{}, nil)
	if !errors.Is(err, host.ErrUnreachable) || err.Error() != "w-2: connect: unreachable" {
		t.Errorf("the run ends with %v", err)
	}
	for _, phase := range []string{"lock", "stop", "network", "undo"} {
		if diff := cmp.Diff([]string{"cp-1", "w-1"}, ran[phase]); diff != "" {
			t.Errorf("%s: %s", phase, diff)
		}
	}
}

func TestResetOfOneHostReadsAndLocksOnlyThatHost(t *testing.T) {
	t.Parallel()
	ran, err := trial(t, Reset(), workflow.Selection{Hosts: []string{"w-1"}}, nil)
	if err != nil {
		t.Errorf("the run ends with %v", err)
	}
	for _, phase := range []string{"facts", "lock", "undo"} {
		if diff := cmp.Diff([]string{"w-1"}, ran[phase]); diff != "" {
			t.Errorf("%s: %s", phase, diff)
		}
	}
}

func TestAResetLocksTheClusterThatStays(t *testing.T) {
	t.Parallel()
	for host, want := range map[string][]string{"w-1": {"cp-1"}, "cp-1": nil, "": nil} {
		selection := workflow.Selection{}
		if host != "" {
			selection.Hosts = []string{host}
		}
		ran, _ := trial(t, Reset(), selection, nil)
		if diff := cmp.Diff(want, ran["the cluster's lock"]); diff != "" {
			t.Errorf("reset of %q: %s", host, diff)
		}
	}
}

func TestApplyLocksNoClusterBeforeItExists(t *testing.T) {
	t.Parallel()
	ran, _ := trial(t, Apply(), workflow.Selection{}, nil)
	if on := ran["the cluster's lock"]; on != nil {
		t.Errorf("the cluster is asked for on %v", on)
	}
}

func TestALockThatIsRefusedOnOneHostChangesNothingAnywhere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cp-1", "w-1"} {
		for _, w := range []workflow.Workflow{Apply(), Reset()} {
			t.Run(w.Name+" with "+name+" locked", func(t *testing.T) {
				t.Parallel()
				ran, err := trial(t, w, workflow.Selection{}, func(host string) error {
					if host == name {
						return errors.New("locked")
					}
					return nil
				})
				if err == nil {
					t.Error("the run succeeds")
				}
				for _, p := range w.Phases {
					if !p.ReadOnly && p.Name != "lock" && len(ran[p.Name]) > 0 {
						t.Errorf("%s ran on %v", p.Name, ran[p.Name])
					}
				}
			})
		}
	}
}
