package workflow

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBulkPhasesOfOtherHostsWaitForTheSeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Bool
		var now, most atomic.Int32
		r, _ := runOf(hostsOf("cp", "w1", "w2", "w3", "w4"))
		do(t, r, Phase{Name: "images", Bulk: true, Do: func(_ context.Context, s *Step) error {
			if s.hostName() == "cp" {
				<-time.After(90 * time.Second)
				sent.Store(true)
				return nil
			}
			if !sent.Load() {
				t.Errorf("%s starts before the seed has finished", s.hostName())
			}
			defer now.Add(-1)
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Minute)
			return nil
		}})
		if most.Load() != 4 {
			t.Errorf("%d at once after the seed, want 4", most.Load())
		}
	})
}
