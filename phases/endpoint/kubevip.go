package endpoint

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	// kubeVIPImage is the last release before v1.2.0, since which kube-vip does nothing
	// more after it has lost its Lease (kube-vip#1747). Elections stall in v1.0.1 to
	// v1.0.3 (kube-vip#1377).
	kubeVIPImage    = "ghcr.io/kube-vip/kube-vip:v1.1.2"
	kubeVIPManifest = "/etc/kubernetes/manifests/kube-vip.yaml"
	// superAdminConf exists only on the host of kubeadm init. Its permissions do not
	// depend on objects of the cluster.
	superAdminConf = "/etc/kubernetes/super-admin.conf"
)

// KubeVIP lets the control planes share the address of the endpoint with kube-vip.
func KubeVIP() workflow.Phase {
	return workflow.Phase{
		Name:  "kube-vip",
		Title: "write the static pod of kube-vip",
		Why: "The control planes share the address of the endpoint: the one that has a Lease announces it with ARP. Until kubeadm " +
			"init is done, admin.conf has no permissions (kube-vip#684), and kube-vip uses super-admin.conf on the first control plane.",
		Manual: []string{
			"ctr run --rm --net-host " + kubeVIPImage + " vip /kube-vip manifest pod --interface INTERFACE --address VIRTUAL_ADDRESS --controlplane --arp --leaderElection > " + kubeVIPManifest,
			"sed -i 's#path: /etc/kubernetes/admin.conf#path: " + superAdminConf + "#' " + kubeVIPManifest + "    # on the first control plane, before kubeadm init",
		},
		On:      workflow.ControlPlanes,
		Needs:   []string{"lock"},
		Enabled: usesKubeVIP,
		Do: func(ctx context.Context, s *workflow.Step) error {
			kubeconfig := string(facts.AdminConf)
			// The seed of a cluster that exists may have joined, and lack the file.
			if s.Target == s.Hosts().Seed() && !created(s) {
				kubeconfig = superAdminConf
			}
			return writeKubeVIP(ctx, s, kubeconfig)
		},
	}
}

// KubeVIPPermissions takes super-admin.conf from kube-vip.
func KubeVIPPermissions() workflow.Phase {
	return workflow.Phase{
		Name:  "kube-vip-permissions",
		Title: "let kube-vip use admin.conf",
		Why:   "The permissions of super-admin.conf cannot be revoked. kube-vip needs them only while kubeadm init runs.",
		Manual: []string{
			"sed -i 's#path: " + superAdminConf + "#path: /etc/kubernetes/admin.conf#' " + kubeVIPManifest,
		},
		On:      workflow.Seed,
		Needs:   []string{"kube-vip", "kubeadm-init"},
		Enabled: usesKubeVIP,
		Do: func(ctx context.Context, s *workflow.Step) error {
			return writeKubeVIP(ctx, s, string(facts.AdminConf))
		},
	}
}

func writeKubeVIP(ctx context.Context, s *workflow.Step, kubeconfig string) error {
	c := s.Cluster()
	own, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	device := s.Facts().Interface(own)
	if device == "" {
		return fmt.Errorf("no interface has the address %s", own)
	}
	port, err := port(c)
	if err != nil {
		return err
	}
	// Without an address, kube-vip connects to the name "kubernetes", which hostAliases of
	// a static pod do not always provide (kube-vip#692), and v1.2.2 to the endpoint
	// (kube-vip#1654).
	server := net.JoinHostPort(own.String(), strconv.Itoa(c.ControlPlane.BindPort))
	manifest, err := templates.Render("endpoint/kube-vip.yaml.tmpl", struct{ Image, Interface, Address, Port, APIServer, Kubeconfig string }{
		kubeVIPImage, device, c.EndpointHost(), port, server, kubeconfig,
	})
	if err != nil {
		return err
	}
	_, err = host.EnsureFiles(ctx, s, host.File{Path: kubeVIPManifest, Content: manifest, Mode: 0o600})
	return err
}

func usesKubeVIP(c *config.Cluster) bool {
	return c.ControlPlane.LoadBalancer.Type == config.LoadBalancerKubeVIP
}
