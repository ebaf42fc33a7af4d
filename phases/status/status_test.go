package status

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const inventory = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

// shown returns the status of the fixture in the given state.
func shown(t *testing.T, f *workflowtest.Fixture, state *cluster.State) Status {
	t.Helper()
	var got Status
	f.Hosts.SetState(state)
	err := f.Apply(Phase(func(s Status) error {
		got = s
		return nil
	}))
	if err != nil && !errors.Is(err, host.ErrUnreachable) { // the run fails in the end
		t.Fatal(err)
	}
	return got
}

func TestStatusBeforeTheFirstApply(t *testing.T) {
	t.Parallel()
	got := shown(t, workflowtest.New(t, inventory), &cluster.State{})
	want := Status{Cluster: "kubernetes", Hosts: []Host{
		{Name: "cp-1", Address: "192.0.2.11", Roles: []config.Role{config.RoleControlPlane}},
		{Name: "w-1", Address: "192.0.2.21", Roles: []config.Role{config.RoleWorker}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStatusOfACluster(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf}
	fixture.Facts("cp-1").Software.Kubelet = "v1.35.8"
	fixture.Cluster.Kubernetes.Version = "v1.36.4"
	fixed := cluster.FixedOf(fixture.Cluster)
	fixed.ServiceSubnet = "10.0.0.0/16"
	ready := cluster.Node{Name: "cp-1", Version: "v1.35.8", Ready: true}
	got := shown(t, fixture, &cluster.State{
		Exists: true, Version: "v1.35.8", Fixed: fixed, Record: &cluster.Record{}, Sets: []string{"traefik"},
		Lease: &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: new("ada")}},
		Nodes: []cluster.Node{ready, {Name: "old"}}, Members: []kube.EtcdMember{{ID: 0xabc, Name: "cp-1"}},
	})
	if !got.Exists || !got.Complete || got.API != "" || got.Hosts[0].Kubelet != "v1.35.8" {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(&ready, got.Hosts[0].Node); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Member{{Name: "cp-1", ID: "abc", Problem: "unknown"}}, got.Etcd); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Addon{{Name: "flannel", Listed: true}, {Name: "traefik", Installed: true}}, got.Addons); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]cluster.Node{{Name: "old"}}, got.Foreign); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&Lock{"ada", "another program", "an unknown time"}, got.Lock); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"network.serviceSubnet is 10.0.0.0/16 in the cluster, and 10.96.0.0/12 in the inventory",
		"kubernetes.version is v1.35.8 in the cluster, and v1.36.4 in the inventory",
		"w-1 has not joined", "flannel is not installed", "traefik is installed, but not in the inventory",
		"node old is not in the inventory: to remove it, add it with state: absent or lost",
	}
	if diff := cmp.Diff(want, got.Differences); diff != "" {
		t.Error(diff)
	}
}

func TestStatusOfAClusterThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
	got := shown(t, fixture, &cluster.State{Exists: true, Silent: errors.New("connection refused")})
	if got.API != "connection refused" || len(got.Differences) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestStatusOfHostsThatLeave(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory+"  - {name: w-2, address: 192.0.2.22, state: absent}\n  - {name: w-3, address: 192.0.2.23, state: absent}\n  - {name: cp-2, address: 192.0.2.12, roles: [control-plane], state: lost}\n")
	fixture.Hosts.Leaving[1].SetUnreachable(errors.New("w-3: no route"))
	got := shown(t, fixture, &cluster.State{
		Exists: true, Version: fixture.Cluster.Kubernetes.NewVersion(), Fixed: cluster.FixedOf(fixture.Cluster), Sets: []string{"flannel"},
		Nodes:   []cluster.Node{{Name: "cp-1"}, {Name: "w-1"}, {Name: "w-2"}},
		Members: []kube.EtcdMember{{Name: "cp-1"}, {PeerURLs: []string{"https://192.0.2.12:2380"}}}, // that of cp-2 never started
	})
	var states []string
	for _, h := range got.Hosts {
		states = append(states, h.Name+" "+h.State)
	}
	if diff := cmp.Diff([]string{"cp-1 ", "w-1 ", "w-2 absent", "w-3 absent", "cp-2 lost"}, states); diff != "" || len(got.Foreign) > 0 {
		t.Errorf("%s; foreign %v", diff, got.Foreign)
	}
	want := []string{
		"w-2 is absent in the inventory: `slipway apply` removes it from the cluster",
		"cp-2 is lost in the inventory: `slipway apply` removes it from the cluster",
	}
	if diff := cmp.Diff(want, got.Differences); diff != "" {
		t.Error(diff)
	}
}
