package facts

import (
	"testing"
	"time"
)

func TestAComponentIsStaleIfItStartedBeforeItsKubeconfigWasWritten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for name, test := range map[string]struct {
		started, written time.Duration // before now
		want             bool
	}{
		"it started before":             {2 * time.Hour, time.Hour, true},
		"it started after":              {time.Hour, 2 * time.Hour, false},
		"within the same second":        {time.Hour, time.Hour, false},
		"rounded to the second before":  {time.Hour + time.Second, time.Hour, false},
		"the clock was set back before": {time.Hour, -time.Hour, false},
	} {
		k := Kubernetes{
			Started: map[string]time.Time{"kube-scheduler": now.Add(-test.started)},
			Written: map[string]time.Time{"/x.conf": now.Add(-test.written)},
		}
		if got := k.Stale("kube-scheduler", "/x.conf", now); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
		if k.Stale("kube-vip", "/x.conf", now) || k.Stale("kube-scheduler", "/y.conf", now) {
			t.Errorf("%s: a component that does not run, or reads no such file, is stale", name)
		}
	}
}
