// Package network installs the pod network.
package network

import (
	"context"
	"net"

	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// flannel is what its template is filled from.
type flannel struct {
	PodSubnet, Backend    string
	MTU                   int
	Image, CNIPluginImage string
	APIHost, APIPort      string
}

// CNI installs the pod network that the inventory chooses.
func CNI() workflow.Phase {
	return workflow.Phase{
		Name:  "cni",
		Title: "install the pod network",
		Why: "Nodes are not ready and pods have no addresses without one; it takes the interface that has the node's " +
			"address, and not the NAT interface of a virtual machine.",
		Manual: []string{"kubectl apply --server-side -f kube-flannel.yml    # with net-conf.json's Network set to podSubnet"},
		On:     workflow.FirstControlPlane,
		Needs:  []string{"kubeadm-init"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return s.Cluster().Network.CNI.Name == "none", nil
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			manifests, err := render(s)
			if err != nil {
				return err
			}
			return s.Apply(ctx, manifests)
		},
	}
}

func render(s *workflow.Step) ([]byte, error) {
	ip, err := s.Machine.NodeIP()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.Cluster().Endpoint(ip.String()))
	if err != nil {
		return nil, err
	}
	daemon, err := s.Bundle().Image("ghcr.io/flannel-io/flannel", s.Facts().Arch)
	if err != nil {
		return nil, err
	}
	plugin, err := s.Bundle().Image("ghcr.io/flannel-io/flannel-cni-plugin", s.Facts().Arch)
	if err != nil {
		return nil, err
	}
	network := s.Cluster().Network
	return templates.Render("network/flannel.yaml.tmpl", flannel{
		PodSubnet: network.PodSubnet, Backend: network.CNI.Backend, MTU: network.CNI.MTU,
		Image: daemon.Name, CNIPluginImage: plugin.Name, APIHost: host, APIPort: port,
	})
}
