// Package endpoint sets up the endpoint of the cluster: the address or the name under
// which hosts and users reach the API servers, whichever control planes are up.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
)

// claimTimeout bounds the wait for a control plane that holds the address: keepalived
// takes 4 s from its start, or from when the API server is ready.
const claimTimeout = 30 * time.Second

// Claimed waits until a control plane holds the address of the endpoint.
func Claimed() workflow.Phase {
	return workflow.Phase{
		Name:  "endpoint",
		Title: "wait until a control plane holds the address of the endpoint",
		Why: "Hosts that join connect to the first API server through the endpoint. A control plane takes the address when its " +
			"API server is ready. kubeadm init does not wait for it, so that the packages of haproxy and keepalived do not delay it.",
		Manual: []string{
			"ip -4 address show to VIRTUAL_ADDRESS    # on each control plane: one of them has it",
		},
		On:    workflow.Seed,
		Needs: []string{"lock", "keepalived-start", "kubeadm-init"},
		// A control plane that joins may take the address as soon as its API server is ready.
		NeedsAll: []string{"keepalived"},
		Enabled:  usesKeepalived,
		Do: func(ctx context.Context, s *workflow.Step) error {
			if s.Planning() || created(s) {
				return nil
			}
			return claimed(ctx, s)
		},
	}
}

// created reports whether kubeadm init had created the cluster before the run: the seed
// has data of etcd, and kubelet has its own certificate there, or other hosts have joined.
// Then nothing waits for the address: a host that cannot be reached may hold it.
func created(s *workflow.Step) bool {
	seed := s.Hosts().Seed()
	if seed == nil || seed.Facts() == nil || !kubeadm.HasData(s.Cluster(), seed.Facts()) {
		return false
	}
	return slices.ContainsFunc(s.Hosts().WithLeaving().All, func(h *workflow.Host) bool {
		return h.Facts() != nil && (h == seed && h.Facts().Kubernetes.Finalized || h != seed && h.Facts().Joined())
	})
}

func claimed(ctx context.Context, s *workflow.Step) error {
	address := s.Cluster().EndpointHost()
	err := retry.Until(ctx, "a control plane that holds "+address, func(ctx context.Context) error {
		for _, h := range s.Hosts().ControlPlanes() {
			if h.Facts() == nil {
				continue
			}
			res, err := s.On(h).Query(ctx, host.Cmd{Argv: []string{"ip", "-4", "-o", "address", "show", "to", address}})
			if err != nil {
				return retry.Stop(err)
			}
			if strings.TrimSpace(string(res.Stdout)) != "" {
				return nil
			}
		}
		return errors.New("no control plane has the address")
	}, retry.Options{Timeout: claimTimeout, Progress: func(err error) { s.Waiting(err.Error()) }})
	return workflow.WithHint(err, "see `journalctl -u keepalived -u haproxy` on the control planes")
}

// server is a control plane in the configuration of haproxy.
type server struct{ Name, Address string }

// servers returns the API servers of the inventory, in its order, with those that do not
// run yet: haproxy leaves out what does not answer.
func servers(s *workflow.Step) []server {
	var all []server
	for _, p := range planes(s) {
		all = append(all, server{p.host.Config.Name, net.JoinHostPort(p.address, strconv.Itoa(s.Cluster().ControlPlane.BindPort))})
	}
	return all
}

// plane is a control plane and its address in the cluster.
type plane struct {
	host    *workflow.Host
	address string
}

// planes returns the control planes of the inventory, with those that are absent while
// they still run: the others join through them. When they are removed, the same apply
// leaves them out. A host that is unreachable has the address of its Node, and is left out
// if it has none.
func planes(s *workflow.Step) []plane {
	var all []plane
	for _, h := range s.Hosts().WithLeaving().ControlPlanes() {
		if !h.Config.Stays() && !mayRun(s, h) {
			continue
		}
		if address := addressOf(s, h); address != "" {
			all = append(all, plane{h, address})
		}
	}
	return all
}

// mayRun reports whether a control plane may run an API server: its facts show it. That of
// one that cannot be reached may run while the cluster has something of the host, or does
// not answer.
func mayRun(s *workflow.Step, h *workflow.Host) bool {
	if h.Facts() != nil {
		return s.Hosts().RunsAPIServer(h)
	}
	node, err := s.Hosts().State().KnownNode(h.Config.Name)
	return err != nil || node != nil || h.HasMemberIn(s.Hosts().State())
}

// addressOf returns the address of a host in the cluster; empty if it is not known.
func addressOf(s *workflow.Step, h *workflow.Host) string {
	if address, err := h.NodeIP(); err == nil {
		return address.String()
	}
	if node := s.Hosts().State().Node(h.Config.Name); node != nil && len(node.Addresses) > 0 {
		return node.Addresses[0]
	}
	if address, err := netip.ParseAddr(h.Config.Address); err == nil && h.Facts() == nil && mayRun(s, h) {
		return address.String() // the best guess: it has no Node any more, or none that is known
	}
	return ""
}

// port returns the port of the endpoint.
func port(c *config.Cluster) (string, error) {
	_, port, err := net.SplitHostPort(config.WithPort(c.ControlPlane.Endpoint))
	if err != nil {
		return "", fmt.Errorf("controlPlane.endpoint: %w", err)
	}
	return port, nil
}

func usesKeepalived(c *config.Cluster) bool {
	return c.ControlPlane.LoadBalancer.Type == config.LoadBalancerKeepalived
}
