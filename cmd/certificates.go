package cmd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/status"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newCertificates(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:     "certificates",
		Aliases: []string{"certs"},
		Short:   "Show and renew the certificates of the cluster",
		Long: `Show and renew the certificates of kubeadm and kubelet. "slipway apply" renews those of
kubeadm by itself once less than a sixth of their lifetime is left.

To replace a CA, see docs/certificates.md.`,
		Example: `  slipway certificates list
  slipway certificates renew`,
	}, newCertificatesList(a), newCertificatesRenew(a))
}

func newCertificatesList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the days until each certificate expires",
		Long: `Show the days until each certificate of kubeadm and kubelet expires, who renews it, and
what somebody has to do about it. It reads only the hosts.`,
		Example: `  slipway certificates list
  slipway certificates list -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			return a.query(cmd.Context(), s, phases.Status(a.listCertificates))
		},
	}
	connectionFlags(cmd)
	return cmd
}

func newCertificatesRenew(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Renew all certificates of kubeadm",
		Long: `Renew all certificates of kubeadm on the control planes and on the hosts of etcd, one
host at a time, whether they expire soon or not. The controller manager, the scheduler and
kube-vip are restarted; the API server and etcd read their certificates again. Clients do
not notice.

It does not need the API server, which may not answer because its certificate has expired.
CAs, the certificates of a CA whose key is not on the host, and those of kubelet stay as
they are: the command says which ones need you. Rerun it to resume an interrupted one.

Kubeconfigs that people have, such as those of "slipway kubeconfig", contain certificates
too: renew them by writing them again.`,
		Example: `  slipway certificates renew --plan
  slipway certificates renew
  slipway certificates renew --hosts cp-2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd.Context(), phases.Certificates(), workflow.Selection{Hosts: a.list("hosts")}, a.settings.GetBool("plan"))
		},
	}
	connectionFlags(cmd)
	lockFlags(cmd)
	flags := cmd.Flags()
	flags.Bool("plan", false, "Print what would change, and change nothing.")
	flags.StringSlice("hosts", nil, "Names of the hosts to work on. (default all)")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	return cmd
}

// hostCertificates are the certificates of a host, for -o json.
type hostCertificates struct {
	Host         string               `json:"host"`
	Certificates []status.Certificate `json:"certificates"`
}

// listCertificates prints only the certificates of the status.
func (a *app) listCertificates(s status.Status) error {
	if a.json() {
		list := struct {
			Hosts    []hostCertificates `json:"hosts"`
			Warnings []string           `json:"warnings,omitempty"`
		}{Warnings: s.Warnings}
		for _, h := range s.Hosts {
			if len(h.Certificates) > 0 {
				list.Hosts = append(list.Hosts, hostCertificates{h.Name, h.Certificates})
			}
		}
		return a.printJSON(list)
	}
	if err := a.showCertificates(s); err != nil {
		return err
	}
	a.showWarnings(s)
	return nil
}

// showCertificates prints the days that are left of each certificate, those of several
// hosts in one row if they are the same.
func (a *app) showCertificates(s status.Status) error {
	type key struct {
		path, renewer string
		days          int
		due           bool
	}
	hosts := map[key][]string{}
	for _, h := range s.Hosts {
		for _, c := range h.Certificates {
			k := key{c.Path, string(c.RenewedBy), c.DaysLeft, c.Due}
			hosts[k] = append(hosts[k], h.Name)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	keys := make([]key, 0, len(hosts))
	for k := range hosts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.days, b.days), cmp.Compare(hosts[a][0], hosts[b][0]))
	})
	rows := make([]report.Row, 0, len(keys))
	for _, k := range keys {
		row := report.Row{Status: report.StatusOK, Cells: []string{k.path, fmt.Sprint(k.days), k.renewer, strings.Join(hosts[k], ", ")}}
		switch {
		case k.due && k.days < 0:
			row.Status = report.StatusFailed
		case k.due:
			row.Status = report.StatusWarning
		}
		rows = append(rows, row)
	}
	return report.Table(a.out, []string{"CERTIFICATE", "DAYS LEFT", "RENEWED BY", "HOSTS"}, rows)
}

// showWarnings prints what somebody has to do about certificates.
func (a *app) showWarnings(s status.Status) {
	for _, w := range s.Warnings {
		fmt.Fprintln(a.out, "warning: "+w)
	}
}
