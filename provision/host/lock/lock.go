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
	// Expiry is how long a lock lasts without renewal, by the host's own clock:
	// then its installer counts as dead.
	Expiry = 60 * time.Second
	// renewal leaves room for three renewals that are lost.
	renewal = 15 * time.Second
	// dir is on a file system that is empty after a boot: no lock outlives one.
	dir = "/run/slipway"
	// held is the script's exit code for a lock that another installer holds.
	held = 75
)

// HeldError means that another installer holds the lock.
type HeldError struct {
	Host string
	// Holder and Run say who it is and what it runs, Since when it took the lock.
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

// Take takes the host's lock for a run and renews it until Release. Holder says
// who runs it. If another installer takes the lock over, because this computer
// slept until the lock expired, lost is called with a *HeldError. The error of a
// lock that another installer holds is a *HeldError too.
func Take(ctx context.Context, h host.Host, holder, run string, lost func(error)) (*Lock, error) {
	l := &Lock{host: h, record: lockRecord{
		Token: rand.Text(), Holder: holder, Run: run, Since: time.Now().Format(time.RFC3339),
	}}
	if err := l.script(ctx, "take"); err != nil {
		l.releaseUncertain(ctx, err)
		return nil, err
	}
	// Renewal continues while the run stops after Ctrl-C: Release ends it.
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.renewal.Go(func() { l.renew(ctx, lost) })
	return l, nil
}

// releaseUncertain releases a lock that may have been taken, since the run was
// stopped or the connection lost meanwhile: it would refuse the next run.
func (l *Lock) releaseUncertain(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, host.ErrOutcomeUnknown) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewal)
	defer cancel()
	_ = l.script(ctx, "release") // If that fails, the lock expires.
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
			// A renewal that fails is retried at the next tick. While the host
			// cannot be reached, nothing changes it from here.
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
	// Even a busy host has until then: after Expiry, the lock is free anyway.
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
