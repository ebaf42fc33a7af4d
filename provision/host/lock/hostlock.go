package lock

import (
	"context"
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
	// renewal is the interval of renewals. Three may fail before the lock expires.
	renewal = 15 * time.Second
	// dir is on a tmpfs, so that no lock survives a reboot.
	dir = "/run/slipway"
	// guardTimeout bounds the wait for other runs of lock.sh, which take
	// milliseconds.
	guardTimeout = 10 * time.Second
	// held is the exit code of lock.sh if another installer holds the lock.
	held = 75
)

// hostLock is the lock of one host.
type hostLock struct {
	host    host.Host
	record  Record
	stop    context.CancelFunc
	renewal sync.WaitGroup
}

// take takes the lock of a host without waiting, and renews it until release.
func take(ctx context.Context, h host.Host, r Request) (*hostLock, error) {
	l := &hostLock{host: h, record: NewRecord(r)}
	other, err := l.script(ctx, "take", "")
	if other.Process.Ended() {
		_, err = l.script(ctx, "take", other.Token)
	}
	if err != nil {
		l.releaseUncertain(ctx, err)
		return nil, err
	}
	// After Ctrl-C the run still cleans up: release ends the renewal.
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	again := func(ctx context.Context) error {
		_, err := l.script(ctx, "take", "")
		return err
	}
	l.renewal.Go(func() { Renew(ctx, renewal, again, r.Lost) })
	return l, nil
}

// releaseUncertain releases a lock that may have been taken before the run was
// stopped or the connection lost. The lock would block the next run.
func (l *hostLock) releaseUncertain(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, host.ErrOutcomeUnknown) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewal)
	defer cancel()
	_, _ = l.script(ctx, "release", "") // if this fails, the lock expires
}

// Renew takes a lock again at an interval, until ctx ends or another installer takes it
// over. Other errors are retried at the next tick: while the lock cannot be reached, this
// run does not change what it protects.
func Renew(ctx context.Context, interval time.Duration, take func(context.Context) error, lost func(error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			var other *HeldError
			if err := take(ctx); errors.As(err, &other) {
				lost(other)
				return
			}
		}
	}
}

// release ends the renewal and releases the lock.
func (l *hostLock) release(ctx context.Context) error {
	l.stop()
	l.renewal.Wait()
	// After Expiry the lock is free in any case.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Expiry)
	defer cancel()
	if _, err := l.script(ctx, "release", ""); err != nil {
		return fmt.Errorf("release the lock: %w", err)
	}
	return nil
}

// script runs lock.sh. The lock counts as free if its token is ended. If another
// installer holds it, the error is a *HeldError, and other the record of that
// installer.
func (l *hostLock) script(ctx context.Context, verb, ended string) (other Record, err error) {
	line, err := json.Marshal(l.record)
	if err != nil {
		return Record{}, err
	}
	_, err = l.host.Run(ctx, host.Script("lock.sh", templates.Script("lock/lock.sh"),
		dir, verb, l.record.Token, seconds(Expiry), string(line), ended, seconds(guardTimeout)))
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code != held {
		return Record{}, err
	}
	if err := json.Unmarshal([]byte(exit.Stdout), &other); err != nil {
		return Record{}, fmt.Errorf("%s: lock: %w", l.host, err)
	}
	return other, other.HeldAt(l.host.String())
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
