package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

const leavingPlane = `apiVersion: slipway.io/v1alpha1
kind: Cluster
controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: keepalived}}
hosts:
  - {name: cp-1, address: 127.0.0.1, roles: [control-plane]}
  - {name: cp-2, address: 127.0.0.2, roles: [control-plane], state: absent}
  - {name: cp-3, address: 127.0.0.3, roles: [control-plane], state: absent}
`

func TestTheLoadBalancerIsUpdatedAfterAControlPlaneHasLeft(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", leavingPlane)
	settings := viper.New()
	settings.Set("inventory", home+"/inventory.yaml")
	a := &app{settings: settings}
	s, err := a.open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	// cp-3 cannot be reached, and the cluster may have nothing of it.
	for _, h := range s.hosts.Leaving {
		if h.Config.Name == "cp-2" {
			h.SetFacts(&facts.Facts{})
		}
	}
	there := &cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-1"}, {Name: "cp-2"}}}
	for name, test := range map[string]struct {
		state     *cluster.State
		selection workflow.Selection
		updated   bool
		notes     int
	}{
		"after a removal":                {state: there, updated: true},
		"one that cannot be reached":     {state: &cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-1"}, {Name: "cp-3"}}}},
		"a host that had left before":    {state: &cluster.State{Exists: true}},
		"a run of some phases":           {state: there, selection: workflow.Selection{Until: "kubelet"}},
		"a run of the host that leaves":  {state: there, selection: workflow.Selection{Hosts: []string{"cp-2"}}, notes: 1},
		"a run of the host that remains": {state: there, selection: workflow.Selection{Hosts: []string{"cp-1"}}},
	} {
		s.hosts.SetState(test.state)
		var notes []string
		next := a.balance(s, test.selection, nil, func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) })
		if (next != nil) != test.updated || len(notes) != test.notes {
			t.Errorf("%s: %v, notes %q", name, next != nil, notes)
		}
		if next != nil && (next.workflow.Name != "balance" || !slices.Equal(next.hosts.WithLeaving().Names(), []string{"cp-1", "cp-3"})) {
			t.Errorf("%s: %s on %q", name, next.workflow.Name, next.hosts.WithLeaving().Names())
		}
	}
}

func TestTheOnlyControlPlaneDoesNotLeaveWithoutItsReplacement(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("inventory.yaml", []byte(`apiVersion: slipway.io/v1alpha1
kind: Cluster
controlPlane: {endpoint: api.example}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane], state: absent}
  - {name: cp-4, address: 192.0.2.14, roles: [control-plane]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		selected []string
		leaves   bool
	}{
		"a run on the one that leaves": {[]string{"cp-1"}, false},
		"a run on all hosts":           {nil, true},
	} {
		s := &session{cluster: c, hosts: &workflow.Hosts{All: []*workflow.Host{{Config: c.Hosts[0]}}, Leaving: []*workflow.Host{{Config: c.Absent()[0]}}}}
		s.hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-1"}}})
		var notes []string
		next := (&app{}).removal(s, workflow.Selection{Hosts: test.selected}, nil, func(format string, args ...any) {
			notes = append(notes, fmt.Sprintf(format, args...))
		})
		said := strings.Join(notes, "\n")
		if (next != nil) != test.leaves || !test.leaves && !strings.Contains(said, "cp-1: not removed, since cp-4 is not selected and has not joined; run `slipway apply` without --hosts") {
			t.Errorf("%s: removes %v, said %q", name, next != nil, said)
		}
	}
}

func TestAbsentHostsLeaveAfterTheOthersAreChanged(t *testing.T) {
	t.Parallel()
	const inventory = `apiVersion: slipway.io/v1alpha1
kind: Cluster
controlPlane: {endpoint: api.example}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
  - {name: w-2, address: 192.0.2.22}
  - {name: w-3, address: 192.0.2.23, state: absent}
`
	off := fmt.Errorf("connect: %w", host.ErrUnreachable)
	leftOut := &workflow.UnreachableError{Hosts: []error{off}}
	tests := []struct {
		name      string
		off       string
		joined    []string
		selection workflow.Selection
		failed    error
		// remove are the hosts that leave, note is a part of what is said.
		remove []string
		note   string
	}{
		{name: "all hosts were changed", joined: []string{"cp-1", "cp-2", "cp-3", "w-2", "w-3"}, remove: []string{"w-3"}},
		{name: "it has left before", joined: []string{"cp-1", "cp-2", "cp-3", "w-2"}, note: "w-3 has left the cluster; you can delete it"},
		{name: "a control plane is off", off: "cp-1", joined: []string{"cp-1", "cp-2", "cp-3", "w-2", "w-3"}, failed: leftOut, remove: []string{"w-3"}},
		{name: "a control plane is off, and it has left before", off: "cp-1", joined: []string{"cp-1", "cp-2", "cp-3", "w-2"}, failed: leftOut, note: "w-3 has left the cluster"},
		{name: "a worker that is to join is off", off: "w-2", joined: []string{"cp-1", "cp-2", "cp-3", "w-3"}, failed: leftOut, note: "w-3: not removed, since w-2 cannot be reached and has not joined"},
		{name: "a phase failed on a host that is on", joined: []string{"w-3"}, failed: errors.New("no"), note: "w-3: not removed, since apply failed before"},
		{name: "a phase failed, and a host is off", off: "cp-1", joined: []string{"cp-1", "w-3"}, failed: errors.Join(errors.New("no"), off), note: "w-3: not removed, since apply failed before"},
		{name: "a phase failed, and nothing is known of the host", failed: errors.New("no")},
		{name: "a part of the phases", joined: []string{"w-3"}, selection: workflow.Selection{Until: "kubelet"}, note: "w-3: not removed; run `slipway apply` without"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Parse("inventory.yaml", []byte(inventory))
			if err != nil {
				t.Fatal(err)
			}
			s := &session{cluster: c, hosts: &workflow.Hosts{}}
			for _, h := range slices.Concat(c.Hosts, c.Absent()) {
				found := &workflow.Host{Config: h}
				if h.Name == test.off {
					found.SetUnreachable(off)
				} else {
					found.SetFacts(&facts.Facts{})
				}
				if h.Stays() {
					s.hosts.All = append(s.hosts.All, found)
				} else {
					s.hosts.Leaving = append(s.hosts.Leaving, found)
				}
			}
			state := &cluster.State{Exists: true}
			for i, name := range test.joined {
				state.Nodes = append(state.Nodes, cluster.Node{Name: name})
				if strings.HasPrefix(name, "cp-") {
					state.Members = append(state.Members, kube.EtcdMember{ID: uint64(i), Name: name})
				}
			}
			s.hosts.SetState(state)
			var notes []string
			next := (&app{}).removal(s, test.selection, test.failed, func(format string, args ...any) {
				notes = append(notes, fmt.Sprintf(format, args...))
			})
			var remove []string
			if next != nil {
				remove = next.selection.Hosts
			}
			if !slices.Equal(remove, test.remove) {
				t.Errorf("removes %q, want %q", remove, test.remove)
			}
			if said := strings.Join(notes, "\n"); !strings.Contains(said, test.note) || test.note == "" && said != "" {
				t.Errorf("said %q", said)
			}
		})
	}
}
