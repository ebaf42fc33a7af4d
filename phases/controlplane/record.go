package controlplane

import (
	"context"
	"maps"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/diff"
	"slipway.io/slipway/provision/workflow"
)

// Record keeps slipway's record in the cluster up to date.
func Record() workflow.Phase {
	return workflow.Phase{
		Name:  "record",
		Title: "update slipway's record in the cluster",
		Why: "The record says that the cluster is complete, which fields cannot change, and which machine each node is. Every " +
			"later run compares hosts and inventory with it.",
		Manual:   []string{"kubectl -n kube-system get configmap slipway -o yaml"},
		On:       workflow.Seed,
		NeedsAll: []string{"kubeadm-init", "join-control-plane", "join"},
		Do:       writeRecord,
	}
}

// writeRecord adds the hosts that have a Node to the record, and creates the record
// of a cluster that has none.
func writeRecord(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	state := &cluster.State{}
	if err := state.Read(ctx, client); err != nil {
		return err
	}
	wanted, err := cluster.SettingsOf(s.Cluster())
	if err != nil {
		return err
	}
	before := state.Record
	after := cluster.Record{Fixed: cluster.FixedOf(s.Cluster()), Settings: wanted, Hosts: map[string]cluster.RecordedHost{}}
	if before != nil {
		after.Fixed = before.Fixed
		maps.Copy(after.Hosts, before.Hosts)
		drift, err := state.Drift(s.Cluster())
		if err != nil {
			return err
		}
		if before.Settings != nil && len(drift) > 0 {
			after.Settings = before.Settings
		}
	}
	for _, h := range s.Hosts().WithLeaving().All {
		if node := state.Node(h.Config.Name); node != nil && h.Facts() != nil && len(node.Addresses) > 0 {
			after.Hosts[node.Name] = cluster.RecordedHost{MachineID: h.Facts().MachineID, Address: node.Addresses[0]}
		}
	}
	// The hosts that have left are in the record no more.
	for _, h := range s.Cluster().Leaving {
		if state.Node(h.Name) == nil {
			delete(after.Hosts, h.Name)
		}
	}
	if before != nil && before.Equal(after) {
		return nil
	}
	if err := cluster.WriteRecord(ctx, client, after); err != nil {
		return err
	}
	change, err := diffRecords(before, after)
	s.Record("update slipway's record in configmap kube-system/slipway", change)
	return err
}

// diffRecords returns what changes in the record; before is nil if there is none.
func diffRecords(before *cluster.Record, after cluster.Record) (string, error) {
	var old []byte
	if before != nil {
		var err error
		if old, err = yaml.Marshal(before); err != nil {
			return "", err
		}
	}
	current, err := yaml.Marshal(after)
	return diff.Text(old, current), err
}
