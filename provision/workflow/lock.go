package workflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"slipway.io/slipway/provision/cluster/lease"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
)

// locks are those that a run holds.
type locks struct {
	hosts *lock.Locks
	// lease is that of the cluster, once the run has tried to take it. It is held
	// with hosts, or with cluster if it was taken later.
	lease   *lease.Lease
	cluster *lock.Locks
	// silent: the API server did not answer when it was tried.
	silent bool
	// created takes the Lease of a cluster that the run created, until stop.
	created sync.WaitGroup
	stop    context.CancelFunc
}

// Lock takes the locks of the selected hosts that the run may change, except for
// unreachable ones, and with cluster also the Lease of the cluster, until the run ends.
// It takes all of them or none, and waits for other installers for Run.LockTimeout. An
// API server that does not answer refuses nothing. After a wait, it reads the hosts again.
// A plan takes none.
func (s *Step) Lock(ctx context.Context, cluster bool) error {
	r := s.run
	if r.Plan || r.locks.hosts != nil {
		return nil
	}
	var hosts []host.Host
	for _, h := range r.Hosts.all() {
		if r.Selection.includes(h) && h.Unreachable() == nil && r.worksOn(h) {
			hosts = append(hosts, h.Conn)
		}
	}
	taken, waited, err := s.lock(ctx, hosts, cluster)
	r.locks.hosts = taken
	if err == nil && waited {
		return r.observeAgain(ctx)
	}
	return err
}

// worksOn reports whether the run may change the host: one that leaves the cluster only if
// a phase says so.
func (r *Run) worksOn(h *Host) bool {
	return slices.Contains(r.Hosts.All, h) || slices.ContainsFunc(r.workflow.Phases, func(p Phase) bool {
		return !p.ReadOnly && (p.Enabled == nil || p.Enabled(r.Cluster)) && slices.Contains(p.On.Hosts(r.Hosts), h)
	})
}

// observeAgain repeats the phases that read the hosts before the first one that
// changes something. While this run waited for another one, they changed.
func (r *Run) observeAgain(ctx context.Context) error {
	seed := r.Hosts.Seed()
	tasks, err := r.build(r.workflow, nil)
	if err != nil {
		return err
	}
	if _, failures := r.start(ctx, observing(tasks)); len(failures) > 0 {
		return errors.Join(failures...)
	}
	if now := r.Hosts.Seed(); now != seed {
		return WithHint(fmt.Errorf("while this run waited, the cluster was created on %s", now.name()), "rerun the command")
	}
	return nil
}

// LockCluster takes the Lease of the cluster if Lock could not, since there was no
// API server that answered.
func (s *Step) LockCluster(ctx context.Context) error {
	r := s.run
	if r.Plan || r.locks.hosts == nil || r.locks.lease != nil && !r.locks.silent {
		return nil
	}
	taken, _, err := s.lock(ctx, nil, true)
	r.locks.cluster = taken
	return err
}

// LockCreatedCluster takes the Lease of a cluster that the run has just created. It
// does not wait for the API server: no other installer works on the cluster yet.
func (s *Step) LockCreatedCluster(ctx context.Context) {
	r := s.run
	ctx, r.locks.stop = context.WithCancel(ctx)
	r.locks.created.Go(func() {
		if err := s.LockCluster(ctx); err != nil && ctx.Err() == nil {
			r.stop(err)
		}
	})
}

// lock takes the locks of the hosts, and with cluster also the Lease. It reports
// whether it waited for another installer.
func (s *Step) lock(ctx context.Context, hosts []host.Host, cluster bool) (taken *lock.Locks, waited bool, err error) {
	r := s.run
	request := lock.Request{
		Holder: r.Holder, Run: r.name, Timeout: r.LockTimeout,
		Waiting: func(err error) {
			waited = true
			s.Waiting(fmt.Sprintf("%v; waiting up to %s", err, r.LockTimeout))
		},
		Lost: func(err error) { r.stop(hintLock(err)) },
		Silent: func(err error) {
			r.locks.silent = true
			if !errors.Is(err, fs.ErrNotExist) { // there is a cluster
				s.Note("only the hosts are locked, not the cluster: %v", err)
			}
		},
	}
	if cluster {
		if r.locks.lease == nil {
			r.locks.lease = lease.New(r.kube, r.Hosts.State().ReadLease())
		}
		r.locks.silent, request.Cluster = false, r.locks.lease
	}
	taken, err = lock.Take(ctx, hosts, request)
	return taken, waited, hintLock(err)
}

func hintLock(err error) error {
	if other := (*lock.HeldError)(nil); !errors.As(err, &other) {
		return err
	}
	return WithHint(err, fmt.Sprintf(
		"rerun after it has ended, or wait longer with --lock-timeout; the lock of an installer that died expires after %s", lock.Expiry))
}

// unlock releases every lock of the run.
func (r *Run) unlock(ctx context.Context) error {
	if r.locks.stop != nil {
		r.locks.stop()
		r.locks.created.Wait()
	}
	var errs []error
	for _, held := range []*lock.Locks{r.locks.cluster, r.locks.hosts} {
		if held != nil {
			errs = append(errs, held.Release(ctx))
		}
	}
	r.locks = locks{}
	return errors.Join(errs...)
}
