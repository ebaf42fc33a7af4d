package localhost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, tc := range []struct {
		name string
		look func(n int) (bool, string, error)
		want string // part of the error; empty: none
		took time.Duration
	}{
		{"a condition that holds is not waited for", func(int) (bool, string, error) { return true, "", nil }, "", 0},
		{"it is looked at until it holds", func(n int) (bool, string, error) { return n == 3, "", nil }, "", 3 * pollInterval},
		{"the last observation is told when the time is over", func(int) (bool, string, error) { return false, "port closed", nil }, "not within 10s, last: port closed", 10 * time.Second},
		{"an error ends it at once", func(int) (bool, string, error) { return false, "", boom }, "wait until it is up: boom", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, n := time.Now(), -1
				err := Await(t.Context(), "it is up", 10*time.Second, func(context.Context) (bool, string, error) {
					n++
					return tc.look(n)
				})
				if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("await: %v, want %q", err, tc.want)
				}
				if took := time.Since(start); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
			})
		})
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	err := Await(ctx, "it is up", time.Hour, func(context.Context) (bool, string, error) {
		cancel()
		return false, "no", nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("await: %v, want context.Canceled", err)
	}
}
