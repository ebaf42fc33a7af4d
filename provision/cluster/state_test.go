package cluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
)

const kubeadmConfig = `
apiVersion: v1
kind: ConfigMap
metadata: {name: kubeadm-config, namespace: kube-system}
data:
  ClusterConfiguration: |
    kubernetesVersion: v1.36.4
    controlPlaneEndpoint: api.example
    networking: {podSubnet: 10.1.0.0/16, serviceSubnet: 10.2.0.0/16, dnsDomain: c.example}
`

func client(t *testing.T, server *kubetest.Server) *kube.Client {
	t.Helper()
	c, err := kube.New(server.Kubeconfig(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReadReadsTheCluster(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(kubeadmConfig)
	server.Put(`
apiVersion: v1
kind: ConfigMap
metadata: {name: kubelet-config, namespace: kube-system}
data:
  kubelet: |
    cgroupDriver: systemd
    maxPods: 110
---
apiVersion: v1
kind: Node
metadata: {name: w-1}
spec: {unschedulable: true}
status:
  nodeInfo: {kubeletVersion: v1.36.3}
  addresses: [{type: Hostname, address: w-1}, {type: InternalIP, address: 192.0.2.21}]
  conditions: [{type: Ready, status: "False", reason: KubeletNotReady, message: no network}]
---
apiVersion: v1
kind: Node
metadata: {name: cp-1, labels: {node-role.kubernetes.io/control-plane: ""}}
status: {conditions: [{type: Ready, status: "True"}]}
`)
	record := Record{Fixed: Fixed{PodSubnet: "10.1.0.0/16", PodNetwork: "flannel"}, Hosts: map[string]RecordedHost{"w-1": {"abc", "192.0.2.21"}}}
	if err := WriteRecord(t.Context(), client(t, server), record); err != nil {
		t.Fatal(err)
	}
	got := State{}
	if err := got.Read(t.Context(), client(t, server)); err != nil {
		t.Fatal(err)
	}
	want := State{
		Version: "v1.36.4", Record: &record,
		Fixed: Fixed{
			PodSubnet: "10.1.0.0/16", ServiceSubnet: "10.2.0.0/16", DNSDomain: "c.example", PodNetwork: "flannel",
			Endpoint: "api.example:6443", CgroupDriver: "systemd",
		},
		Settings: Settings{
			clusterSection: {
				"kubernetesVersion": "v1.36.4", "controlPlaneEndpoint": "api.example",
				"networking": map[string]any{"podSubnet": "10.1.0.0/16", "serviceSubnet": "10.2.0.0/16", "dnsDomain": "c.example"},
			},
			kubeletSection: {"cgroupDriver": "systemd", "maxPods": 110.0},
			proxySection:   nil,
		},
		Nodes: []Node{
			{Name: "cp-1", Ready: true, ControlPlane: true},
			{Name: "w-1", Version: "v1.36.3", Why: "not Ready: KubeletNotReady: no network", Addresses: []string{"192.0.2.21"}, Cordoned: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Node("w-1") == nil || got.Node("w-9") != nil {
		t.Error("Node is wrong about w-1 or w-9")
	}
}

func TestReadOfAnInterruptedInitIsEmpty(t *testing.T) {
	t.Parallel()
	got := State{}
	if err := got.Read(t.Context(), client(t, kubetest.New(t))); err != nil || got.Version != "" || got.Record != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestADamagedRecordIsAnError(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put("{apiVersion: v1, kind: ConfigMap, metadata: {name: slipway, namespace: kube-system}, data: {record.yaml: \"fixed: 7\"}}")
	if _, err := ReadRecord(t.Context(), client(t, server)); err == nil || !strings.Contains(err.Error(), "configmap kube-system/slipway") {
		t.Errorf("got %v", err)
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	inventory, err := config.Parse("inventory.yaml", []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	same := FixedOf(inventory)
	tests := []struct {
		name   string
		change func(have *Fixed)
		want   []Difference
	}{
		{"none", func(*Fixed) {}, nil},
		{"a pod network that is not recorded", func(have *Fixed) { have.PodNetwork = "" }, nil},
		{"each field", func(have *Fixed) {
			*have = Fixed{PodSubnet: "a", ServiceSubnet: "b", DNSDomain: "c", PodNetwork: "d", Backend: "e", Endpoint: "f:6443", Name: "g", CgroupDriver: "h"}
		}, []Difference{
			{"network.podSubnet", "a", "10.244.0.0/16"},
			{"network.serviceSubnet", "b", "10.96.0.0/12"},
			{"network.dnsDomain", "c", "cluster.local"},
			{"network.cni.name", "d", "flannel"},
			{"network.cni.backend", "e", "vxlan"},
			{"metadata.name", "g", "kubernetes"},
			{"containerd.cgroupDriver", "h", "systemd"},
			{"controlPlane.endpoint", "f:6443", ""},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			have := same
			test.change(&have)
			if diff := cmp.Diff(test.want, have.Differences(same)); diff != "" {
				t.Error(diff)
			}
		})
	}
	inventory.ControlPlane.Endpoint = "api.example"
	if diff := cmp.Diff([]Difference{{"controlPlane.endpoint", "", "api.example:6443"}}, same.Differences(FixedOf(inventory))); diff != "" {
		t.Errorf("a new endpoint: %s", diff)
	}
}

// A cluster of an earlier release has no record. Its ApplySets show the pod network.
func TestThePodNetworkOfAClusterWithoutARecordIsFound(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(kubeadmConfig)
	server.Put("{apiVersion: v1, kind: ConfigMap, metadata: {name: slipway-calico, namespace: kube-system, labels: {applyset.kubernetes.io/id: applyset-x-v1}, annotations: {applyset.kubernetes.io/tooling: slipway/v1}}}")
	got := State{}
	if err := got.Read(t.Context(), client(t, server)); err != nil || got.Fixed.PodNetwork != "calico" || !slices.Equal(got.Sets, []string{"calico"}) {
		t.Errorf("got %+v, %v, %v", got.Fixed, got.Sets, err)
	}
}
