package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"slipway.io/slipway/provision/workflow"
)

// unlistedPeers returns the addresses of the control planes that were only deleted from the
// inventory: they still run, and may take the address of the endpoint. keepalived skips
// peers of another address family than its own.
func unlistedPeers(s *workflow.Step, own netip.Addr) []string {
	var peers []string
	for _, u := range s.Hosts().Unlisted(s.Cluster()) {
		for _, a := range u.Addresses {
			if a != own && a.Is4() == own.Is4() {
				peers = append(peers, a.String())
			}
		}
	}
	return peers
}

// knownToUnlisted returns an error if the host of the step is a new control plane, or
// changes its virtual router ID, while a control plane runs that was only deleted from the
// inventory. The run does not change that one: both would hold the address.
func knownToUnlisted(ctx context.Context, s *workflow.Step) error {
	all := s.Hosts().Unlisted(s.Cluster())
	if len(all) == 0 {
		return nil
	}
	conf, err := s.ReadFile(ctx, keepalivedConf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	runs := s.Hosts().RunsAPIServer(s.Target)
	if runs && err != nil {
		return nil // they do not run keepalived: this one has not either
	}
	for _, u := range all {
		// One that runs has started when all others knew it.
		problem := unknown
		if runs || slices.ContainsFunc(u.Addresses, func(a netip.Addr) bool { return knows(string(conf), a.String()) }) {
			problem = differentID(string(conf), s.Cluster().ControlPlane.LoadBalancer.VirtualRouterID)
		}
		if problem != "" {
			err := fmt.Errorf("keepalived on %s, which is not in the inventory, %s", u, problem)
			return workflow.WithHint(err, "both would hold the address: "+u.Remedy())
		}
	}
	return nil
}
