package validate

import "time"

const (
	// defaultTimeout bounds a whole validation.
	defaultTimeout = 5 * time.Minute
	// parallelTasks is how many tasks the API server and the pods of a small
	// machine answer without queueing.
	parallelTasks = 24
)

// timeoutScale is the timeout of a whole validation as a multiple of the
// default. A longer one means slow machines, so that each part of the
// validation gets more time too. A shorter one bounds the whole, but shortens no
// other timeout.
type timeoutScale float64

func timeoutScaleOf(timeout time.Duration) timeoutScale {
	return timeoutScale(float64(timeout) / float64(defaultTimeout))
}

// parallel is how many tasks run at a time: fewer on slow machines, at least
// one.
func (s timeoutScale) parallel() int { return max(int(parallelTasks/max(s, 1)), 1) }

// extend is a timeout at this scale.
func (s timeoutScale) extend(timeout time.Duration) time.Duration {
	return time.Duration(float64(timeout) * float64(max(s, 1)))
}
