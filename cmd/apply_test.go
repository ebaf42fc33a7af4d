package cmd

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spf13/viper"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/workflow"
)

const leavingPlane = `apiVersion: slipway.io/v1alpha1
kind: Cluster
controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: keepalived}}
hosts:
  - {name: cp-1, address: 127.0.0.1, roles: [control-plane]}
  - {name: cp-2, address: 127.0.0.2, roles: [control-plane], state: absent}
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
	there := &cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-2"}}}
	for name, test := range map[string]struct {
		state     *cluster.State
		selection workflow.Selection
		updated   bool
		notes     int
	}{
		"after a removal":                {state: there, updated: true},
		"a host that had left before":    {state: &cluster.State{Exists: true}},
		"a run of some phases":           {state: there, selection: workflow.Selection{Until: "kubelet"}},
		"a run of the host that leaves":  {state: there, selection: workflow.Selection{Hosts: []string{"cp-2"}}, notes: 1},
		"a run of the host that remains": {state: there, selection: workflow.Selection{Hosts: []string{"cp-1"}}},
	} {
		s.hosts.SetState(test.state)
		var notes []string
		next := a.balance(s, test.selection, func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) })
		if (next != nil) != test.updated || len(notes) != test.notes {
			t.Errorf("%s: %v, notes %q", name, next != nil, notes)
		}
		if next != nil && (next.workflow.Name != "balance" || !slices.Equal(next.hosts.WithLeaving().Names(), []string{"cp-1"})) {
			t.Errorf("%s: %s on %q", name, next.workflow.Name, next.hosts.WithLeaving().Names())
		}
	}
}
