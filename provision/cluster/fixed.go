package cluster

import (
	"cmp"
	"fmt"

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
	return fixed
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

// Differences returns the fields of the inventory, want, that differ from those
// of the cluster. A field that is not known is not compared, except for the endpoint
// of a cluster that was read: a cluster without one never gets one.
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
	return all
}
