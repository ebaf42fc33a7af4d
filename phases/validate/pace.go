package validate

import "time"

// defaultTimeout is what a whole validation is given if nothing else is said:
// what computers of today need many times over.
const defaultTimeout = 5 * time.Minute

// pace is how slow a cluster may be, 1 being usual. Who gives a whole
// validation more than the default has slow machines, so each part of it gets
// as much more; who gives it less wants an answer by then, not a stricter one.
type pace float64

func paceOf(timeout time.Duration) pace { return pace(float64(timeout) / float64(defaultTimeout)) }

// parallel is how many probes run at a time, at least one.
func (p pace) parallel() int { return max(int(parallel/max(p, 1)), 1) }

// limit is how long something may take that usually may take that long.
func (p pace) limit(usual time.Duration) time.Duration {
	return time.Duration(float64(usual) * float64(max(p, 1)))
}
