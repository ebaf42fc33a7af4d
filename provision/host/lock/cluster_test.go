package lock

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeCluster is the lock of a cluster that keeps how it was called.
type fakeCluster struct {
	mu    sync.Mutex
	calls []string
	// take, if not nil, is the result of Take.
	take func() error
}

func (f *fakeCluster) call(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
}

func (f *fakeCluster) Take(context.Context, Request) error {
	f.call("take")
	if f.take == nil {
		return nil
	}
	return f.take()
}

func (f *fakeCluster) Observe(context.Context) { f.call("observe") }
func (f *fakeCluster) Release(context.Context) { f.call("release") }

// distinct returns the calls without repetitions.
func (f *fakeCluster) distinct() string { return strings.Join(slices.Compact(f.calls), " ") }

func withCluster(t *testing.T, timeout time.Duration, f *fakeCluster) Request {
	t.Helper()
	r := mine(t)
	r.Cluster, r.Timeout, r.Silent = f, timeout, func(err error) { t.Errorf("silent: %v", err) }
	return r
}

func TestTheClusterIsLockedAndReleasedWithItsHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, all := memoryHosts("cp", "w1", "w2")
		cluster := &fakeCluster{}
		start := time.Now()
		locks, err := Take(t.Context(), all, withCluster(t, 0, cluster))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 25*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		if diff := cmp.Diff(map[string]string{"cp": "me@here", "w1": "me@here", "w2": "me@here"}, holders(hosts)); diff != "" {
			t.Error(diff)
		}
		release(t, locks)
		if got := cluster.distinct(); got != "take release" {
			t.Errorf("calls %s", got)
		}
	})
}

func TestAClusterThatIsLockedLeavesEveryHostFree(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]string{
		0:               "lease: locked by ada@there (apply) since 2026-01-01T00:00:00Z",
		5 * time.Second: "timed out waiting for the lock after 5s: lease: locked by ada@there (apply) since 2026-01-01T00:00:00Z",
	} {
		synctest.Test(t, func(t *testing.T) {
			hosts, all := memoryHosts("cp", "w1")
			cluster := &fakeCluster{take: func() error { return ada.HeldAt("lease") }}
			_, err := Take(t.Context(), all, withCluster(t, timeout, cluster))
			var held *HeldError
			if !errors.As(err, &held) || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if diff := cmp.Diff(map[string]string{"cp": "", "w1": ""}, holders(hosts)); diff != "" {
				t.Error(diff)
			}
			if hosts["w1"].takes != 1 {
				t.Errorf("w1 was locked %d times while the cluster was", hosts["w1"].takes)
			}
		})
	}
}

// While a run waits for a host, others may have the cluster. It learns meanwhile
// whether the holder of both renews the lock of the cluster.
func TestTheClusterIsObservedWhileAHostIsLocked(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"cp": "observe take", "w1": "take release observe take"} {
		synctest.Test(t, func(t *testing.T) {
			hosts, all := memoryHosts("cp", "w1", "w2")
			hosts[name].lockedBy(ada)
			cluster := &fakeCluster{}
			locks, err := Take(t.Context(), all, withCluster(t, Expiry, cluster))
			if err != nil {
				t.Fatal(err)
			}
			if got := cluster.distinct(); got != want {
				t.Errorf("%s is locked: calls %s, want %s", name, got, want)
			}
			release(t, locks)
		})
	}
}

func TestAClusterThatIsSilentRefusesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, all := memoryHosts("cp", "w1", "w2")
		hosts["w1"].lockedBy(ada)
		refused := errors.New("connection refused")
		cluster := &fakeCluster{take: func() error { return refused }}
		r := withCluster(t, Expiry, cluster)
		var seen []error
		r.Silent = func(err error) { seen = append(seen, err) }
		locks, err := Take(t.Context(), all, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1 || !errors.Is(seen[0], refused) {
			t.Errorf("it reports %v", seen)
		}
		release(t, locks)
		// It may have been taken all the same.
		if got := cluster.distinct(); got != "take release" {
			t.Errorf("calls %s", got)
		}
	})
}
