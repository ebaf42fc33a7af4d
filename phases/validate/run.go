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

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/probe/httpprobe"
	"slipway.io/slipway/provision/report"
)

// tearDownTimeout bounds the deletion of the test namespace, also of a run that
// was interrupted.
const tearDownTimeout = 15 * time.Second

// run is a validation in progress.
type run struct {
	client  *kube.Client
	cluster *config.Cluster
	// image is the reference of the test image, agnhost.
	image string
	// http sends requests from outside the cluster.
	http httpprobe.Client
	// targets are the hosts of the inventory, leaving those that are absent in it, and may
	// be a part of the cluster; without are those on which no pods are tested, since they
	// are off.
	targets, leaving []target
	without          []string
	// etcd reads the health of etcd, readyAt asks an API server for /readyz.
	etcd     func(ctx context.Context) (kube.EtcdHealth, error)
	readyAt  func(ctx context.Context, from host.Host, address string) (expiry time.Time, err error)
	scale    timeoutScale
	progress *progress
	harness  harness
	// namespace is where probes set up workloads; empty if it could not be
	// created.
	namespace string
	// fixture is what probes in test pods use; nil if it could not be set up.
	fixture *fixture
	// setUpFailure says why the namespace or the fixture is missing.
	setUpFailure string
}

// all runs the probes of the API, and those that set up their own workloads,
// while the test pods start, and then those in test pods. It tears down also
// when the context has ended, and says what could not be deleted.
func (r *run) all(ctx context.Context, selected []definition) (found map[string][]report.ProbeResult, leftover string) {
	by := map[needs][]definition{}
	for _, d := range selected {
		by[d.needs] = append(by[d.needs], d)
	}
	if len(by[needsTestPods])+len(by[needsNamespace]) == 0 {
		return r.runProbes(ctx, by[needsAPI]), ""
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.scale.extend(tearDownTimeout))
		defer cancel()
		if err := r.harness.tearDown(ctx); err != nil {
			leftover = err.Error()
		}
	}()
	var others sync.WaitGroup
	var inPods, inNamespace map[string][]report.ProbeResult
	others.Go(func() { found = r.runProbes(ctx, by[needsAPI]) })
	r.awaitNotice(ctx)
	r.createNamespace(ctx)
	others.Go(func() { inNamespace = r.runProbes(ctx, by[needsNamespace]) })
	if len(by[needsTestPods]) > 0 {
		r.startPods(ctx)
		inPods = r.runProbes(ctx, by[needsTestPods])
	}
	others.Wait()
	maps.Copy(found, inPods)
	maps.Copy(found, inNamespace)
	return found, ""
}

func (r *run) createNamespace(ctx context.Context) {
	namespace, err := r.harness.createNamespace(ctx, r.progress.tell)
	if err != nil {
		r.setUpFailure = err.Error()
		return
	}
	r.namespace = namespace
}

// startPods sets up the fixture of the probes in test pods.
func (r *run) startPods(ctx context.Context) {
	if r.namespace == "" {
		return
	}
	fixture, err := r.harness.startPods(ctx, r.without, r.progress.tell)
	if err != nil {
		r.setUpFailure = err.Error()
		return
	}
	fixture.sort(r.hostNames())
	r.fixture = fixture
}

// runProbes runs kinds of probes, a bounded number of tasks at a time.
func (r *run) runProbes(ctx context.Context, definitions []definition) map[string][]report.ProbeResult {
	found := make(map[string][]report.ProbeResult)
	var group errgroup.Group
	group.SetLimit(r.scale.parallel())
	for _, d := range definitions {
		tasks := r.tasks(ctx, d)
		results := make([]report.ProbeResult, len(tasks))
		found[d.name] = results
		r.progress.add(len(tasks))
		for i, t := range tasks {
			group.Go(func() error {
				results[i] = r.runProbe(ctx, d, t)
				r.progress.done(results[i])
				return nil
			})
		}
	}
	_ = group.Wait() // a failed probe is a result, not an error
	return found
}

// tasks are those of a kind of probe, if what it needs could be set up.
func (r *run) tasks(ctx context.Context, d definition) []task {
	switch {
	case d.needs == needsNamespace && r.namespace == "":
		return skipped("there is no test namespace: " + r.setUpFailure)
	case d.needs == needsTestPods && r.fixture == nil && d.name == testPods:
		return failed(r.setUpFailure)
	case d.needs == needsTestPods && r.fixture == nil:
		return skipped("there are no test pods")
	}
	return d.tasks(ctx, r)
}

// runProbe runs one task to its end.
func (r *run) runProbe(ctx context.Context, d definition, t task) (p report.ProbeResult) {
	start := time.Now()
	p = report.ProbeResult{Name: d.name, Title: d.title, Target: t.target, Status: report.ProbeFailed}
	defer func() {
		// A panic here would leave the test namespace behind.
		if reason := recover(); reason != nil {
			p.Status, p.Error = report.ProbeFailed, fmt.Sprintf("panic: %v", reason)
		}
		p.DurationMS = time.Since(start).Milliseconds()
	}()
	retryTime := apiRetryTime
	if d.needs == needsTestPods {
		retryTime = podRetryTime
	}
	evidence, err := r.runTask(ctx, t, retryTime)
	var skip skipError
	var lost degradedError
	switch {
	case errors.As(err, &skip):
		p.Status, p.Evidence = report.ProbeSkipped, skip.reason
	case errors.As(err, &lost):
		p.Status, p.Evidence = report.ProbeDegraded, lost.reason
	case err != nil:
		p.Error = err.Error()
	default:
		p.Status, p.Evidence = report.ProbePassed, evidence
	}
	return p
}

// hostNames are the names of the hosts that are nodes.
func (r *run) hostNames() []string {
	var names []string
	for _, h := range r.cluster.Nodes() {
		names = append(names, h.Name)
	}
	return names
}

// leaves reports whether `slipway apply` removes a host of that name.
func (r *run) leaves(name string) bool {
	return slices.ContainsFunc(r.cluster.Leaving, func(h config.Host) bool { return h.Name == name })
}

// progress reports how many probes are done. It is safe for concurrent use.
type progress struct {
	mu                      sync.Mutex
	say                     func(string)
	total, finished, failed int
}

func (p *progress) tell(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.say(message)
}

func (p *progress) add(count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += count
}

func (p *progress) done(result report.ProbeResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished++
	message := fmt.Sprintf("%d of %d probes done", p.finished, p.total)
	if result.Status == report.ProbeFailed {
		p.failed++
	}
	if p.failed > 0 {
		message += fmt.Sprintf(", %d failed", p.failed)
	}
	p.say(message)
}

// rank is the position of a name in the inventory; others come last.
func rank(name string, inventory []string) int {
	if i := slices.Index(inventory, name); i >= 0 {
		return i
	}
	return len(inventory)
}
