package workflow

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

const (
	// lockDir is on a file system that is empty after a boot: no lock outlives
	// one.
	lockDir = "/run/slipway"
	// lockExpiry is after how long without renewal a lock counts as a dead
	// installer's, by the machine's own clock.
	lockExpiry = 60 * time.Second
	// lockRenewal leaves room for three renewals that are lost.
	lockRenewal = 15 * time.Second
	// lockHeld is the script's exit code for a lock that is somebody else's.
	lockHeld = 75
)

// LockedError: another installer is at work on the machine.
type LockedError struct {
	Host string
	// Holder is who, and Since when, as the other one wrote it.
	Holder, Since, Run string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s: locked by %s (%s) since %s", e.Host, e.Holder, e.Run, e.Since)
}

// lockRecord is what a lock file says.
type lockRecord struct {
	Token  string `json:"token"`
	Holder string `json:"holder"`
	Run    string `json:"run"`
	Since  string `json:"since"`
}

// locked is a lock that this run holds.
type locked struct {
	lockRecord
	stop    context.CancelFunc
	renewal sync.WaitGroup
}

// lock takes the machine's lock and renews it until unlock.
func (r *Run) lock(ctx context.Context, m *Host) error {
	if r.Plan {
		return nil
	}
	r.mu.Lock()
	_, have := r.locks[m]
	r.mu.Unlock()
	if have {
		return nil
	}
	l := &locked{lockRecord: lockRecord{
		Token: rand.Text(), Holder: r.Holder, Run: r.name, Since: time.Now().Format(time.RFC3339),
	}}
	if err := l.script(ctx, m, "take"); err != nil {
		return l.releaseUncertain(ctx, m, err)
	}
	// Renewals go on while the run stops on Ctrl-C: unlock ends them.
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.renewal.Go(func() { l.renew(renewing, m, r.stop) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.locks == nil {
		r.locks = map[*Host]*locked{}
	}
	r.locks[m] = l
	return nil
}

// releaseUncertain frees a lock of which it is not known whether it was taken, since
// the run was stopped or the connection lost meanwhile: the next run would be
// refused by it.
func (l *locked) releaseUncertain(ctx context.Context, m *Host, err error) error {
	if ctx.Err() == nil && !errors.Is(err, host.ErrOutcomeUnknown) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockRenewal)
	defer cancel()
	_ = l.script(ctx, m, "free") // else it expires
	return err
}

// renew renews the lock until ctx ends. A lock that was taken over ends the
// run: this machine slept for so long that it counted as dead.
func (l *locked) renew(ctx context.Context, m *Host, stop context.CancelCauseFunc) {
	tick := time.NewTicker(lockRenewal)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// A renewal that fails is tried again with the next tick. While the
			// machine cannot be reached, nobody else works on it from here.
			var other *LockedError
			if err := l.script(ctx, m, "take"); errors.As(err, &other) {
				stop(err)
				return
			}
		}
	}
}

// unlock frees every lock of the run. A busy machine may take its time: only
// after the expiry the lock is free without that.
func (r *Run) unlock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockExpiry)
	defer cancel()
	var all sync.WaitGroup
	errs := make(chan error, len(r.locks))
	for m, l := range r.locks {
		all.Go(func() {
			l.stop()
			l.renewal.Wait()
			if err := l.script(ctx, m, "free"); err != nil {
				errs <- fmt.Errorf("unlock: %w", err)
			}
		})
	}
	all.Wait()
	close(errs)
	var failures []error
	for err := range errs {
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

func (l *locked) script(ctx context.Context, m *Host, verb string) error {
	line, err := json.Marshal(l.lockRecord)
	if err != nil {
		return err
	}
	expiry := strconv.Itoa(int(lockExpiry / time.Second))
	cmd := host.Script("lock.sh", templates.Script("workflow/lock.sh"), lockDir, verb, l.Token, expiry, string(line))
	_, err = m.Conn.Run(ctx, cmd)
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code != lockHeld {
		return err
	}
	var other lockRecord
	if err := json.Unmarshal([]byte(exit.Stdout), &other); err != nil {
		return fmt.Errorf("%s: lock: %w", m.Config.Name, err)
	}
	return WithHint(
		&LockedError{Host: m.Config.Name, Holder: other.Holder, Since: other.Since, Run: other.Run},
		fmt.Sprintf("wait for it to end; the lock of an installer that died expires after %s", lockExpiry))
}
