package workflow

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
)

func TestSelection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		selection Selection
		want      []string
	}{
		{"without one, all of it", Selection{}, []string{"a cp", "a w", "b cp", "b w", "bundle ", "c w", "facts cp", "facts w", "lock "}},
		{"skipped phases", Selection{Skip: []string{"a", "c"}}, []string{"b cp", "b w", "bundle ", "facts cp", "facts w", "lock "}},
		{"only some phases", Selection{Only: []string{"b"}}, []string{"b cp", "b w", "bundle ", "facts cp", "facts w", "lock "}},
		{"from a phase on", Selection{From: "b"}, []string{"b cp", "b w", "bundle ", "c w", "facts cp", "facts w", "lock "}},
		{"until a phase", Selection{Until: "a"}, []string{"a cp", "a w", "bundle ", "facts cp", "facts w", "lock "}},
		{"from one until another", Selection{From: "a", Until: "a"}, []string{"a cp", "a w", "bundle ", "facts cp", "facts w", "lock "}},
		{"some hosts, and nothing on the others", Selection{Hosts: []string{"w"}}, []string{"a w", "b w", "bundle ", "c w", "facts w", "lock "}},
		{"a phase on some hosts", Selection{Only: []string{"a"}, Hosts: []string{"cp"}}, []string{"a cp", "bundle ", "facts cp", "lock "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &diary{}
			facts, bundle := d.phase("facts", EachHost), d.phase("bundle", Localhost)
			facts.ReadOnly, bundle.ReadOnly = true, true
			bundle.NeedsAll = []string{"facts"}
			lock := d.phase("lock", Localhost)
			lock.Always, lock.NeedsAll = true, []string{"facts"}
			r, _ := runOf(hostsOf("cp", "w"))
			r.Selection = test.selection
			do(t, r, facts, bundle, lock, d.phase("a", EachHost, "lock"), d.phase("b", EachHost, "a"), d.phase("c", Workers, "b"))
			if diff := cmp.Diff(test.want, d.sorted()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARunOnSomeHostsReadsOnlyHostsThatMatter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		selection Selection
		want      []string
	}{
		{"the selected host for a phase that needs no other", Selection{Only: []string{"kernel"}, Hosts: []string{"w1"}}, []string{"w1"}},
		{"the control planes for a phase that needs what runs on the seed", Selection{Only: []string{"join"}, Hosts: []string{"w1"}}, []string{"cp1", "cp2", "w1"}},
		{"all hosts for a phase that needs their facts", Selection{Only: []string{"hosts-file"}, Hosts: []string{"w1"}}, []string{"cp1", "cp2", "w1", "w2"}},
		{"the selected host for a read-only phase", Selection{Only: []string{"facts"}, Hosts: []string{"w2"}}, []string{"w2"}},
		{"no more for phases that are left out", Selection{Skip: []string{"hosts-file", "join"}, Hosts: []string{"w1", "w2"}}, []string{"w1", "w2"}},
		{"all hosts if none is selected", Selection{Only: []string{"kernel"}}, []string{"cp1", "cp2", "w1", "w2"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, _ := runOf(hostsOf("cp1", "cp2", "w1", "w2"))
			r.Selection = test.selection
			facts, preflight := nothing("facts", EachHost), nothing("preflight", Localhost)
			facts.ReadOnly, preflight.ReadOnly = true, true
			preflight.NeedsAll = []string{"facts"}
			lock, hostsFile := nothing("lock", Localhost), nothing("hosts-file", EachHost, "lock")
			lock.Always, lock.NeedsAll, hostsFile.NeedsAll = true, []string{"facts"}, []string{"facts"}
			tasks, err := r.build(Workflow{Phases: []Phase{
				facts, preflight, lock, nothing("kernel", EachHost, "lock"), hostsFile,
				nothing("init", Seed, "kernel", "hosts-file"), nothing("join", Workers, "kernel", "init"),
			}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var read []string
			for _, task := range tasks {
				if task.phase.Name == "facts" && !task.skip {
					read = append(read, task.host.name())
				}
			}
			if diff := cmp.Diff(test.want, read); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheControlPlanesAreReadIfOneLeaves(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		selected string
		lost     []config.Host
		want     []string
	}{
		{"a control plane leaves", "cp3", nil, []string{"cp1", "cp2", "cp3"}},
		{"a worker leaves", "w2", nil, []string{"w2"}},
		{"another host is selected", "cp1", nil, []string{"cp1"}},
		{"another host is selected, and a control plane is lost", "cp1", []config.Host{{State: config.StateLost, Roles: []config.Role{config.RoleControlPlane}}}, []string{"cp1", "cp2", "cp3"}},
		{"another host is selected, and a worker is lost", "cp1", []config.Host{{State: config.StateLost}}, []string{"cp1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			hosts := hostsOf("cp1", "cp2", "w1")
			hosts.Leaving = hostsOf("cp3", "w2").All
			for _, h := range hosts.Leaving {
				h.Config.State = config.StateAbsent
			}
			r, _ := runOf(hosts)
			r.Cluster.Leaving, r.Selection.Hosts = test.lost, []string{test.selected}
			facts, lock := nothing("facts", ObservedHosts), nothing("lock", Localhost)
			facts.ReadOnly, lock.Always, lock.NeedsAll = true, true, []string{"facts"}
			tasks, err := r.build(Workflow{Phases: []Phase{facts, lock, nothing("kernel", EachHost, "lock")}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var read []string
			for _, task := range tasks {
				if task.phase.Name == "facts" && !task.skip {
					read = append(read, task.host.name())
				}
			}
			if diff := cmp.Diff(test.want, read); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Without the control planes, the run would take the cluster for a new one.
func TestTheControlPlanesAreReadWithAHostOfEtcd(t *testing.T) {
	t.Parallel()
	hosts := hostsOf("cp1", "cp2", "etcd1", "etcd2", "w1")
	for _, h := range hosts.All[2:4] {
		h.Config.Roles = []config.Role{config.RoleEtcd}
	}
	r, _ := runOf(hosts)
	r.Selection.Hosts = []string{"etcd1"}
	facts, lock := nothing("facts", ObservedHosts), nothing("lock", Localhost)
	facts.ReadOnly, lock.Always, lock.NeedsAll = true, true, []string{"facts"}
	tasks, err := r.build(Workflow{Phases: []Phase{facts, lock, nothing("kernel", EachHost, "lock")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var read []string
	for _, task := range tasks {
		if task.phase.Name == "facts" && !task.skip {
			read = append(read, task.host.name())
		}
	}
	if diff := cmp.Diff([]string{"cp1", "cp2", "etcd1"}, read); diff != "" {
		t.Error(diff)
	}
}

func TestASelectionReportsAllItsMistakesAtOnce(t *testing.T) {
	t.Parallel()
	look := nothing("facts", EachHost)
	look.ReadOnly = true
	lock := nothing("lock", EachHost)
	lock.Always = true
	r, events := runOf(hostsOf("cp", "w"))
	r.Selection = Selection{
		Skip: []string{"facts", "lock", "x"}, Only: []string{"y"}, From: "f", Until: "u", Hosts: []string{"w", "z"},
	}
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{look, lock, nothing("a", EachHost)}})
	var mistakes *SelectionError
	if !errors.As(err, &mistakes) {
		t.Fatalf("got %v, want a *SelectionError", err)
	}
	want := []string{
		`unknown phase "x"; the phases are facts, lock, a`,
		`unknown phase "y"; the phases are facts, lock, a`,
		`unknown phase "f"; the phases are facts, lock, a`,
		`unknown phase "u"; the phases are facts, lock, a`,
		`unknown host "z"; the hosts of the inventory are cp, w`,
		`phase "facts" cannot be skipped: other phases depend on it`,
		`phase "lock" cannot be skipped: other phases depend on it`,
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(mistakes.Problems))); diff != "" {
		t.Error(diff)
	}
	if got := events.Events(); len(got) > 0 {
		t.Errorf("the run has started: %v", got)
	}
}

func TestAStepKnowsTheHostsThatTheRunWorksOn(t *testing.T) {
	t.Parallel()
	hosts := hostsOf("cp", "w")
	for _, test := range []struct {
		name      string
		selection Selection
		want      bool
	}{
		{"all hosts", Selection{}, true},
		{"this host", Selection{Hosts: []string{"w"}}, true},
		{"another host", Selection{Hosts: []string{"cp"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			step := &Step{run: &Run{Hosts: hosts, Selection: test.selection}}
			if got := step.Selected(hosts.All[1]); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
