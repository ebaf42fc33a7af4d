package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
)

func newValidate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Validate that the cluster works",
		Long: `Validate that the cluster works: its nodes, DNS, pod network and workloads, and the
volumes, load balancer and ingress of its addons. Test pods run in a namespace of their
own, which is deleted at the end, also after Ctrl-C. Requests to the load balancer and
the ingress come from this computer, or from the first control plane that answers if the
hosts are behind a bastion.

The exit code is 6 if a probe fails. A cluster that works but has lost redundancy, such as
one with a control plane that is off, is degraded: the report says what, and the exit code
is 0, or 6 with --strict. Output formats: text, json, junit, html.

Probes: ` + strings.Join(validate.Names(), ", ") + `.`,
		Example: `  slipway validate
  slipway validate --only dns,pod-to-pod -o json
  slipway validate --strict
  slipway validate -o junit > validate.xml`,
		Annotations: map[string]string{outputFormats: "text,json,junit,html"},
		Args:        cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			return a.validate(cmd.Context(), s)
		},
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	flags := cmd.Flags()
	flags.StringSlice("only", nil, "Probes to run. (default all)")
	flags.StringSlice("skip", nil, "Probes to skip.")
	flags.Bool("strict", false, "Fail also if the cluster is degraded.")
	flags.Duration("timeout", 5*time.Minute, "Time limit of the whole validation. A longer one extends that of each probe in proportion.")
	return cmd
}

// validate validates the cluster and prints the report, also if it is
// interrupted.
func (a *app) validate(ctx context.Context, s *session) error {
	options := validate.Options{
		Selection: validate.Selection{Only: a.list("only"), Skip: a.list("skip")},
		Timeout:   a.settings.GetDuration("timeout"),
		Strict:    a.settings.GetBool("strict"),
	}
	if err := options.Selection.Validate(); err != nil {
		return err
	}
	named, err := namedBundle(s.cluster)
	if err != nil {
		return err
	}
	run := &workflow.Run{
		Cluster: s.cluster, Hosts: s.hosts, Bundle: named, OpenBundle: cachedBundleOf(s), Credentials: sources.Local(),
		Sink: report.SinkFunc(a.validateProgress),
	}
	var found report.ValidationReport
	err = run.Do(ctx, phases.Validate(options, &found))
	if printErr := a.printValidation(&found); printErr != nil {
		return printErr
	}
	var failed *validate.FailedError
	if errors.As(err, &failed) {
		return failed // the only phase needs no name in the error
	}
	return err
}

// validateProgress prints what the validation waits for.
func (a *app) validateProgress(e report.Event) {
	if e.Kind == report.Waiting && a.settings.GetBool("verbose") {
		fmt.Fprintln(a.err, e.Message)
	}
}

// printValidation prints the report, unless the validation did not start.
func (a *app) printValidation(r *report.ValidationReport) error {
	if r.Probes == nil {
		return nil
	}
	if r.Leftover != "" {
		fmt.Fprintf(a.err, "the test namespace is not deleted: %s\nThe next validation deletes it once it is 15 minutes old.\n", r.Leftover)
	}
	if r.Status() == report.ProbeDegraded {
		fmt.Fprintf(a.err, "warning: the cluster works, but it is degraded:\n  %s\n", strings.Join(r.Degradations(), "\n  "))
	}
	switch a.settings.GetString("output") {
	case "json":
		return a.printJSON(r)
	case "junit":
		return report.ValidationJUnit(a.out, r)
	case "html":
		return report.ValidationHTML(a.out, r)
	default:
		return report.Validation(a.out, r)
	}
}
