package validate

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		0:                time.Minute,
		30 * time.Second: time.Minute,
		5 * time.Minute:  time.Minute,
		20 * time.Minute: 4 * time.Minute,
	} {
		if got := paceOf(timeout).limit(time.Minute); got != want {
			t.Errorf("with a timeout of %s: %s, want %s", timeout, got, want)
		}
	}
}
