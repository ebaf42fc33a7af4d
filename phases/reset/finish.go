package reset

import (
	"context"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
)

// Finish deletes what an interrupted reset left of the cluster on a host that no
// longer belongs to it. On a host that still does, the reset has not deleted anything
// that apply does not repair: preflight has refused a control plane without its data.
func Finish() workflow.Phase {
	return workflow.Phase{
		Name:  "finish-reset",
		Title: "delete what an interrupted reset left",
		Why: "The network and the files of the old cluster prevent the pods of the new one from starting. The changes in the " +
			"journal stay: the new cluster needs them too.",
		Manual: []string{
			"cat /var/lib/slipway/journal/reset    # exists on a host whose reset was interrupted",
			"slipway reset --yes --hosts HOST    # finishes it",
		},
		On:    workflow.EachHost,
		Needs: []string{"lock"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return !s.Facts().Exists(facts.ResetMark), nil
		},
		Do: finish,
	}
}

func finish(ctx context.Context, s *workflow.Step) error {
	if s.Facts().Joined() {
		return unmark(ctx, s)
	}
	if err := stop(ctx, s); err != nil {
		return err
	}
	if err := removeNetwork(ctx, s); err != nil {
		return err
	}
	if err := run(ctx, s, "leftovers.sh", journal.Dir, ""); err != nil {
		return err
	}
	if err := unmark(ctx, s); err != nil || s.Planning() {
		return err
	}
	now, err := facts.Read(ctx, s)
	if err == nil {
		s.Target.SetFacts(now)
	}
	return err
}

// unmark deletes the files of the reset, the mark last.
func unmark(ctx context.Context, s *workflow.Step) error {
	_, err := s.WithoutJournal().Run(ctx, host.Cmd{Argv: []string{"rm", "-f", configFile, stopFile, podList, string(facts.ResetMark)}, Sudo: true})
	return err
}
