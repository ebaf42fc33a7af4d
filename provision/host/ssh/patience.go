package ssh

import (
	"context"
	"fmt"
	"time"
)

// patience ends a context after a time, in which the waiting for a person does
// not count.
type patience struct {
	limit  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func withPatience(ctx context.Context, limit time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := func() { cancel(fmt.Errorf("no answer within %s", limit)) }
	return ctx, &patience{limit: limit, timer: time.AfterFunc(limit, over), cancel: cancel}
}

func (p *patience) pause() { p.timer.Stop() }

// resume begins anew.
func (p *patience) resume() { p.timer.Reset(p.limit) }

func (p *patience) end() {
	p.timer.Stop()
	p.cancel(nil)
}
