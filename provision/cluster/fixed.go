package cluster

import "slipway.io/slipway/provision/config"

// Fixed are the fields of a cluster that cannot change: addresses that pods,
// Services and certificates contain.
type Fixed struct {
	PodSubnet     string `json:"podSubnet,omitempty"`
	ServiceSubnet string `json:"serviceSubnet,omitempty"`
	DNSDomain     string `json:"dnsDomain,omitempty"`
	// PodNetwork is network.cni.name. Only slipway's record has it.
	PodNetwork string `json:"podNetwork,omitempty"`
	// Endpoint is controlPlane.endpoint, with its port; empty without one.
	Endpoint string `json:"endpoint,omitempty"`
}

// FixedOf returns those that the inventory sets.
func FixedOf(c *config.Cluster) Fixed {
	fixed := Fixed{
		PodSubnet: c.Network.PodSubnet, ServiceSubnet: c.Network.ServiceSubnet, DNSDomain: c.Network.DNSDomain,
		PodNetwork: c.Network.CNI.Name,
	}
	if c.ControlPlane.Endpoint != "" {
		fixed.Endpoint = config.WithPort(c.ControlPlane.Endpoint)
	}
	return fixed
}

// Difference is a field of the inventory that differs from the cluster.
type Difference struct {
	// Field is its path in the inventory, such as network.podSubnet.
	Field      string
	Have, Want string
}

// Differences returns the fields of the inventory, want, that differ from those
// of the cluster. A field that the cluster does not tell is not compared, except
// for the endpoint: a cluster without one never gets one.
func (have Fixed) Differences(want Fixed) []Difference {
	var all []Difference
	for _, d := range []Difference{
		{"network.podSubnet", have.PodSubnet, want.PodSubnet},
		{"network.serviceSubnet", have.ServiceSubnet, want.ServiceSubnet},
		{"network.dnsDomain", have.DNSDomain, want.DNSDomain},
		{"network.cni.name", have.PodNetwork, want.PodNetwork},
	} {
		if d.Have != "" && d.Have != d.Want {
			all = append(all, d)
		}
	}
	if have.Endpoint != want.Endpoint {
		all = append(all, Difference{"controlPlane.endpoint", have.Endpoint, want.Endpoint})
	}
	return all
}
