package cmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/kube"
	"slipway.io/slipway/provision/remote"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newValidate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Prove that the cluster works: nodes, DNS, traffic between all pairs of nodes, exec and logs",
		Long: `Prove that the cluster works, with test pods in a namespace of their own that is
always removed. The exit code is 6 if a probe fails.

Probes: ` + strings.Join(validate.Names(), ", ") + `.`,
		Example: `  slipway validate
  slipway validate --only dns,pod-to-pod -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, path, err := a.inventory()
			if err != nil {
				return err
			}
			return a.validate(cmd.Context(), cluster, path)
		},
	}
	connectionFlags(cmd)
	flags := cmd.Flags()
	flags.StringSlice("only", nil, "the probes to run (default: all)")
	flags.StringSlice("skip", nil, "probes to leave out")
	flags.Duration("timeout", 5*time.Minute, "how long all of it may take")
	return cmd
}

func (a *app) validate(ctx context.Context, cluster *config.Cluster, path string) error {
	fleet, closeAll, err := a.fleet(cluster, path)
	if err != nil {
		return err
	}
	defer closeAll()
	client, err := connect(ctx, fleet)
	if err != nil {
		return err
	}
	image, err := a.agnhost(ctx, cluster)
	if err != nil {
		return err
	}
	found, err := validate.Run(ctx, validate.Options{
		Client: client, Cluster: cluster, AgnhostImage: image, NodeIPs: nodeIPs(cluster),
		Timeout: a.settings.GetDuration("timeout"),
		Only:    a.list("only"), Skip: a.list("skip"),
		Progress: func(message string) {
			if a.settings.GetBool("verbose") {
				fmt.Fprintln(a.err, message)
			}
		},
	})
	if found == nil {
		return &usageError{err}
	}
	if printErr := a.printReport(found); printErr != nil {
		return printErr
	}
	if err != nil {
		return err
	}
	if !found.OK {
		return errInvalidCluster
	}
	return nil
}

// connect makes a client of the cluster through the first control plane.
func connect(ctx context.Context, fleet *workflow.Fleet) (*kube.Client, error) {
	first := fleet.FirstControlPlane()
	conf, err := readAdminConf(ctx, first)
	if err != nil {
		return nil, err
	}
	dialer, ok := first.Host.(remote.Dialer)
	if !ok {
		return kube.New(conf, nil)
	}
	return kube.New(conf, dialer.DialContext)
}

// agnhost is the test image under the name that the machines have it by.
func (a *app) agnhost(ctx context.Context, cluster *config.Cluster) (string, error) {
	b, err := a.bundle(ctx, cluster)
	if err != nil {
		return "", err
	}
	for _, image := range b.Manifest().Images {
		if strings.Contains(image.Name, "/agnhost:") {
			return image.Name, nil
		}
	}
	return "", &bundle.NotFoundError{Bundle: b.Dir(), Name: "image agnhost"}
}

// nodeIPs are the addresses that the inventory names, by host.
func nodeIPs(cluster *config.Cluster) map[string]string {
	ips := map[string]string{}
	for _, h := range cluster.Hosts {
		if h.NodeIP != "" {
			ips[h.Name] = h.NodeIP
		}
	}
	return ips
}

func (a *app) printReport(r *validate.Report) error {
	if a.json() {
		return a.printJSON(r)
	}
	var rows []report.Row
	for _, p := range r.Probes {
		row := report.Row{Status: report.StatusOK}
		switch p.Status {
		case validate.Failed:
			row.Status = report.StatusFailed
		case validate.Skipped:
			row.Status = report.StatusSkipped
		}
		row.Cells = []string{p.Name, p.Target, p.Took().String(), p.Seen()}
		rows = append(rows, row)
	}
	if err := report.Table(a.out, []string{"PROBE", "TARGET", "TIME", "EVIDENCE"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d passed, %d failed, %d skipped in %s\n", r.Passed, r.Failed, r.Skipped, r.Duration().Round(100*time.Millisecond))
	if r.Leftover != "" {
		fmt.Fprintf(a.err, "the test namespace could not be removed: %s\n", r.Leftover)
	}
	return nil
}
