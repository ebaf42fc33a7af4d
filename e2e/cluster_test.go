//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// step is a part of a test of one lab. Steps run in order.
type step struct {
	name string
	do   func(*scenario, context.Context, *testing.T)
	// required steps stop the test if they fail.
	required bool
}

// steps is the life cycle of a cluster, from lab up to lab down.
func steps() []step {
	return []step{
		{"machines come up", (*scenario).machinesComeUp, true},
		{"bad input changes nothing", (*scenario).badInput, false},
		{"plan lists the changes and makes none", (*scenario).plan, true},
		{"apply creates a cluster", (*scenario).apply, true},
		{"validate passes", (*scenario).validate, false},
		{"an etcd member that never started is reported", (*scenario).ghostMember, false},
		{"a second apply changes nothing", (*scenario).applyAgain, false},
		{"edits of a running cluster", (*scenario).edits, false},
		{"two installers at once", (*scenario).locks, false},
		{"addons are installed", (*scenario).addons, false},
		{"validate passes for the data path", (*scenario).validatesDataPath, false},
		{"a second apply with addons changes nothing", (*scenario).applyAgain, false},
		{"each field has the outcome that is documented", (*scenario).changes, false},
		{"probes detect faults, and apply repairs them", (*scenario).probesDetectFaults, false},
		{"a removed addon is deleted, and nothing else", (*scenario).removedAddon, false},
		{"charts, manifests and the console", (*scenario).customAddon, false},
		{"apply names the missing images of Longhorn", (*scenario).longhorn, false},
		{"the cluster survives a power cycle", (*scenario).powerCycle, false},
		{"reset leaves nothing", (*scenario).reset, false},
		{"apply names the missing images of Calico", (*scenario).calico, false},
		{"foreign state stops or survives an install", (*scenario).foreignBefore, true},
		{"two computers apply at once", (*scenario).twoComputers, true},
		{"foreign state beside a cluster is not in the plan", (*scenario).foreignBetween, false},
		{"pods of another pod network write on the hosts", (*scenario).podNetwork, false},
		{"foreign state survives a reset", (*scenario).resetAmongForeign, false},
		{"Ctrl-C stops cleanly", (*scenario).ctrlC, false},
		{"apply resumes after a killed installer", (*scenario).killed, false},
		{"runs repair what killed runs left", (*scenario).chaosInCI, false},
		{"lab down leaves nothing", (*scenario).labDown, false},
	}
}

func TestCluster(t *testing.T) { newScenario(t).runSteps(t, steps()) }

// runSteps runs the steps in order.
func (s *scenario) runSteps(t *testing.T, steps []step) {
	t.Helper()
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		// go test -timeout ends the process without cleanup: stop before it.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-5*time.Minute))
		defer cancel()
	}
	for _, step := range steps {
		start := time.Now()
		ok := t.Run(step.name, func(t *testing.T) { step.do(s, ctx, t) })
		s.took(step.name, time.Since(start))
		if ok {
			continue
		}
		s.collect(t, step.name)
		if step.required || ctx.Err() != nil {
			t.Errorf("stopped: the next steps require %q", step.name)
			break
		}
	}
}

// scenario is the state that the steps share.
type scenario struct {
	slipway binary
	bundle  string
	lab     lab
	// server is the URL of an API server, where this computer does not reach the endpoint.
	server string
	// remote is the machine on which kubectl runs, where the bundle has none for this computer.
	remote string
	// scratch is a directory for inventories, keys and other files.
	scratch   string
	artifacts string
	started   time.Time
	// bare is the listing of the machines before the installation.
	bare   listing
	lister *lister
	// foreign is the state of the machines before the second installation, which
	// timeline describes.
	foreign  foreignState
	timeline timeline
	// figures are the measured times, in order.
	figures []string
}

func newScenario(t *testing.T) *scenario {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("machine containers need root: sudo make e2e")
	}
	bundle := os.Getenv("SLIPWAY_BUNDLE")
	if _, err := os.Stat(filepath.Join(bundle, "bundle.yaml")); bundle == "" || err != nil {
		t.Fatalf("SLIPWAY_BUNDLE=%q is not a bundle: run make e2e, which builds one", bundle)
	}
	path := absolute(t, "SLIPWAY_BIN", "../bin/slipway")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make build", err)
	}
	name := os.Getenv("SLIPWAY_E2E_LAB")
	if name == "" {
		name = fmt.Sprintf("e2e-%d", os.Getpid())
	}
	scratch := t.TempDir()
	s := &scenario{
		slipway: newBinary(path, scratch), bundle: bundle, scratch: scratch, lister: newLister(),
		artifacts: absolute(t, "ARTIFACTS", "../artifacts"), started: time.Now(), lab: lab{Name: name},
	}
	// Cleanups run last in, first out: print the figures at the end.
	t.Cleanup(func() { t.Logf("figures:\n%s", strings.Join(s.figures, "\n")) })
	t.Cleanup(func() { s.takeDown(t) })
	return s
}

// absolute returns a path from the environment, or its default, as an absolute path.
func absolute(t *testing.T, variable, fallback string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path = fallback
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// takeDown deletes the lab, unless SLIPWAY_KEEP_LAB is set.
func (s *scenario) takeDown(t *testing.T) {
	if os.Getenv("SLIPWAY_KEEP_LAB") == "1" {
		t.Logf("the lab is kept: slipway lab ssh --name %[1]s cp1; slipway lab down --name %[1]s", s.lab.Name)
		return
	}
	// The context of the test has ended.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if r := s.slipway.run(ctx, t, "lab", "down", "--name", s.lab.Name); r.code != 0 {
		t.Error(r)
	}
}

// took records a measured time.
func (s *scenario) took(what string, d time.Duration) {
	s.figures = append(s.figures, fmt.Sprintf("  %-45s %7.1f s", what, d.Seconds()))
}

// on adds the inventory of the lab to a command line.
func (s *scenario) on(args ...string) []string {
	return append(args, "--inventory", s.lab.Inventory)
}

// eventually retries until check succeeds, and fails the test with its last error on a timeout.
func eventually(ctx context.Context, t *testing.T, what string, within time.Duration, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("timed out waiting until %s, after %s: %v", what, within, err)
		}
	}
}
