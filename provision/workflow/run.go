package workflow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/host/plan"
	"slipway.io/slipway/provision/host/record"
	"slipway.io/slipway/provision/report"
)

// Run is one run of a workflow.
type Run struct {
	Cluster *config.Cluster
	Hosts   *Hosts
	Bundle  *bundle.Bundle
	Sink    report.Sink
	// Selection is the part of the workflow to do.
	Selection Selection
	// Plan records changes and makes none.
	Plan bool
	// Timeout is how long the cluster is waited for to be as a phase wants it;
	// 0 is 5 minutes.
	Timeout time.Duration
	// Parallel bounds how many nodes of the graph are at work at once.
	Parallel int
	// Hint says what to do about an error that comes without advice of its own;
	// nil says nothing.
	Hint func(error) string
	// Holder says who runs this, for the lock: user@machine.
	Holder string

	name  string
	stop  context.CancelCauseFunc
	locks map[*Host]*lock.Lock
	kubes struct {
		sync.Mutex
		client *kube.Client
	}
	mu sync.Mutex
}

// PhaseError is the failure of a phase on a host.
type PhaseError struct {
	Phase, Host string
	Err         error
}

func (e *PhaseError) Error() string {
	where := e.Phase
	if e.Host != "" {
		where += " on " + e.Host
	}
	// Errors of a machine begin with its name, which stands there already.
	return where + ": " + strings.TrimPrefix(e.Err.Error(), e.Host+": ")
}

func (e *PhaseError) Unwrap() error { return e.Err }

// errSkipped marks a node that could not run since another one failed.
var errSkipped = errors.New("not run")

// Do runs the workflow and returns every failure, joined: *PhaseError each.
func (r *Run) Do(ctx context.Context, w Workflow) error {
	nodes, err := build(w, r.Cluster, r.Hosts, r.Selection)
	if err != nil {
		return err
	}
	r.name = w.Name
	start := time.Now()
	r.emit(report.Event{Kind: report.RunStarted, Message: fmt.Sprintf("%d hosts, %d phases", len(r.Hosts.All), len(w.Phases))})

	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.stop = stop
	slots := make(chan struct{}, max(r.Parallel, 1))
	var all sync.WaitGroup
	var changes int
	var failures []error
	for _, n := range nodes {
		all.Go(func() {
			defer close(n.done)
			count, err := r.node(work, n, slots)
			n.err = err
			r.mu.Lock()
			defer r.mu.Unlock()
			changes += count
			if err != nil && !errors.Is(err, errSkipped) {
				failures = append(failures, err)
			}
		})
	}
	all.Wait()
	if work.Err() != nil {
		failures = append(failures, context.Cause(work))
	}
	failures = append(failures, r.unlock(ctx))
	err = errors.Join(failures...)
	finished := report.Event{Kind: report.RunFinished, Changes: changes, Seconds: since(start)}
	if err != nil {
		finished.Error, finished.Hint = err.Error(), r.hint(err)
	}
	r.emit(finished)
	return err
}

// node waits for what n needs, and runs it.
func (r *Run) node(ctx context.Context, n *node, slots chan struct{}) (changes int, err error) {
	for _, need := range n.needs {
		select {
		case <-need.done:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return 0, errSkipped
		}
		if need.err != nil {
			if !n.skip {
				why := fmt.Sprintf("%s did not succeed", strings.TrimSpace(need.phase.Name+" "+need.host()))
				r.emit(report.Event{Kind: report.PhaseSkipped, Phase: n.phase.Name, Host: n.host(), Message: why})
			}
			return 0, errSkipped
		}
	}
	if n.skip {
		return 0, nil
	}
	for _, other := range n.after {
		select {
		case <-other.done:
		case <-ctx.Done():
			return 0, errSkipped
		}
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
	}
	// Both may have been ready: nothing new begins after Ctrl-C.
	if ctx.Err() != nil {
		return 0, errSkipped
	}
	return r.phase(ctx, n)
}

// phase runs n and reports how it went.
func (r *Run) phase(ctx context.Context, n *node) (int, error) {
	start := time.Now()
	step := &Step{Target: n.machine, run: r, phase: n.phase}
	if n.machine != nil {
		step.Host = r.wrap(step, n.machine)
	}
	event := report.Event{Kind: report.PhaseStarted, Phase: n.phase.Name, Host: n.host(), Message: n.phase.Title}
	r.emit(event)

	err := r.perform(ctx, step)

	event.Changes, event.Seconds = int(step.changes.Load()), since(start)
	switch {
	case err != nil && ctx.Err() != nil:
		event.Kind, event.Message = report.PhaseSkipped, "stopped"
		err = errSkipped
	case err != nil:
		event = event.WithError(err)
		event.Kind, event.Hint = report.PhaseFailed, r.hint(err)
		err = &PhaseError{Phase: n.phase.Name, Host: n.host(), Err: err}
	case event.Changes == 0:
		event.Kind = report.PhaseUnchanged
	default:
		event.Kind = report.PhaseChanged
	}
	r.emit(event)
	return event.Changes, err
}

func (r *Run) hint(err error) string {
	if hint := Hint(err); hint != "" || r.Hint == nil {
		return hint
	}
	return r.Hint(err)
}

func (r *Run) perform(ctx context.Context, step *Step) error {
	if step.phase.Done != nil {
		done, err := step.phase.Done(ctx, step)
		if err == nil && done {
			return nil
		}
		if err != nil && !planned(r, err) {
			return err
		}
	}
	err := step.phase.Do(ctx, step)
	if planned(r, err) {
		step.Changed("%s", step.phase.Title)
		return nil
	}
	return err
}

// planned says whether a plan could not look further, since what it looks at
// would be made by a change that it only recorded.
func planned(r *Run, err error) bool { return r.Plan && errors.Is(err, host.ErrPlanned) }

func (r *Run) emit(e report.Event) {
	e.Time, e.Run = time.Now(), r.name
	if r.Plan {
		e.Run = "plan"
	}
	r.Sink.Event(e)
}

// wrap returns the host as a step sees it: a plan changes nothing, any other run
// keeps a journal; both count changes.
func (r *Run) wrap(s *Step, h *Host) host.Host {
	if r.Plan {
		return record.New(plan.New(h.Conn, &h.plan), s)
	}
	return journal.New(h.Conn, s.phase.Name, s)
}
