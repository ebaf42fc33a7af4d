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

// flannel is the data of its template.
type flannel struct {
	PodSubnet, Backend    string
	MTU                   int
	Image, CNIPluginImage string
	APIHost, APIPort      string
}

// CNI installs the pod network of the inventory.
func CNI() workflow.Phase {
	return workflow.Phase{
		Name:  "cni",
		Title: "install the pod network",
		Why: "Without one, nodes are not ready and pods have no addresses. It uses the interface that has the node's address, " +
			"not the NAT interface of a virtual machine.",
		Manual: []string{"kubectl apply --server-side -f kube-flannel.yml    # with net-conf.json's Network set to podSubnet"},
		On:     workflow.Seed,
		Needs:  []string{"kubeadm-init"},
		// It restarts pods on each node: not while they take their turns.
		NeedsAll: []string{"uncordon-workers"},
		Enabled:  wanted,
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
			// cni-ready waits for its pods: nodes join meanwhile.
			if err := set.Apply(ctx, objects); err != nil {
				return err
			}
			return set.Prune(ctx)
		},
	}
}

// Ready waits for the pods of the pod network on every node, and reports which of
// them do not start and why.
func Ready() workflow.Phase {
	return workflow.Phase{
		Name:     "cni-ready",
		Title:    "wait for the pod network's pods",
		Why:      "A node that is not ready reports only that it has no network; the pods that do not start show why.",
		Manual:   []string{"kubectl -n kube-flannel rollout status ds/kube-flannel-ds"},
		On:       workflow.Seed,
		Needs:    []string{"cni"},
		NeedsAll: []string{"join"},
		Enabled:  wanted,
		Do: func(ctx context.Context, s *workflow.Step) error {
			objects, err := objects(ctx, s)
			if err != nil {
				return err
			}
			return addon.Wait(ctx, s, s.Cluster().Network.CNI.Name, addon.Stage{Objects: objects})
		},
	}
}

// wanted reports whether slipway installs the pod network.
func wanted(c *config.Cluster) bool { return c.Network.CNI.Name != config.CNINone }

// neverSwitch refuses another pod network than the cluster's.
func neverSwitch(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	sets, err := client.ApplySets(ctx)
	if err != nil {
		return err
	}
	for _, current := range sets {
		if wanted := s.Cluster().Network.CNI.Name; current != wanted && slices.Contains(config.PodNetworks(), current) {
			return workflow.WithHint(
				fmt.Errorf("cannot change the cluster's pod network from %s to %s: pods have its addresses, and each kernel its rules", current, wanted),
				fmt.Sprintf("set network.cni.name to %s, or recreate the cluster: slipway reset --yes, then slipway apply", current))
		}
	}
	return nil
}

// objects returns the objects of the inventory's pod network.
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
