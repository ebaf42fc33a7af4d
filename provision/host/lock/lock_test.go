package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
)

// memoryHost is a host that does in memory what lock.sh does, within 10 ms.
type memoryHost struct {
	host.Host
	name string

	mu      sync.Mutex
	record  *Record
	renewed time.Time
	takes   int
	fail    error // the result of every take
}

func (m *memoryHost) String() string { return m.name }

func (m *memoryHost) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return host.Result{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	verb, token, ended := cmd.Argv[4], cmd.Argv[5], cmd.Argv[8]
	free := m.record == nil || m.record.Token == token || time.Since(m.renewed) >= Expiry
	if verb == "release" {
		if m.record != nil && m.record.Token == token {
			m.record = nil
		}
		return host.Result{}, nil
	}
	m.takes++
	if m.fail != nil {
		return host.Result{}, m.fail
	}
	if !free && m.record.Token != ended {
		line, err := json.Marshal(m.record)
		if err != nil {
			return host.Result{}, err
		}
		return host.Result{}, &host.ExitError{Host: m.name, Code: held, Stdout: string(line)}
	}
	m.record, m.renewed = &Record{}, time.Now()
	return host.Result{}, json.Unmarshal([]byte(cmd.Argv[7]), m.record)
}

// lockedBy locks the host now.
func (m *memoryHost) lockedBy(r Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record, m.renewed = &r, time.Now()
}

func (m *memoryHost) unlock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record = nil
}

// holder is who holds the lock of the host.
func (m *memoryHost) holder() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.record == nil {
		return ""
	}
	return m.record.Holder
}

// memoryHosts returns hosts in another order than that of their names.
func memoryHosts(names ...string) (byName map[string]*memoryHost, all []host.Host) {
	byName = map[string]*memoryHost{}
	for _, name := range slices.Backward(names) {
		byName[name] = &memoryHost{name: name}
		all = append(all, byName[name])
	}
	return byName, all
}

func holders(hosts map[string]*memoryHost) map[string]string {
	all := map[string]string{}
	for name, h := range hosts {
		all[name] = h.holder()
	}
	return all
}

// ada is another installer, of which nobody knows whether it is running.
var ada = Record{Token: "ada", Holder: "ada@there", Run: "apply", Since: "2026-01-01T00:00:00Z"}

func TestALockThatIsRefusedLeavesEveryHostFree(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"cp", "w1", "w2"} {
		for kind, refuse := range map[string]func(*memoryHost){
			"another installer":    func(m *memoryHost) { m.lockedBy(ada) },
			"an unreachable host":  func(m *memoryHost) { m.fail = host.ErrUnreachable },
			"an error of the host": func(m *memoryHost) { m.fail = &host.ExitError{Host: refused, Code: 1, Stderr: "read-only file system"} },
		} {
			t.Run(kind+" at "+refused, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					hosts, all := memoryHosts("cp", "w1", "w2")
					refuse(hosts[refused])
					want := map[string]string{"cp": "", "w1": "", "w2": ""}
					want[refused] = hosts[refused].holder()
					locks, err := Take(t.Context(), all, mine(t))
					if err == nil || locks != nil {
						t.Fatalf("got %v, %v, want an error", locks, err)
					}
					if diff := cmp.Diff(want, holders(hosts)); diff != "" {
						t.Error(diff)
					}
				})
			})
		}
	}
}

func TestTakeWaitsForAnotherInstaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, all := memoryHosts("cp", "w1", "w2")
		hosts["w1"].lockedBy(ada)
		time.AfterFunc(5500*time.Millisecond, hosts["w1"].unlock)
		var seen []string
		r := mine(t)
		r.Timeout, r.Waiting = Expiry, func(err error) { seen = append(seen, err.Error()) }
		start := time.Now()
		locks, err := Take(t.Context(), all, r)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 5500*time.Millisecond || took > 7*time.Second {
			t.Errorf("it took %s", took)
		}
		if diff := cmp.Diff([]string{"w1: locked by ada@there (apply) since 2026-01-01T00:00:00Z"}, seen); diff != "" {
			t.Error(diff)
		}
		if n := hosts["w1"].takes; n > 8 {
			t.Errorf("the lock was tried %d times", n)
		}
		if n := hosts["w2"].takes; n > 2 {
			t.Errorf("w2 was locked %d times while w1 was held", n)
		}
		if diff := cmp.Diff(map[string]string{"cp": "me@here", "w1": "me@here", "w2": "me@here"}, holders(hosts)); diff != "" {
			t.Error(diff)
		}
		if err := locks.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTakeGivesUpAfterTheTimeout(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]string{
		0:                "cp: locked by ada@there (apply) since 2026-01-01T00:00:00Z",
		20 * time.Second: "timed out waiting for the lock after 20s: cp: locked by ada@there (apply) since 2026-01-01T00:00:00Z",
	} {
		t.Run(timeout.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				hosts, all := memoryHosts("cp", "w1")
				hosts["cp"].lockedBy(ada)
				r := mine(t)
				r.Timeout, r.Waiting = timeout, func(error) {
					if timeout == 0 {
						t.Error("it waits")
					}
				}
				start := time.Now()
				_, err := Take(t.Context(), all, r)
				var other *HeldError
				if !errors.As(err, &other) || err.Error() != want {
					t.Errorf("got %v, want %s", err, want)
				}
				if took := time.Since(start); took < timeout || took > timeout+2*poll {
					t.Errorf("it took %s", took)
				}
				if hosts["w1"].takes > 0 {
					t.Error("w1 was locked while cp was held")
				}
			})
		})
	}
}

// With Expiry as the timeout, no lock of an installer that died fails a run.
func TestTakeWaitsUntilALockExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, all := memoryHosts("cp", "w1", "w2")
		for _, h := range hosts {
			h.lockedBy(ada)
		}
		r := mine(t)
		r.Timeout = Expiry
		locks, err := Take(t.Context(), all, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := locks.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCtrlCEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, all := memoryHosts("cp", "w1", "w2")
		hosts["w1"].lockedBy(ada)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3300*time.Millisecond, cancel)
		r := mine(t)
		r.Timeout = time.Hour
		start := time.Now()
		if _, err := Take(ctx, all, r); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
		if diff := cmp.Diff(map[string]string{"cp": "", "w1": "ada@there", "w2": ""}, holders(hosts)); diff != "" {
			t.Error(diff)
		}
	})
}

// The installers lock different hosts and have to wait for each other, but they
// never do so at the same time. Only one of them works on a host.
func TestInstallersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts, _ := memoryHosts("a", "b", "c", "d")
		var mu sync.Mutex
		working := map[string]int{}
		work := func(names []string, by int) {
			mu.Lock()
			defer mu.Unlock()
			for _, name := range names {
				if working[name] += by; working[name] > 1 {
					t.Errorf("two installers work on %s", name)
				}
			}
		}
		var all sync.WaitGroup
		for i, names := range [][]string{{"a", "b", "c", "d"}, {"d", "c"}, {"b", "d"}, {"c", "b"}, {"d", "a"}, {"a", "b", "c", "d"}} {
			var some []host.Host
			for _, name := range names {
				some = append(some, hosts[name])
			}
			all.Go(func() {
				r := mine(t)
				r.Holder, r.Timeout = fmt.Sprintf("installer %d", i), 10*time.Minute
				for range 5 {
					locks, err := Take(t.Context(), some, r)
					if err != nil {
						t.Errorf("installer %d: %v", i, err)
						return
					}
					work(names, 1)
					<-time.After(1700 * time.Millisecond)
					work(names, -1)
					if err := locks.Release(t.Context()); err != nil {
						t.Error(err)
					}
					<-time.After(time.Duration(i) * 30 * time.Millisecond)
				}
			})
		}
		all.Wait()
	})
}
