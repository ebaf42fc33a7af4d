package lock

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/localhost"
)

// scriptHost runs lock.sh in a directory of its own.
type scriptHost struct {
	hosttest.Local
	name, dir string
}

func (h scriptHost) String() string { return h.name }

func (h scriptHost) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	cmd.Argv = slices.Clone(cmd.Argv)
	cmd.Argv[3] = h.dir
	return h.Local.Run(ctx, cmd)
}

func release(t *testing.T, locks *Locks) {
	t.Helper()
	if err := locks.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// killed is a process that has ended.
func killed(t *testing.T) localhost.Process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return localhost.Process{Computer: localhost.CurrentProcess().Computer, PID: cmd.Process.Pid, Started: "1"}
}

func TestTheLocksOfAKilledInstallerGoToOneOfTheNext(t *testing.T) {
	t.Parallel()
	reused := localhost.CurrentProcess()
	reused.Started = "1"
	for name, process := range map[string]localhost.Process{
		"no process has its PID": killed(t), "another program has its PID": reused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line, err := json.Marshal(Record{Token: "dead", Holder: "me@here", Run: "apply", Process: process})
			if err != nil {
				t.Fatal(err)
			}
			var hosts []host.Host
			for _, name := range []string{"cp", "w1"} {
				h := scriptHost{name: name, dir: t.TempDir()}
				write(t, h.dir+"/lock", string(line)+"\n")
				hosts = append(hosts, h)
			}
			var all sync.WaitGroup
			locks, errs := make([]*Locks, 4), make([]error, 4)
			for i := range locks {
				all.Go(func() { locks[i], errs[i] = Take(t.Context(), hosts, mine(t)) })
			}
			all.Wait()
			winners := 0
			for i, err := range errs {
				var other *HeldError
				switch {
				case err == nil:
					winners++
					release(t, locks[i])
				case !errors.As(err, &other):
					t.Error(err)
				}
			}
			if winners != 1 {
				t.Errorf("%d installers have the locks: %v", winners, errs)
			}
		})
	}
}

func TestTheLockOfARunningInstallerIsNotTakenOver(t *testing.T) {
	t.Parallel()
	hosts := []host.Host{scriptHost{name: "cp", dir: t.TempDir()}}
	locks, err := Take(t.Context(), hosts, mine(t))
	if err != nil {
		t.Fatal(err)
	}
	var other *HeldError
	if _, err := Take(t.Context(), hosts, mine(t)); !errors.As(err, &other) || other.Holder != "me@here" {
		t.Errorf("got %v", err)
	}
	release(t, locks)
	if locks, err = Take(t.Context(), hosts, mine(t)); err != nil {
		t.Fatal(err)
	}
	release(t, locks)
}
