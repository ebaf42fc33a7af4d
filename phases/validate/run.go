package validate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// parallel bounds the probes that run at a time: what the API server and
	// a small machine's pods answer without queueing.
	parallel = 24
	// podPatience is how long a probe in a test pod is tried again:
	// EndpointSlices, DNS and kube-proxy's rules follow new pods in seconds.
	podPatience = 30 * time.Second
	// apiPatience is the same for probes of the API: right after an
	// installation, CoreDNS may have to wait for the CNI first.
	apiPatience = 60 * time.Second
	// attemptTimeout bounds one try, which may be several requests; agnhost
	// gives one of them 5 s.
	attemptTimeout = 12 * time.Second
	retryPause     = 250 * time.Millisecond
	// cleanupTimeout bounds the deletion of the namespace after a run that
	// may have been interrupted.
	cleanupTimeout = 15 * time.Second
)

// task is one probe to run.
type task struct {
	target string
	// lasts is set for a task that waits for things itself: it is tried once,
	// for as long as this. 0: tries are short, and repeated.
	lasts time.Duration
	// once tries one time; it is repeated until it has no error, the error is
	// final, or the time is up.
	once func(ctx context.Context) (evidence string, err error)
}

// finalError is not worth another try.
type finalError struct{ reason string }

func (e finalError) Error() string { return e.reason }

// skipError: the probe cannot be run, for the reason that it says.
type skipError struct{ reason string }

func (e skipError) Error() string { return e.reason }

// skipped is the one task of a kind of probe that cannot be run.
func skipped(reason string) []task {
	return []task{{once: func(context.Context) (string, error) { return "", skipError{reason} }}}
}

// failed is the one task of a kind of probe that has failed already.
func failed(reason string) []task {
	return []task{{once: func(context.Context) (string, error) { return "", finalError{reason} }}}
}

// run is a validation under way.
type run struct {
	options  Options
	pace     pace
	progress *progress
	// namespace is where probes may make what they need; empty if it could not
	// be made, for the reason in noBed.
	namespace string
	// fixture is where the probes in pods are run; nil if it could not be made,
	// for the reason in noBed.
	fixture *fixture
	noBed   string
}

// all runs the probes of the API, and those that make what they need, while
// the test pods start, and then those in the pods. It removes what it made,
// also when the context has ended, and says why it could not.
func (r *run) all(ctx context.Context, b testbed, chosen []definition) (found map[string][]Probe, leftover string) {
	at := map[ground][]definition{}
	for _, d := range chosen {
		at[d.ground] = append(at[d.ground], d)
	}
	if len(at[inPods])+len(at[inNamespace]) == 0 {
		return r.perform(ctx, at[ofAPI]), ""
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.pace.limit(cleanupTimeout))
		defer cancel()
		if err := b.clear(ctx); err != nil {
			leftover = err.Error()
		}
	}()
	var others sync.WaitGroup
	var fromPods, fromNamespace map[string][]Probe
	others.Go(func() { found = r.perform(ctx, at[ofAPI]) })
	namespace, err := b.open(ctx, r.progress.tell)
	if err != nil {
		r.noBed = err.Error()
	} else {
		r.namespace = namespace
	}
	others.Go(func() { fromNamespace = r.perform(ctx, at[inNamespace]) })
	if len(at[inPods]) > 0 {
		r.lay(ctx, b)
		fromPods = r.perform(ctx, at[inPods])
	}
	others.Wait()
	maps.Copy(found, fromPods)
	maps.Copy(found, fromNamespace)
	return found, ""
}

// lay makes the fixture of the probes in pods.
func (r *run) lay(ctx context.Context, b testbed) {
	if r.namespace == "" {
		return
	}
	made, err := b.lay(ctx, r.progress.tell)
	if err != nil {
		r.noBed = err.Error()
		return
	}
	sortNodes(made.nodes, r.hostNames())
	r.fixture = made
}

