package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	keepalivedConf = "/etc/keepalived/keepalived.conf"
	// The policy of SELinux does not confine scripts in this directory.
	keepalivedCheck   = "/usr/libexec/keepalived/slipway-check"
	keepalivedNotify  = "/usr/libexec/keepalived/slipway-disconnect"
	keepalivedUnit    = "/etc/systemd/system/keepalived.service.d/slipway.conf"
	keepalivedService = "keepalived.service"

	// firstPriority is that of the first control plane. Each of the others has one less
	// than the one before, those that leave the cluster at last.
	firstPriority = 100
)

// Keepalived lets the control planes that run share the address of the endpoint, also
// with those that join later in the run. Those that leave the cluster keep it until they
// are stopped, and would not give it to one that they do not know.
func Keepalived() workflow.Phase {
	return workflow.Phase{
		Name:  "keepalived",
		Title: "share the address of the endpoint among the control planes that run",
		Why: "One control plane holds the address (VRRP). If its power, its network, its API server, its kubelet or its haproxy " +
			"fails, another one takes the address. Without quorum, a control plane releases it. It must know new control planes " +
			"before they start, also if it leaves the cluster: otherwise, both take the address.",
		Manual: []string{
			"vi /etc/keepalived/keepalived.conf    # add the new control planes to unicast_peer",
			"systemctl reload keepalived",
			"journalctl -u keepalived",
		},
		On:      workflow.RunningControlPlanes,
		Needs:   []string{"lock", "haproxy"},
		Enabled: usesKeepalived,
		Do: func(ctx context.Context, s *workflow.Step) error {
			if s.Target.Config.Stays() {
				return runKeepalived(ctx, s)
			}
			if _, err := s.ReadFile(ctx, keepalivedConf); errors.Is(err, fs.ErrNotExist) {
				return nil // it never held the address
			} else if err != nil {
				return err
			}
			return runKeepalived(ctx, s)
		},
	}
}

// StartKeepalived runs keepalived on new control planes.
func StartKeepalived() workflow.Phase {
	return workflow.Phase{
		Name:  "keepalived-start",
		Title: "run keepalived on new control planes",
		Why: "A new control plane takes the address of the endpoint when another one fails, as soon as its API server is ready. " +
			"The control planes that run know it before it starts.",
		Manual: []string{
			"apt-get install -y keepalived    # dnf install -y keepalived on RHEL-like systems",
			"vi /etc/keepalived/keepalived.conf    # vrrp_instance with unicast_peer, virtual_ipaddress and track_script",
			"systemctl enable --now keepalived",
		},
		On:       workflow.NewControlPlanes,
		Needs:    []string{"lock", "haproxy"},
		NeedsAll: []string{"keepalived", "firewall"},
		Enabled:  usesKeepalived,
		Do:       runKeepalived,
	}
}

func runKeepalived(ctx context.Context, s *workflow.Step) error {
	own, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	if err := knownToOthers(ctx, s, own); err != nil {
		return err
	}
	data, err := keepalivedDataOf(s, own)
	if err != nil {
		return err
	}
	conf, err := templates.Render("endpoint/keepalived.conf.tmpl", data)
	if err != nil {
		return err
	}
	unit, err := templates.Render("endpoint/keepalived-unit.conf.tmpl", data)
	if err != nil {
		return err
	}
	written, err := host.WriteDiffering(ctx, s,
		host.File{Path: keepalivedCheck, Content: templates.File("endpoint/check.bash"), Mode: 0o755},
		host.File{Path: keepalivedNotify, Content: templates.Script("endpoint/disconnect.sh"), Mode: 0o755},
		host.File{Path: keepalivedUnit, Content: unit},
		host.File{Path: keepalivedConf, Content: conf},
	)
	if err != nil {
		return err
	}
	// keepalived keeps the address while it reloads its configuration.
	service := systemd.Service{Name: keepalivedService, Files: []string{keepalivedConf, keepalivedUnit}, Reload: []string{keepalivedConf}}
	return service.Ensure(ctx, s, written...)
}

