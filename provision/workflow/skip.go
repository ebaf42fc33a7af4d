package workflow

import (
	"errors"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/report"
)

// skippedError ends a task that cannot run, because of a task that failed or an
// unreachable host.
type skippedError struct {
	cause  *task
	reason string
}

func (e *skippedError) Error() string { return e.reason }

// worksWithout reports whether a need that did not succeed does not matter: an
// unreachable host does not hold up the others, and on the host itself an Offline
// phase needs nothing. A phase that cannot do without a host refuses to run. Only a
// roll stops: it must not take down another host beside one that is down.
func (t *task) worksWithout(need *task) bool {
	if need.host.Unreachable() == nil {
		return false
	}
	if need.host == t.host {
		return t.phase.Offline
	}
	inRoll := t.turn != nil && need.turn != nil && t.turn.roll == need.turn.roll
	return !need.phase.On.Once() && !inRoll
}

// reason is why t cannot run after need, which did not succeed.
func (t *task) reason(need *task) *skippedError {
	if !t.phase.Offline && t.host.Unreachable() != nil {
		return unreachable(t)
	}
	var skipped *skippedError
	if !errors.As(need.err, &skipped) {
		skipped = &skippedError{cause: need, reason: need.String() + " did not succeed"}
	}
	return skipped
}

func unreachable(t *task) *skippedError {
	why := strings.TrimPrefix(t.host.Unreachable().Error(), t.host.name()+": ")
	return &skippedError{cause: t, reason: t.host.name() + " cannot be used: " + why}
}

// skip reports that t does not run, unless it was left out anyway.
func (r *Run) skip(t *task, why *skippedError) error {
	if !t.skip {
		message := why.reason
		if t.turn != nil && why.cause.turn != nil && t.turn != why.cause.turn && t.turn.roll == why.cause.turn.roll {
			message = fmt.Sprintf("roll %s has stopped: %s", t.turn.roll.Name, message)
		}
		r.emit(report.Event{Kind: report.PhaseSkipped, Phase: t.phase.Name, Host: t.host.name(), Message: message})
	}
	return why
}

// UnreachableError says that a run left out hosts that are unreachable, and that nothing
// failed on the others.
type UnreachableError struct{ Hosts []error }

func (e *UnreachableError) Error() string { return errors.Join(e.Hosts...).Error() }

func (e *UnreachableError) Unwrap() []error { return e.Hosts }

// withUnreachable adds the unreachable hosts that err does not report yet.
func (r *Run) withUnreachable(err error) error {
	var left []error
	for _, h := range r.Hosts.All {
		if unreachable := h.Unreachable(); unreachable != nil && !errors.Is(err, unreachable) {
			left = append(left, unreachable)
		}
	}
	switch {
	case len(left) == 0:
		return err
	case err == nil:
		return &UnreachableError{Hosts: left}
	}
	return errors.Join(append([]error{err}, left...)...)
}
