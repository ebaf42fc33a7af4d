package cmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newPreflight(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Check the machines, and change nothing",
		Example: `  slipway preflight
  slipway preflight -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.preflight(cmd.Context()) },
	}
	connectionFlags(cmd)
	return cmd
}

func (a *app) preflight(ctx context.Context) error {
	cluster, path, err := a.inventory()
	if err != nil {
		return err
	}
	fleet, closeAll, err := a.fleet(cluster, path)
	if err != nil {
		return err
	}
	defer closeAll()
	run := &workflow.Run{Cluster: cluster, Fleet: fleet, Parallel: 20, Plan: true, Sink: report.SinkFunc(func(report.Event) {})}
	if err := run.Do(ctx, phases.Preflight()); err != nil {
		return err
	}
	// Never nil: programs get an empty list, not null.
	findings := append([]preflight.Finding{}, preflight.Run(cluster, fleet, cluster.Kubernetes.Version)...)
	if a.json() {
		if err := a.printJSON(findings); err != nil {
			return err
		}
	} else if err := a.printFindings(findings); err != nil {
		return err
	}
	var errs []preflight.Finding
	for _, f := range findings {
		if f.Severity == preflight.Error && f.Ignored == "" {
			errs = append(errs, f)
		}
	}
	if len(errs) > 0 {
		return reported{errors.Join(&preflight.FindingsError{Findings: errs})}
	}
	return nil
}

func (a *app) printFindings(findings []preflight.Finding) error {
	rows := []report.Row{}
	for _, f := range findings {
		row := report.Row{Status: report.StatusFailed, Cells: []string{f.Check, f.Host, f.Evidence, f.Fix}}
		if f.Severity == preflight.Warning {
			row.Status = report.StatusWarning
		}
		if f.Ignored != "" {
			row.Status, row.Cells[3] = report.StatusSkipped, "ignored: "+f.Ignored
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		rows = append(rows, report.Row{Status: report.StatusOK, Cells: []string{"all checks", "", "nothing found", ""}})
	}
	return report.Table(a.out, []string{"CHECK", "HOST", "EVIDENCE", "FIX"}, rows)
}