// keepalivedData is the input of keepalived.conf.tmpl and keepalived-unit.conf.tmpl.
type keepalivedData struct {
	Cluster, Name, Address, NodeIP, Interface string
	// Peers are the addresses of the other control planes, also of unlisted ones.
	Peers                                      []string
	RouterID, Priority, StatePort, KubeletPort int
	// Script is the path of check.bash, Disconnect that of disconnect.sh.
	Script, Disconnect string
}

func keepalivedDataOf(s *workflow.Step, own netip.Addr) (keepalivedData, error) {
	c := s.Cluster()
	data := keepalivedData{
		Cluster: c.Metadata.Name, Name: s.Target.Config.Name, Address: c.EndpointHost(), NodeIP: own.String(),
		Interface: s.Facts().Interface(own), RouterID: c.ControlPlane.LoadBalancer.VirtualRouterID,
		Priority:  firstPriority - slices.Index(s.Hosts().WithLeaving().ControlPlanes(), s.Target),
		StatePort: config.HAProxyStatePort, KubeletPort: kubeletPort(c), Script: keepalivedCheck, Disconnect: keepalivedNotify,
	}
	if data.Interface == "" {
		return keepalivedData{}, fmt.Errorf("no interface has the address %s", own)
	}
	for _, p := range planes(s) {
		if p.host != s.Target {
			data.Peers = append(data.Peers, p.address)
		}
	}
	for _, address := range unlistedPeers(s, own) {
		if !slices.Contains(data.Peers, address) {
			data.Peers = append(data.Peers, address)
		}
	}
	return data, nil
}

// knownToOthers returns an error if another control plane may run keepalived that does
// not know this one, or that has another virtual router ID, and the run does not change
// it: both would hold the address.
func knownToOthers(ctx context.Context, s *workflow.Step, own netip.Addr) error {
	for _, p := range planes(s) {
		reached := p.host.Facts() != nil
		if p.host == s.Target || reached && s.Selected(p.host) || !reached && !mayRun(s, p.host) {
			continue
		}
		// A control plane that cannot be reached knows those that know it: they started, and
		// changed their ID, when all could be reached.
		conn, peer := s.On(p.host), own.String()
		if !reached {
			conn, peer = s.Host, p.address
		}
		content, err := conn.ReadFile(ctx, keepalivedConf)
		if errors.Is(err, fs.ErrNotExist) && reached {
			continue // it does not run keepalived yet
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if problem := difference(string(content), peer, s.Cluster().ControlPlane.LoadBalancer.VirtualRouterID); problem != "" {
			return leftOut(p.host, problem)
		}
	}
	return knownToUnlisted(ctx, s)
}

// unknown is what is wrong with a control plane that sends this one no advertisements.
const unknown = "does not know this control plane"

// difference returns how the configuration of a control plane differs from that of
// another one; empty if the two know each other.
func difference(conf, peer string, id int) string {
	if !knows(conf, peer) {
		return unknown
	}
	return differentID(conf, id)
}

// knows reports whether a configuration has the address of a peer.
func knows(conf, peer string) bool { return slices.Contains(strings.Fields(conf), peer) }

// differentID returns what is wrong with a configuration with another virtual router ID.
func differentID(conf string, id int) string {
	words := strings.Fields(conf)
	if i := slices.Index(words, "virtual_router_id"); i < 0 || i+1 == len(words) || words[i+1] != strconv.Itoa(id) {
		return "has another virtual router ID"
	}
	return ""
}

// leftOut is the error of a control plane that the run does not change.
func leftOut(h *workflow.Host, problem string) error {
	err := fmt.Errorf("keepalived on %s %s", h.Config.Name, problem)
	if h.Facts() != nil {
		return workflow.WithHint(err, "rerun `slipway apply` with all control planes, or without --hosts")
	}
	if cause := h.Unreachable(); cause != nil {
		err = fmt.Errorf("%w, and cannot be changed: %w", err, cause)
	}
	return workflow.WithHint(err, fmt.Sprintf(
		"both would hold the address: make %[1]s reachable; or turn its machine off for good, and set state: lost for %[1]s", h.Config.Name))
}
