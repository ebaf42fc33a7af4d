// Package lock keeps two installers from working on the same host.
package lock

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
	// Expiry is the age by the host's clock at which a lock that is not renewed is
	// free.
	Expiry = 60 * time.Second
	// renewal is the interval of renewals. Three may fail before the lock expires.
	renewal = 15 * time.Second
	// dir is on a tmpfs, so that no lock survives a reboot.
	dir = "/run/slipway"
	// held is the exit code of lock.sh if another installer holds the lock.
	held = 75
)

// HeldError: another installer holds the lock.
type HeldError struct {
	Host string
	// Holder is its user, Run its command, Since when it took the lock (RFC 3339).
	Holder, Run, Since string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s: locked by %s (%s) since %s", e.Host, e.Holder, e.Run, e.Since)
}

// lockRecord is the content of a lock file.
type lockRecord struct {
	Token  string `json:"token"`
	Holder string `json:"holder"`
	Run    string `json:"run"`
	Since  string `json:"since"`
}

// Lock is the lock of a host that this installer holds.
type Lock struct {
	host    host.Host
	record  lockRecord
	stop    context.CancelFunc
	renewal sync.WaitGroup
}

// Take takes the host's lock for a run and renews it until Release. If another
// installer holds the lock, the error is a *HeldError. If another installer takes
// over the lock, because localhost slept until the lock expired, lost is called
// with a *HeldError.
func Take(ctx context.Context, h host.Host, holder, run string, lost func(error)) (*Lock, error) {
	l := &Lock{host: h, record: lockRecord{
		Token: rand.Text(), Holder: holder, Run: run, Since: time.Now().Format(time.RFC3339),
	}}
	if err := l.script(ctx, "take"); err != nil {
		l.releaseUncertain(ctx, err)
		return nil, err
	}
	// After Ctrl-C the run still cleans up: Release ends the renewal.
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.renewal.Go(func() { l.renew(ctx, lost) })
	return l, nil
}

// releaseUncertain releases a lock that may have been taken before the run was
// stopped or the connection lost. The lock would block the next run.
func (l *Lock) releaseUncertain(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, host.ErrOutcomeUnknown) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewal)
	defer cancel()
	_ = l.script(ctx, "release") // if this fails, the lock expires
}

// renew renews the lock until ctx ends or another installer takes it over.
func (l *Lock) renew(ctx context.Context, lost func(error)) {
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Other errors are retried at the next tick. While the host is
			// unreachable, this run does not change it.
			var other *HeldError
			if err := l.script(ctx, "take"); errors.As(err, &other) {
				lost(other)
				return
			}
		}
	}
}

// Release ends the renewal and releases the lock.
func (l *Lock) Release(ctx context.Context) error {
	l.stop()
	l.renewal.Wait()
	// After Expiry the lock is free in any case.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Expiry)
	defer cancel()
	if err := l.script(ctx, "release"); err != nil {
		return fmt.Errorf("release the lock: %w", err)
	}
	return nil
}

func (l *Lock) script(ctx context.Context, verb string) error {
	line, err := json.Marshal(l.record)
	if err != nil {
		return err
	}
	expiry := strconv.Itoa(int(Expiry / time.Second))
	cmd := host.Script("lock.sh", templates.Script("lock/lock.sh"), dir, verb, l.record.Token, expiry, string(line))
	_, err = l.host.Run(ctx, cmd)
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code != held {
		return err
	}
	var other lockRecord
	if err := json.Unmarshal([]byte(exit.Stdout), &other); err != nil {
		return fmt.Errorf("%s: lock: %w", l.host, err)
	}
	return &HeldError{Host: l.host.String(), Holder: other.Holder, Run: other.Run, Since: other.Since}
}
