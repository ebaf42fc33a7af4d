package workflow

import (
	"context"
	"sync"
)

// NextHost lets the next host begin a phase that is OneAtATime, before Do returns: what Do
// still has to do does not matter to others. It may be called at any time from Do, more
// than once, and does nothing in other phases.
func (s *Step) NextHost() { s.leave() }

// enqueue waits until no other host is at a phase that is OneAtATime; leave lets the
// next one in. Meanwhile, the slot of the task is free for others.
func (t *task) enqueue(ctx context.Context, step *Step, slots chan struct{}) (leave func(), err error) {
	if t.queue == nil {
		return func() {}, nil
	}
	leave = sync.OnceFunc(func() { <-t.queue })
	select {
	case t.queue <- struct{}{}:
		return leave, nil
	default:
	}
	step.Waiting("another host is at this phase")
	<-slots
	// The senders of a channel wait in the order in which they arrived.
	select {
	case t.queue <- struct{}{}:
	case <-ctx.Done():
		err = ctx.Err()
	}
	slots <- struct{}{} // the task releases it
	if err != nil {
		return nil, err
	}
	// Both may have been ready: nothing starts after Ctrl-C.
	if err := ctx.Err(); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}
