package validate

import (
	"testing"
	"time"
)

func TestALongTimeoutExtendsEachPartAndRunsFewerTasksAtATime(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]struct {
		limit    time.Duration
		parallel int
	}{
		0:                {time.Minute, parallelTasks},
		30 * time.Second: {time.Minute, parallelTasks},
		5 * time.Minute:  {time.Minute, parallelTasks},
		20 * time.Minute: {4 * time.Minute, parallelTasks / 4},
		24 * time.Hour:   {288 * time.Minute, 1},
	} {
		p := timeoutScaleOf(timeout)
		if got := p.extend(time.Minute); got != want.limit {
			t.Errorf("with a timeout of %s: a limit of %s, want %s", timeout, got, want.limit)
		}
		if got := p.parallel(); got != want.parallel {
			t.Errorf("with a timeout of %s: %d at a time, want %d", timeout, got, want.parallel)
		}
	}
}