// perform runs kinds of probes, a bounded number of probes at a time.
func (r *run) perform(ctx context.Context, definitions []definition) map[string][]Probe {
	found := make(map[string][]Probe)
	var group errgroup.Group
	group.SetLimit(r.pace.parallel())
	for _, d := range definitions {
		tasks := d.tasks(ctx, r)
		probes := make([]Probe, len(tasks))
		found[d.name] = probes
		r.progress.add(len(tasks))
		for i, t := range tasks {
			group.Go(func() error {
				probes[i] = r.prove(ctx, d, t)
				r.progress.done(probes[i])
				return nil
			})
		}
	}
	_ = group.Wait() // a failed probe is a finding, not an error
	return found
}

// prove runs one probe to its end.
func (r *run) prove(ctx context.Context, d definition, t task) (p Probe) {
	start := time.Now()
	p = Probe{Name: d.name, Title: d.title, Target: t.target, Status: Failed}
	defer func() {
		// A panic here would leave the test namespace behind.
		if reason := recover(); reason != nil {
			p.Status, p.Error = Failed, fmt.Sprintf("panic: %v", reason)
		}
		p.DurationMS = time.Since(start).Milliseconds()
	}()
	patience := apiPatience
	if d.ground == inPods {
		patience = podPatience
	}
	evidence, err := r.endure(ctx, t, patience)
	var skip skipError
	switch {
	case errors.As(err, &skip):
		p.Status, p.Evidence = Skipped, skip.reason
	case err != nil:
		p.Error = err.Error()
	default:
		p.Status, p.Evidence = Passed, evidence
	}
	return p
}

// endure gives a task that waits itself its time, and tries others until they
// succeed.
func (r *run) endure(ctx context.Context, t task, patience time.Duration) (evidence string, err error) {
	if t.lasts == 0 {
		return r.persist(ctx, t, patience)
	}
	ctx, cancel := context.WithTimeout(ctx, r.pace.limit(t.lasts))
	defer cancel()
	return t.once(ctx)
}

// persist tries a task until it succeeds, cannot any more, or the time is up;
// the error is then the last one that says something.
func (r *run) persist(ctx context.Context, t task, patience time.Duration) (evidence string, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.pace.limit(patience))
	defer cancel()
	last := errors.New("there was no time for it")
	for ctx.Err() == nil {
		evidence, err = r.attempt(ctx, t)
		var final finalError
		var skip skipError
		if err == nil || errors.As(err, &final) || errors.As(err, &skip) {
			return evidence, err
		}
		if ctx.Err() == nil { // else the try was cut short, and says only that
			last = err
		}
		pause(ctx, retryPause)
	}
	return "", last
}

func (r *run) attempt(ctx context.Context, t task) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.pace.limit(attemptTimeout))
	defer cancel()
	return t.once(ctx)
}

// pause waits, and says false if the context ended first.
func pause(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// progress tells how far a run is. It is safe for concurrent use.
type progress struct {
	mu                     sync.Mutex
	say                    func(string)
	total, finished, wrong int
}

func (p *progress) tell(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.say != nil {
		p.say(message)
	}
}

func (p *progress) add(count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += count
}

func (p *progress) done(probe Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished++
	if probe.Status == Failed {
		p.wrong++
	}
	if p.say == nil {
		return
	}
	message := fmt.Sprintf("%d of %d probes done", p.finished, p.total)
	if p.wrong > 0 {
		message += fmt.Sprintf(", %d failed", p.wrong)
	}
	p.say(message)
}

// sortNodes puts nodes into the inventory's order, others behind.
func sortNodes(nodes []bedNode, inventory []string) {
	slices.SortStableFunc(nodes, func(a, b bedNode) int {
		return rank(a.name, inventory) - rank(b.name, inventory)
	})
}

func rank(name string, inventory []string) int {
	if i := slices.Index(inventory, name); i >= 0 {
		return i
	}
	return len(inventory)
}
