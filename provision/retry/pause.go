package retry

import (
	"context"
	"time"
)

const defaultPause = 100 * time.Millisecond

// Pause returns how long to wait after attempt n, counted from 1, which took
// that long.
type Pause func(n int, took time.Duration) time.Duration

// Every pauses for the same time after each attempt.
func Every(interval time.Duration) Pause {
	return func(int, time.Duration) time.Duration { return interval }
}

// Doubling pauses for the first interval, then for twice as long each time, up
// to the longest.
func Doubling(first, longest time.Duration) Pause {
	return func(n int, _ time.Duration) time.Duration {
		pause := first
		for ; n > 1 && pause < longest; n-- {
			pause *= 2
		}
		return min(pause, longest)
	}
}

// Sparing pauses for the interval, but for up to the longest after an attempt
// that took more than a quarter of the pause: polling must not keep a slow server
// from its work.
func Sparing(interval, longest time.Duration) Pause {
	return func(_ int, took time.Duration) time.Duration {
		return max(interval, min(4*took, longest))
	}
}

// Sleep waits. It returns the error of the context if that ends first.
func Sleep(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}
