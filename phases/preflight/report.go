package preflight

import (
	"context"

	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// Show receives a report. Its error is the phase's.
type Show func(*check.Report) error

// Report runs the selected checks on all hosts and shows the report. Unlike
// Preflight it also reports on hosts that it cannot reach.
func Report(o Options, show Show) workflow.Phase {
	return reportPhase(workflow.Phase{
		Name:   "report",
		Title:  "check the hosts",
		Why:    "Reports every blocking problem, with its fix, before anything changes.",
		Manual: []string{"slipway preflight"},
	}, show, func(ctx context.Context, s *workflow.Step) (*check.Report, error) {
		o.Credentials = s.Credentials()
		return Run(ctx, s.Cluster(), s.Hosts(), o)
	})
}

// LocalOptions say what Local checks.
type LocalOptions struct {
	Spec      LabSpec
	Selection Selection
}

// Local checks the computer on which a lab is to run, and shows the report.
func Local(o LocalOptions, show Show) workflow.Phase {
	return reportPhase(workflow.Phase{
		Name:   "localhost",
		Title:  "check this computer",
		Why:    "A lab on a computer without virtualization, memory or disk space fails after minutes of downloads.",
		Manual: []string{"slipway preflight --local"},
	}, show, func(ctx context.Context, _ *workflow.Step) (*check.Report, error) {
		return RunLocal(ctx, localhost.Current{}, o.Spec, o.Selection)
	})
}

func reportPhase(p workflow.Phase, show Show, run func(context.Context, *workflow.Step) (*check.Report, error)) workflow.Phase {
	p.On, p.ReadOnly = workflow.Localhost, true
	p.Do = func(ctx context.Context, s *workflow.Step) error {
		report, err := run(ctx, s)
		if err != nil {
			return err
		}
		return show(report)
	}
	return p
}
