package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/probe/httpprobe"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newValidate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Prove that the cluster works: nodes, DNS, traffic, volumes, load balancer, ingress",
		Long: `Prove that the cluster works, with test pods in a namespace of their own that is
always removed. What the inventory's addons promise is proved too: volumes are
written and read, the ingress and the load balancer are asked from this computer,
or from the first control plane where hosts are behind a bastion. The exit code is
6 if a probe fails.

Probes: ` + strings.Join(validate.Names(), ", ") + `.`,
		Example: `  slipway validate
  slipway validate --only dns,pod-to-pod -o json
  slipway validate -o junit > validate.xml`,
		Annotations: map[string]string{outputFormats: "text,json,junit,html"},
		Args:        noArgs,
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
	flags.Duration("timeout", 5*time.Minute, "how long all of it may take; with more than the default, each part may take longer too")
	return cmd
}

func (a *app) validate(ctx context.Context, cluster *config.Cluster, path string) error {
	hosts, client, closeAll, err := a.connected(ctx, cluster, path)
	if err != nil {
		return err
	}
	defer closeAll()
	image, err := a.agnhost(ctx, cluster)
	if err != nil {
		return err
	}
	found, err := validate.Run(ctx, validate.Options{
		Client: client, Cluster: cluster, AgnhostImage: image, NodeIPs: nodeIPs(cluster),
		Timeout: a.settings.GetDuration("timeout"),
		Only:    a.list("only"), Skip: a.list("skip"), Outside: outsideOf(cluster, hosts),
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
	return verdict(found)
}

// verdict names the failed probes again: a long report has them anywhere.
func verdict(found *validate.Report) error {
	switch failures := found.Failures(); {
	case len(failures) > 0:
		return fmt.Errorf("%w: %s", errInvalidCluster, strings.Join(failures, "\n"))
	case !found.OK:
		return fmt.Errorf("%w: no probe could be run", errInvalidCluster)
	}
	return nil
}

// connected is the hosts of an inventory with a client of its cluster.
func (a *app) connected(ctx context.Context, cluster *config.Cluster, path string) (*workflow.Hosts, *kube.Client, func(), error) {
	hosts, closeAll, err := a.hosts(cluster, path)
	if err != nil {
		return nil, nil, nil, err
	}
	client, err := connect(ctx, hosts)
	if err != nil {
		closeAll()
		return nil, nil, nil, err
	}
	return hosts, client, closeAll, nil
}

// connect makes a client of the cluster through the first control plane.
func connect(ctx context.Context, hosts *workflow.Hosts) (*kube.Client, error) {
	first := hosts.Seed()
	conf, err := readAdminConf(ctx, first)
	if err != nil {
		return nil, err
	}
	dialer, ok := first.Conn.(host.Dialer)
	if !ok {
		return kube.New(conf, nil)
	}
	return kube.New(conf, dialer.DialContext)
}

// outsideOf asks what the cluster serves from this computer; where its hosts
// are behind a bastion, from the first control plane.
func outsideOf(cluster *config.Cluster, hosts *workflow.Hosts) httpprobe.Client {
	first := hosts.Seed()
	bastion := cmp.Or(first.Config.SSH.Bastion, cluster.SSH.Bastion)
	dialer, ok := first.Conn.(host.Dialer)
	if bastion == "" || bastion == "none" || !ok {
		return httpprobe.Client{}
	}
	return httpprobe.Client{Dial: dialer.DialContext, Place: first.Config.Name + ", by SSH"}
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

// printReport writes what was found as it was asked for.
func (a *app) printReport(r *validate.Report) error {
	if r.Leftover != "" {
		fmt.Fprintf(a.err, "the test namespace could not be removed: %s\n", r.Leftover)
	}
	proof := proofOf(r)
	switch a.settings.GetString("output") {
	case "json":
		return a.printJSON(r)
	case "junit":
		return report.ProofJUnit(a.out, proof)
	case "html":
		return report.ProofHTML(a.out, proof)
	}
	var rows []report.Row
	for _, p := range proof.Probes {
		rows = append(rows, report.Row{Status: p.Status, Cells: []string{p.Name, p.Target, p.Took.String(), p.Seen}})
	}
	if err := report.Table(a.out, []string{"PROBE", "TARGET", "TIME", "EVIDENCE"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "%d passed, %d failed, %d skipped in %s\n", r.Passed, r.Failed, r.Skipped, r.Duration().Round(100*time.Millisecond))
	return err
}

func proofOf(r *validate.Report) *report.Proof {
	proof := &report.Proof{Cluster: r.Cluster, Started: time.Now().Add(-r.Duration()), Took: r.Duration(), OK: r.OK}
	statuses := map[validate.Status]report.Status{
		validate.Passed: report.StatusOK, validate.Failed: report.StatusFailed, validate.Skipped: report.StatusSkipped,
	}
	for _, p := range r.Probes {
		proof.Probes = append(proof.Probes, report.ProofProbe{
			Name: p.Name, Target: p.Target, Title: p.Title, Status: statuses[p.Status], Seen: p.Seen(), Took: p.Took(),
		})
	}
	return proof
}
