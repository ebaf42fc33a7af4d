package workflow

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBulkOfOtherHostsGoesOneAtATimeUntilTheFirstControlPlaneIsServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Bool
		var now, before, after atomic.Int32
		r, _ := runOf(fleetOf("cp", "w1", "w2", "w3", "w4"))
		do(t, r, Phase{Name: "images", Bulk: true, Do: func(_ context.Context, s *Step) error {
			if s.hostName() == "cp" {
				<-time.After(90 * time.Second)
				served.Store(true)
				return nil
			}
			defer now.Add(-1)
			most := &before
			if served.Load() {
				most = &after
			}
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Minute)
			return nil
		}})
		// w's at 0 s and 60 s; cp done at 90 s; the other two then together,
		// beside the one that began at 60 s.
		if before.Load() != 1 || after.Load() != 3 {
			t.Errorf("%d at once before, %d after the first control plane was served; want 1 and 3", before.Load(), after.Load())
		}
	})
}
