package workflow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/host/plan"
	"slipway.io/slipway/provision/host/record"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/sources"
)

// Run is one run of a workflow on the hosts of one cluster. Runs share nothing:
// several of them, each with its own Hosts, can be active in a process.
type Run struct {
	Cluster *config.Cluster
	Hosts   *Hosts
	// Bundle is that of the cluster's version. Phase bundle opens it with OpenBundle,
	// which takes the version and the architectures of the hosts, and reports its
	// progress in lines.
	Bundle     *bundle.Bundle
	OpenBundle func(ctx context.Context, version string, arches []string, progress func(string)) (*bundle.Bundle, error)
	// Credentials has what the inventory does not have: those of the proxy and of
	// registries.
	Credentials sources.Credentials
	Sink        report.Sink
	// Selection is the part of the workflow to run.
	Selection Selection
	// Plan records changes instead of making them.
	Plan bool
	// Timeout bounds each wait for a condition of the cluster that has no timeout
	// of its own; 0 is 5 minutes.
	Timeout time.Duration
	// Parallel is how many phases run at the same time, over all hosts; at least 1.
	Parallel int
	// Batch is how many hosts take their turn at the same time in a Roll without
	// a batch size of its own: a number, or a percentage of the hosts of the roll.
	// The zero value is 10 %. A batch has at least one host.
	Batch intstr.IntOrString
	// Hint returns what to do about an error that has no hint of its own. It may
	// be nil.
	Hint func(error) string
	// Holder identifies this process in the locks of the hosts: user@host.
	Holder string
	// LockTimeout is how long to wait for another installer that holds a lock; 0
	// does not wait.
	LockTimeout time.Duration

	name     string
	workflow Workflow
	stop     context.CancelCauseFunc
	locks    locks
	kubes    kubeClient
	mu       sync.Mutex
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
	// The errors of a host begin with its name, which is already there.
	return where + ": " + strings.TrimPrefix(e.Err.Error(), e.Host+": ")
}

func (e *PhaseError) Unwrap() error { return e.Err }

// errInterrupted ends a task that the end of the run's context stopped.
var errInterrupted = errors.New("interrupted")

// Do runs the workflow. It returns every failure, joined: a *PhaseError for each
// task that failed, and the error of each unreachable host that no phase has
// reported; an *UnreachableError if there is nothing else.
func (r *Run) Do(ctx context.Context, w Workflow) error {
	tasks, err := r.build(w, nil)
	if err != nil {
		return err
	}
	r.name, r.workflow = w.Name, w
	if r.Plan {
		r.name = "plan"
	}
	start := time.Now()
	r.emit(report.Event{Kind: report.RunStarted, Message: fmt.Sprintf("%d hosts, %d phases", len(r.Hosts.All), len(w.Phases))})

	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.stop = stop
	observed := observing(tasks)
	changes, failures := r.start(work, observed)
	tasks, err = r.build(w, observed)
	more, others := r.start(work, tasks[len(observed):])
	changes, failures = changes+more, append(append(failures, err), others...)
	if work.Err() != nil {
		failures = append(failures, context.Cause(work))
	}
	failures = append(failures, r.unlock(ctx))
	err = r.withUnreachable(errors.Join(failures...))
	finished := report.Event{Kind: report.RunFinished, Changes: changes, Seconds: since(start)}
	if err != nil {
		finished.Error, finished.Hint = err.Error(), r.hint(err)
	}
	r.emit(finished)
	return err
}

// start runs the tasks, each as soon as those that it needs are done, and waits
// for all of them. It returns their changes and failures.
func (r *Run) start(ctx context.Context, tasks []*task) (changes int, failures []error) {
	slots := make(chan struct{}, max(r.Parallel, 1))
	var all sync.WaitGroup
	for _, t := range tasks {
		all.Go(func() {
			defer close(t.done)
			count, err := r.task(ctx, t, slots)
			t.err = err
			r.mu.Lock()
			defer r.mu.Unlock()
			changes += count
			var failed *PhaseError
			if errors.As(err, &failed) {
				failures = append(failures, err)
			}
		})
	}
	all.Wait()
	return changes, failures
}

// task waits for what t needs, and runs it.
func (r *Run) task(ctx context.Context, t *task, slots chan struct{}) (changes int, err error) {
	for _, need := range t.needs {
		select {
		case <-need.done:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return 0, errInterrupted
		}
		if need.err != nil && !t.worksWithout(need) {
			return 0, r.skip(t, t.reason(need))
		}
	}
	if t.skip {
		return 0, nil
	}
	if !t.phase.Offline && t.host.Unreachable() != nil {
		if skipped := r.skip(t, unreachable(t)); !t.phase.ReadOnly {
			return 0, skipped
		}
		return 0, nil
	}
	for _, other := range t.after {
		select {
		case <-other.done:
		case <-ctx.Done():
			return 0, errInterrupted
		}
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
	}
	// Both may have been ready: nothing starts after Ctrl-C.
	if ctx.Err() != nil {
		return 0, errInterrupted
	}
	return r.phase(ctx, t, slots)
}

// phase runs t, which holds a slot, and reports the result.
func (r *Run) phase(ctx context.Context, t *task, slots chan struct{}) (int, error) {
	start := time.Now()
	step := &Step{Target: t.host, run: r, phase: t.phase, turn: t.turn}
	if t.host != nil {
		step.Host = r.wrap(step, t.host)
	}
	event := report.Event{Kind: report.PhaseStarted, Phase: t.phase.Name, Host: t.host.name(), Message: t.phase.Title}
	r.emit(event)

	err := r.perform(ctx, step, t, slots)

	event.Changes, event.Seconds = int(step.changes.Load()), since(start)
	switch {
	case err != nil && ctx.Err() != nil:
		event.Kind, event.Message = report.PhaseSkipped, "stopped"
		err = errInterrupted
	case err != nil:
		event = event.WithError(err)
		event.Kind, event.Hint = report.PhaseFailed, r.hint(err)
		err = &PhaseError{Phase: t.phase.Name, Host: t.host.name(), Err: err}
	case !t.phase.Offline && t.host.Unreachable() != nil:
		event.Kind, event.Message = report.PhaseSkipped, unreachable(t).reason
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

// perform runs the phase of t.
func (r *Run) perform(ctx context.Context, step *Step, t *task, slots chan struct{}) error {
	if u := t.turn; u != nil {
		if err := u.plan(ctx, step); err != nil {
			return err
		}
		if step.phase.OnDisruption && !u.disruptive {
			return nil
		}
	}
	if step.phase.Done != nil {
		done, err := step.phase.Done(ctx, step)
		if err == nil && done {
			return nil
		}
		if err != nil && !planned(r, err) {
			return err
		}
	}
	leave, err := t.enqueue(ctx, step, slots)
	if err != nil {
		return err
	}
	defer leave()
	step.leave = leave
	err = step.phase.Do(ctx, step)
	if planned(r, err) {
		step.Changed("%s", step.phase.Title)
		err = nil
	}
	if r.Plan && err == nil && step.Target != nil && step.changes.Load() > 0 {
		step.Target.plan.Add(step.phase.Creates...)
	}
	return err
}

// planned reports whether a plan cannot continue, since an answer depends on a
// change that it only recorded.
func planned(r *Run, err error) bool { return r.Plan && errors.Is(err, host.ErrPlanned) }

func (r *Run) emit(e report.Event) {
	e.Time, e.Run, e.Cluster = time.Now(), r.name, r.Cluster.Metadata.Name
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
