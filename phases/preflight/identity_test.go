package preflight

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestIdentityChecks(t *testing.T) {
	t.Parallel()
	running := func(f *workflowtest.Fixture) *cluster.State {
		settings, err := cluster.SettingsOf(f.Cluster)
		if err != nil {
			t.Fatal(err)
		}
		return &cluster.State{Exists: true, Version: f.Cluster.Kubernetes.NewVersion(), Fixed: cluster.FixedOf(f.Cluster), Settings: settings}
	}
	tests := []struct {
		name          string
		prepare       func(f *workflowtest.Fixture) *cluster.State
		want          []string
		evidence, fix string
	}{
		{"no cluster", func(*workflowtest.Fixture) *cluster.State { return nil }, nil, "", ""},
		{"a cluster as the inventory describes it", running, nil, "", ""},
		{"an API server that does not answer", func(*workflowtest.Fixture) *cluster.State { return &cluster.State{Exists: true} }, nil, "", ""},
		{"a worker without its control plane", func(f *workflowtest.Fixture) *cluster.State {
			f.Facts("w-1").Existing = []facts.Path{facts.KubeletConf, facts.Journal}
			return nil
		}, []string{"cluster-identity w-1 error"}, "no control plane of the inventory has the data", "slipway reset --yes --hosts w-1"},
		{"another installation, which leftovers reports", func(f *workflowtest.Fixture) *cluster.State {
			f.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
			return nil
		}, nil, "", ""},
		{"a control plane whose reset has deleted the data of etcd", func(f *workflowtest.Fixture) *cluster.State {
			f.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.KubeletConf, facts.Journal, facts.ResetMark}
			return nil
		}, []string{"cluster-identity cp-1 error"}, "had deleted the data of etcd", "slipway reset --yes --hosts cp-1"},
		{"a control plane whose reset has deleted nothing", func(f *workflowtest.Fixture) *cluster.State {
			f.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.Journal, facts.ResetMark}
			return nil
		}, nil, "", ""},
		{"a control plane that a reset has emptied", func(f *workflowtest.Fixture) *cluster.State {
			f.Facts("cp-1").Existing = []facts.Path{facts.Journal, facts.ResetMark}
			return nil
		}, nil, "", ""},
		{"a host on which a restore was interrupted", func(f *workflowtest.Fixture) *cluster.State {
			f.Facts("cp-1").Existing = []facts.Path{facts.Journal, facts.RestoreMark}
			return nil
		}, []string{"interrupted-restore cp-1 error"}, "a restore of the cluster was interrupted", "resume it: slipway restore BACKUP --yes"},
		{"another pod subnet", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			state.Fixed.PodSubnet = "10.1.0.0/16"
			return state
		}, []string{"fixed-fields  error"}, "network.podSubnet is 10.1.0.0/16 in the cluster", "set network.podSubnet back to 10.1.0.0/16"},
		{"an endpoint that the cluster does not have", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			f.Cluster.ControlPlane.Endpoint = "api.example"
			return state
		}, []string{"fixed-fields  error"}, "created without controlPlane.endpoint, and the inventory has api.example:6443: the certificates and kubeconfigs of all nodes name 192.0.2.11:6443", "reinstall it with the endpoint: slipway reset --yes, then slipway apply; or make 192.0.2.11:6443 its endpoint"},
		{"another port of the API servers", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			state.Record = &cluster.Record{Settings: state.Settings}
			f.Cluster.ControlPlane.BindPort = 6444
			return state
		}, []string{"fixed-fields  error"}, "controlPlane.bindPort is 6443 in the cluster, and 6444", "set controlPlane.bindPort back to 6443"},
		{"an older cluster, and no version in the inventory", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			state.Version = "v1.35.8"
			return state
		}, nil, "", ""},
		{"another setting of kubelet", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			f.Cluster.Kubernetes.KubeletConfiguration = map[string]any{"maxPods": 50}
			return state
		}, nil, "", ""},
		{"a setting that kubeadm init has read", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			state.Record = &cluster.Record{Settings: cluster.Settings{"initConfiguration": {}}}
			f.Cluster.Kubernetes.InitConfiguration = map[string]any{"skipPhases": []any{"addon/kube-proxy"}}
			return state
		}, []string{"settings-change  error"}, "it cannot change, since `kubeadm init` has read it", "slipway reset --yes, then slipway apply"},
		{"a file of the API server that does not exist", func(f *workflowtest.Fixture) *cluster.State {
			f.Cluster.ControlPlane.APIServer.AuditPolicyFile = "/nonexistent/audit.yaml"
			return nil
		}, []string{"settings-change  error"}, "controlPlane.apiServer.auditPolicyFile: open /nonexistent/audit.yaml", "correct the path"},
		{"another address of a node", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			state.Nodes = []cluster.Node{{Name: "w-1", Addresses: []string{"198.51.100.9"}}, {Name: "cp-1", Addresses: []string{"192.0.2.11"}}}
			return state
		}, []string{"node-address-change w-1 error"}, "the node has the address 198.51.100.9, and would get 192.0.2.21", "set nodeIP: 198.51.100.9; or remove the node, and let its host join again with the new address: slipway node remove w-1"},
		{"a new machine with the name of a node", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			state.Nodes = []cluster.Node{{Name: "w-1", Ready: true, MachineID: "0123456789abcdef", Addresses: []string{"192.0.2.21"}}}
			return state
		}, []string{"node-identity w-1 error"}, "the cluster has a node w-1, which is ready, on another machine", "kubectl delete node w-1"},
		{"a machine that joins again", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			state.Nodes = []cluster.Node{{Name: "w-1", MachineID: f.Facts("w-1").MachineID, Addresses: []string{"192.0.2.21"}}}
			return state
		}, nil, "", ""},
		{"a machine ID that changed after the join", func(f *workflowtest.Fixture) *cluster.State {
			state := running(f)
			f.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.Journal}
			state.Nodes = []cluster.Node{{Name: "cp-1", MachineID: "0123456789abcdef", Addresses: []string{"192.0.2.11"}}}
			return state
		}, nil, "", ""},
		{"another cgroup driver, and a silent API server", func(f *workflowtest.Fixture) *cluster.State {
			f.Cluster.Containerd.CgroupDriver = "cgroupfs"
			return &cluster.State{Exists: true, Version: "v1.35.8", Fixed: cluster.Fixed{CgroupDriver: "systemd"}}
		}, []string{"fixed-fields  error"}, "containerd.cgroupDriver is systemd in the cluster, and cgroupfs", "set containerd.cgroupDriver back to systemd"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: test.prepare(fixture)}
			report := cc.report(Selection{Only: []string{"cluster-identity", "node-identity", "interrupted-restore", "fixed-fields", "node-address-change", "settings-change"}})
			complete(t, report)
			if diff := cmp.Diff(test.want, told(report)); diff != "" {
				t.Fatal(diff)
			}
			for _, c := range report.Checks {
				for _, f := range c.Findings {
					if !strings.Contains(f.Evidence, test.evidence) || !strings.Contains(f.Fix, test.fix) {
						t.Errorf("got %+v", f)
					}
				}
			}
		})
	}
}

// Errors of preflight and of the inventory name this section.
func TestDocsHaveTheWayOutOfAClusterWithoutAnEndpoint(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/nodes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n### A cluster without an endpoint\n", "controlPlaneEndpoint: 192.0.2.11:6443"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/nodes.md lacks %q", want)
		}
	}
}
