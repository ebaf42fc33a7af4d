package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/backup"
	"slipway.io/slipway/phases/preflight"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
)

// topic is a phase or a check.
type topic struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Group is "phase of apply", "check of each host" and so on.
	Group string `json:"group"`
	// Examines says what a check examines, or where a phase runs and what it needs.
	Examines string   `json:"examines"`
	Why      string   `json:"why"`
	Manual   []string `json:"manual"`
	Docs     string   `json:"docs"`
}

func newExplain(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain [CHECK|PHASE]",
		Short: "Explain a check or a phase, and how to do it by hand",
		Long: `Explain what a check examines or what a phase does, why, and with which commands you
would do it by hand. Without a name, list all checks and phases.`,
		Example: `  slipway explain
  slipway explain clock-skew
  slipway explain kubeadm-init -o json`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, t := range topics() {
				names = append(names, t.Name+"\t"+t.Title)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listTopics()
			}
			return a.explainTopic(args[0])
		},
	}
	return cmd
}

// topics lists all phases, then all checks.
func topics() []topic {
	var all []topic
	for _, w := range []workflow.Workflow{
		phases.Apply(), phases.Remove(), phases.Reset(), phases.Certificates(), phases.Backup(backup.Options{}, nil), phases.Restore(backup.Source{}),
		phases.Validate(validate.Options{}, nil),
	} {
		for _, p := range w.Phases {
			// Reset shares its first phases with apply.
			if slices.ContainsFunc(all, func(t topic) bool { return t.Name == p.Name }) {
				continue
			}
			all = append(all, topic{
				Name: p.Name, Title: p.Title, Group: "phase of " + w.Name, Examines: wherePhase(p), Why: p.Why,
				Manual: p.Manual, Docs: "docs/phases.md#" + p.Name,
			})
		}
	}
	groups := map[check.Kind]string{
		check.Host: "check of each host", check.AllHosts: "check across hosts",
		check.Pair: "check between hosts", check.Local: "check of this computer (preflight --local)",
	}
	for _, d := range preflight.Describe() {
		all = append(all, topic{
			Name: d.Name, Title: d.Title, Group: groups[d.Kind], Examines: d.Examines, Why: d.Why, Manual: d.Manual, Docs: d.Docs,
		})
	}
	return all
}

// wherePhase says where a phase runs, and after which others.
func wherePhase(p workflow.Phase) string {
	text := "Runs on: " + p.On.String() + "."
	var after []string
	after = append(after, p.Needs...)
	for _, name := range p.NeedsAll {
		after = append(after, name+" everywhere")
	}
	if len(after) > 0 {
		text += " After: " + strings.Join(after, ", ") + "."
	}
	return text
}

func (a *app) listTopics() error {
	all := topics()
	if a.json() {
		return a.printJSON(all)
	}
	var rows []report.Row
	group := ""
	for _, t := range all {
		if t.Group != group {
			group = t.Group
			rows = append(rows, report.Row{Cells: []string{"", ""}}, report.Row{Cells: []string{strings.ToUpper(group), ""}})
		}
		rows = append(rows, report.Row{Cells: []string{t.Name, t.Title}})
	}
	return report.Table(a.out, []string{"NAME", "DESCRIPTION"}, rows)
}

// explainTopic prints all topics of a name: "kernel" is a phase and a check.
func (a *app) explainTopic(name string) error {
	found := []topic{}
	var near []string
	for _, t := range topics() {
		switch {
		case t.Name == name || t.Name == preflight.CurrentName(name):
			found = append(found, t)
		case strings.Contains(t.Name, name) || strings.Contains(name, t.Name):
			near = append(near, t.Name)
		}
	}
	if len(found) == 0 {
		err := fmt.Errorf("unknown check or phase %q", name)
		if len(near) > 0 {
			err = fmt.Errorf("%w\n\nDid you mean this?\n\t%s", err, strings.Join(near, "\n\t"))
		}
		return &usageError{workflow.WithHint(err, "run `slipway explain` to list all checks and phases")}
	}
	if a.json() {
		return a.printJSON(found)
	}
	for i, t := range found {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if err := writeTopic(a.out, t); err != nil {
			return err
		}
	}
	return nil
}

func writeTopic(w io.Writer, t topic) error {
	_, err := fmt.Fprintf(w, "%s (%s)\n%s\n\n%s\n%s\n\nBy hand:\n  %s\n\nSee %s\n",
		t.Name, t.Group, t.Title, t.Examines, t.Why, strings.Join(t.Manual, "\n  "), t.Docs)
	return err
}
