// Package network installs the pod network.
package network

import (
	"context"
	"fmt"
	"net"
	"slices"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
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
		Manual:  []string{"kubectl apply --server-side -f kube-flannel.yml    # with net-conf.json's Network set to podSubnet"},
		On:      workflow.Seed,
		Needs:   []string{"kubeadm-init"},
		Enabled: wanted,
		Do: func(ctx context.Context, s *workflow.Step) error {
			if err := neverSwitch(ctx, s); err != nil {
				return err
			}
			objects, err := objects(ctx, s)
			if err != nil {
				return err
			}
			set, err := s.Set(ctx, s.Cluster().Network.CNI.Name)
			if err != nil {
				return err
			}
			// Its pods are waited for later: nodes join meanwhile.
			if err := set.Apply(ctx, objects); err != nil {
				return err
			}
			return set.Prune(ctx)
		},
	}
}

// Ready waits for the pods of the pod network on every node, and says which of
// them do not start and why.
func Ready() workflow.Phase {
	return workflow.Phase{
		Name:     "cni-ready",
		Title:    "wait for the pod network's pods",
		Why:      "A node that is not ready says only that it has no network; the pods that do not start say why.",
		Manual:   []string{"kubectl -n kube-flannel rollout status ds/kube-flannel-ds"},
		On:       workflow.Seed,
		Needs:    []string{"cni"},
		NeedsAll: []string{"join"},
		Enabled:  wanted,
		Do: func(ctx context.Context, s *workflow.Step) error {
			if s.Planning() {
				return nil
			}
			objects, err := objects(ctx, s)
			if err != nil {
				return err
			}
			return addon.Wait(ctx, s, s.Cluster().Network.CNI.Name, addon.Stage{Objects: objects})
		},
	}
}

// wanted: slipway sets up the pod network.
func wanted(c *config.Cluster) bool { return c.Network.CNI.Name != config.CNINone }

// neverSwitch refuses another pod network than the one that the cluster has.
func neverSwitch(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	sets, err := client.ApplySets(ctx)
	if err != nil {
		return err
	}
	for _, has := range sets {
		if wanted := s.Cluster().Network.CNI.Name; has != wanted && slices.Contains(config.PodNetworks(), has) {
			return workflow.WithHint(
				fmt.Errorf("the cluster's pod network is %s and cannot become %s: every pod has an address of it, and rules in each kernel", has, wanted),
				fmt.Sprintf("set network.cni.name to %s, or begin anew: slipway reset, then slipway apply", has))
		}
	}
	return nil
}

// objects are those of the pod network that the inventory chooses.
func objects(ctx context.Context, s *workflow.Step) (addon.Objects, error) {
	if s.Cluster().Network.CNI.Name == config.CNICalico {
		return calico(ctx, s)
	}
	return flannelObjects(s)
}

func flannelObjects(s *workflow.Step) (addon.Objects, error) {
	ip, err := s.Target.NodeIP()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.Cluster().Endpoint(ip.String()))
	if err != nil {
		return nil, err
	}
	daemon, err := addon.Image(s, config.CNIFlannel, "ghcr.io/flannel-io/flannel")
	if err != nil {
		return nil, err
	}
	plugin, err := addon.Image(s, config.CNIFlannel, "ghcr.io/flannel-io/flannel-cni-plugin")
	if err != nil {
		return nil, err
	}
	network := s.Cluster().Network
	return addon.Render("network/flannel.yaml.tmpl", flannel{
		PodSubnet: network.PodSubnet, Backend: network.CNI.Backend, MTU: network.CNI.MTU,
		Image: daemon, CNIPluginImage: plugin, APIHost: host, APIPort: port,
	})
}
