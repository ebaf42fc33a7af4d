package ssh

import (
	"context"
	"fmt"
	"time"
)

// dialTimeout is the timeout of a context. It pauses while a person types a
// passphrase.
type dialTimeout struct {
	limit  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func withDialTimeout(ctx context.Context, limit time.Duration) (context.Context, *dialTimeout) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := func() { cancel(fmt.Errorf("no answer within %s", limit)) }
	return ctx, &dialTimeout{limit: limit, timer: time.AfterFunc(limit, over), cancel: cancel}
}

func (t *dialTimeout) pause() { t.timer.Stop() }

// restart starts the timeout from the beginning.
func (t *dialTimeout) restart() { t.timer.Reset(t.limit) }

func (t *dialTimeout) end() {
	t.timer.Stop()
	t.cancel(nil)
}
