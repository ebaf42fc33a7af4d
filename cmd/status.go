package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/status"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report"
)

func newStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the cluster and what differs from the inventory",
		Long: `Show what exists on the hosts and in the cluster: nodes, versions, API servers, etcd
members, the endpoint, the days until the first certificate of each host expires, and what
differs from the inventory. It reads only.

The exit code is 13 if the cluster works, but is degraded: a host is off, an API server or
an etcd member is not healthy, or not exactly one host has the address that the control
planes share. It is 4 if a host refuses the connection, or if a host is unreachable and
there is no cluster, and 6 if a node is not ready although its host answers, or the API
server of an existing cluster does not answer.`,
		Example: `  slipway status
  slipway status -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			return a.query(cmd.Context(), s, phases.Status(a.showStatus))
		},
	}
	connectionFlags(cmd)
	return cmd
}

func (a *app) showStatus(s status.Status) error {
	if a.json() {
		return errors.Join(a.printJSON(s), unhealthy(s))
	}
	fmt.Fprintln(a.out, summary(s))
	var rows []report.Row
	for _, h := range s.Hosts {
		rows = append(rows, hostRow(s, h))
	}
	for _, node := range s.Foreign {
		row := nodeRow(&node)
		rows = append(rows, report.Row{Status: report.StatusWarning, Cells: []string{node.Name, "", row, node.Version, "", "not in the inventory"}})
	}
	err := report.Table(a.out, []string{"HOST", "ROLES", "NODE", "KUBELET", "CERTIFICATES", "NOTE"}, rows)
	a.showControlPlanes(s)
	var installed []string
	for _, a := range s.Addons {
		if a.Installed {
			installed = append(installed, a.Name)
		}
	}
	if len(installed) > 0 {
		fmt.Fprintf(a.out, "pod network and addons: %s\n", strings.Join(installed, ", "))
	}
	if l := s.Lock; l != nil {
		fmt.Fprintf(a.out, "locked by %s (%s) since %s\n", l.Holder, l.Run, l.Since)
	}
	for _, d := range s.Degradations {
		fmt.Fprintln(a.out, "degraded: "+d)
	}
	for _, d := range s.Differences {
		fmt.Fprintln(a.out, "differs: "+d)
	}
	return errors.Join(err, unhealthy(s))
}

// showControlPlanes prints what a cluster needs to survive the loss of a host.
func (a *app) showControlPlanes(s status.Status) {
	if e := s.Endpoint; e != nil {
		line := fmt.Sprintf("endpoint %s (%s)", e.Address, e.LoadBalancer)
		if len(e.Holders) > 0 {
			line += ", its address is on " + strings.Join(e.Holders, ", ")
		}
		fmt.Fprintln(a.out, line)
	}
	for _, server := range s.APIServers {
		state := "ready at " + server.Address
		if !server.Ready {
			state = "not ready: " + server.Problem
		}
		fmt.Fprintf(a.out, "API server of %s: %s\n", server.Host, state)
	}
	for _, m := range s.Etcd {
		name := m.Name
		if name == "" {
			name = "(never started)"
		}
		fmt.Fprintf(a.out, "etcd member %s  %s  %s  %s\n", m.ID, name, strings.Join(m.PeerURLs, ", "), memberState(m))
	}
	if s.Quorum != nil {
		fmt.Fprintf(a.out, "etcd: %s\n", s.Quorum.Verdict())
	}
}

func memberState(m status.Member) string {
	var words []string
	if m.Leader {
		words = append(words, "leader")
	}
	switch {
	case m.NotAsked:
		return strings.Join(append(words, "not asked"), ", ")
	case !m.Healthy:
		return strings.Join(append(words, "not healthy: "+m.Problem), ", ")
	case !m.Voting:
		return "learner, healthy"
	}
	return strings.Join(append(words, "votes", "healthy"), ", ")
}

// summary is the first line of the status.
func summary(s status.Status) string {
	switch {
	case !s.Exists:
		return s.Cluster + ": no cluster yet; create it with `slipway apply`"
	case s.API != "":
		return s.Cluster + ": the API server does not answer: " + s.API
	case !s.Complete:
		return fmt.Sprintf("%s: Kubernetes %s, without slipway's record; run `slipway apply` to complete it", s.Cluster, s.Version)
	default:
		return fmt.Sprintf("%s: Kubernetes %s, pod network %s, pods %s, services %s", s.Cluster, s.Version, s.Fixed.PodNetwork, s.Fixed.PodSubnet, s.Fixed.ServiceSubnet)
	}
}

func hostRow(s status.Status, h status.Host) report.Row {
	row := report.Row{Status: report.StatusOK, Cells: []string{h.Name, roleList(h.Roles), nodeRow(h.Node), h.Kubelet, "", ""}}
	if h.CertificateDays != nil {
		row.Cells[4] = fmt.Sprintf("%d days", *h.CertificateDays)
	}
	switch {
	case h.State != "" && h.Node == nil:
		row.Status, row.Cells[5] = report.StatusSkipped, h.State
	case h.State != "":
		row.Status, row.Cells[5] = report.StatusWarning, h.State+" in the inventory"
	case h.Off && s.API == "" && s.Exists:
		row.Status, row.Cells[5] = report.StatusDegraded, strings.TrimPrefix(h.Unreachable, h.Name+": ")
	case h.Unreachable != "":
		row.Status, row.Cells[5] = report.StatusFailed, strings.TrimPrefix(h.Unreachable, h.Name+": ")
	case h.Node != nil && !h.Node.Ready:
		row.Status, row.Cells[5] = report.StatusFailed, h.Node.Why
	case h.Node == nil && s.Exists && !slices.Contains(h.Roles, config.RoleEtcd):
		row.Status = report.StatusWarning
	}
	return row
}

func nodeRow(node *cluster.Node) string {
	switch {
	case node == nil:
		return "-"
	case !node.Ready:
		return "not ready"
	case node.CordonReason != "":
		return fmt.Sprintf("ready, cordoned (%s)", node.CordonReason)
	case node.Cordoned:
		return "ready, cordoned"
	default:
		return "ready"
	}
}

// unhealthy is the error of a cluster that does not work, or is degraded. A host that
// refuses the connection is an error of its own. The Node of a lost host is not ready.
func unhealthy(s status.Status) error {
	bad, refused := s.Exists && s.API != "", false
	for _, h := range s.Hosts {
		bad = bad || h.Node != nil && !h.Node.Ready && !h.Off && h.State != config.StateLost
		refused = refused || h.Unreachable != "" && !h.Off
	}
	switch {
	case bad:
		return reported{errInvalidCluster}
	case len(s.Degradations) > 0 && !refused:
		return reported{errDegraded}
	}
	return nil
}
