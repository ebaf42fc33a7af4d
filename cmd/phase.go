package cmd

import (
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

func newPhase(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:     "phase",
		Short:   "List the phases of apply, or run some of them",
		Example: "  slipway phase list\n  slipway phase run kernel",
	}, newPhaseList(a), newPhaseRun(a))
}

// phaseInfo is a phase as `phase list -o json` shows it.
type phaseInfo struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Why      string   `json:"why"`
	Where    string   `json:"where"`
	Needs    []string `json:"needs"`
	NeedsAll []string `json:"needsAll"`
	ReadOnly bool     `json:"readOnly"`
}

func newPhaseList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the phases of apply in order",
		Example: "  slipway phase list\n  slipway phase list -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var infos []phaseInfo
			var rows []report.Row
			for _, p := range phases.Apply().Phases {
				infos = append(infos, phaseInfo{
					Name: p.Name, Title: p.Title, Why: p.Why, Where: p.On.String(),
					Needs: append([]string{}, p.Needs...), NeedsAll: append([]string{}, p.NeedsAll...), ReadOnly: p.ReadOnly,
				})
				needs := slices.Clone(p.Needs)
				for _, n := range p.NeedsAll {
					needs = append(needs, n+" (everywhere)")
				}
				rows = append(rows, report.Row{Cells: []string{p.Name, p.On.String(), p.Title, strings.Join(needs, ", ")}})
			}
			if a.json() {
				return a.printJSON(infos)
			}
			return report.Table(a.out, []string{"PHASE", "RUNS ON", "DESCRIPTION", "NEEDS"}, rows)
		},
	}
}

func newPhaseRun(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run NAME...",
		Short: "Run single phases of apply",
		Long: `Run single phases of apply. Read-only phases always run. Other phases that these need
must already be done: they do not run.`,
		Example: `  slipway phase run kernel
  slipway phase run containerd images --hosts w-3`,
		Args: atLeastOne("run `slipway phase list` to list the phases"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return phaseNames(phases.Apply()), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			selection := workflow.Selection{Only: args, Hosts: a.list("hosts")}
			return a.run(cmd.Context(), phases.Apply(), selection, a.settings.GetBool("plan"))
		},
	}
	connectionFlags(cmd)
	catalogueFlag(cmd)
	lockFlags(cmd)
	flags := cmd.Flags()
	flags.StringSlice("hosts", nil, "Names of the hosts to work on. (default all)")
	flags.Int("parallel", 20, "Maximum number of steps that run in parallel on all hosts.")
	flags.Bool("plan", false, "Print what would change, and change nothing.")
	return cmd
}

func phaseNames(w workflow.Workflow) []string {
	var names []string
	for _, p := range w.Phases {
		names = append(names, p.Name)
	}
	return names
}

func (a *app) printJSON(v any) error { return printJSON(a.out, v) }

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
