package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
)

// Fixed are the fields of a cluster that cannot change: addresses and names that
// pods, Services and certificates contain.
type Fixed struct {
	PodSubnet     string `json:"podSubnet,omitempty"`
	ServiceSubnet string `json:"serviceSubnet,omitempty"`
	DNSDomain     string `json:"dnsDomain,omitempty"`
	// PodNetwork is network.cni.name. Only slipway's record has it.
	PodNetwork string `json:"podNetwork,omitempty"`
	// Backend is network.cni.backend. Only slipway's record has it.
	Backend string `json:"backend,omitempty"`
	// Endpoint is controlPlane.endpoint, with its port; empty without one.
	Endpoint string `json:"endpoint,omitempty"`
	// Name is metadata.name, which certificates and kubeconfigs contain.
	Name string `json:"name,omitempty"`
	// CgroupDriver is containerd.cgroupDriver: kubelet and containerd must agree on
	// it, and running pods keep their cgroups.
	CgroupDriver string `json:"cgroupDriver,omitempty"`
	// Etcd says where etcd runs if not on the control planes: the hosts with the role
	// etcd, or the endpoints of an etcd that exists. Only slipway's record has it.
	Etcd string `json:"etcd,omitempty"`
}

// FixedOf returns those that the inventory sets.
func FixedOf(c *config.Cluster) Fixed {
	fixed := Fixed{
		PodSubnet: c.Network.PodSubnet, ServiceSubnet: c.Network.ServiceSubnet, DNSDomain: c.Network.DNSDomain,
		PodNetwork: c.Network.CNI.Name, Backend: c.Network.CNI.Backend, Name: c.Metadata.Name, CgroupDriver: c.Containerd.CgroupDriver,
	}
	if c.ControlPlane.Endpoint != "" {
		fixed.Endpoint = config.WithPort(c.ControlPlane.Endpoint)
	}
	fixed.Etcd = etcdOf(c)
	return fixed
}

// etcdOf returns where etcd of the inventory runs; empty for the control planes. The
// order does not matter.
func etcdOf(c *config.Cluster) string {
	members := slices.Sorted(slices.Values(c.Etcd.External.Endpoints))
	for _, h := range c.EtcdHosts() {
		members = append(members, h.Name)
	}
	slices.Sort(members)
	return strings.Join(members, ", ")
}

// Difference is a field of the inventory that differs from the cluster.
type Difference struct {
	// Field is its path in the inventory, such as network.podSubnet.
	Field string
	// Have is the value in the cluster, Want that of the inventory; empty if it is
	// not set.
	Have, Want string
}

// String is the difference as a sentence.
func (d Difference) String() string {
	return fmt.Sprintf("%s is %s in the cluster, and %s in the inventory", d.Field, cmp.Or(d.Have, "not set"), cmp.Or(d.Want, "not set"))
}

// controlPlanes is where etcd runs without Fixed.Etcd.
const controlPlanes = "the control planes"

// Differences returns the fields of the inventory, want, that differ from those
// of the cluster. A field that is not known is not compared, except for the endpoint
// of a cluster that was read, a cluster without one never gets one; and for etcd, which
// runs on the control planes if the record of the cluster does not say otherwise.
func (have Fixed) Differences(want Fixed) []Difference {
	var all []Difference
	for _, d := range []Difference{
		{"network.podSubnet", have.PodSubnet, want.PodSubnet},
		{"network.serviceSubnet", have.ServiceSubnet, want.ServiceSubnet},
		{"network.dnsDomain", have.DNSDomain, want.DNSDomain},
		{"network.cni.name", have.PodNetwork, want.PodNetwork},
		{"network.cni.backend", have.Backend, want.Backend},
		{"metadata.name", have.Name, want.Name},
		{"containerd.cgroupDriver", have.CgroupDriver, want.CgroupDriver},
	} {
		if d.Have != "" && d.Have != d.Want {
			all = append(all, d)
		}
	}
	if have.PodSubnet != "" && have.Endpoint != want.Endpoint {
		all = append(all, Difference{"controlPlane.endpoint", have.Endpoint, want.Endpoint})
	}
	if have.PodNetwork != "" && have.Etcd != want.Etcd {
		field := "hosts with the role etcd"
		if strings.Contains(have.Etcd+want.Etcd, "://") {
			field = "etcd.external.endpoints"
		}
		all = append(all, Difference{field, cmp.Or(have.Etcd, controlPlanes), cmp.Or(want.Etcd, controlPlanes)})
	}
	return all
}
