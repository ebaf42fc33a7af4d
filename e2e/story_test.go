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

// step is a part of the story of one lab, in the order of the list.
type step struct {
	name string
	do   func(*scenario, context.Context, *testing.T)
	// needed: without it, what follows makes no sense.
	needed bool
}

// steps are the life of a cluster, from machines that answer SSH to nothing.
func steps() []step {
	return []step{
		{"machines come up", (*scenario).machinesComeUp, true},
		{"bad input changes nothing", (*scenario).badInput, false},
		{"a plan names the changes and makes none", (*scenario).plan, true},
		{"apply makes a cluster", (*scenario).apply, true},
		{"validate proves it", (*scenario).validate, false},
		{"a member of etcd that never started is seen", (*scenario).ghostMember, false},
		{"a second apply changes nothing", (*scenario).applyAgain, false},
		{"two installers at once", (*scenario).locks, false},
		{"addons are installed", (*scenario).addons, false},
		{"validate proves the data path", (*scenario).provesDataPath, false},
		{"a second apply with addons changes nothing", (*scenario).applyAgain, false},
		{"probes see faults, and apply mends them", (*scenario).probesSeeFaults, false},
		{"what is dropped goes, and nothing else", (*scenario).dropped, false},
		{"charts, manifests and the console", (*scenario).own, false},
		{"Longhorn is missed for its images", (*scenario).longhorn, false},
		{"the cluster survives a power cycle", (*scenario).powerCycle, false},
		{"reset leaves nothing", (*scenario).reset, false},
		{"Calico is missed for its images", (*scenario).calico, false},
		{"Ctrl-C stops cleanly", (*scenario).ctrlC, false},
		{"a killed installer is gone on from", (*scenario).killed, false},
		{"lab down leaves nothing", (*scenario).labDown, false},
	}
}

func TestCluster(t *testing.T) { newScenario(t).story(t, steps()) }

// story does the steps in their order.
func (s *scenario) story(t *testing.T, steps []step) {
	t.Helper()
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		// go test -timeout ends the process without any cleanup: be earlier.
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
		if step.needed || ctx.Err() != nil {
			t.Errorf("stopped: what follows needs that %s", step.name)
			break
		}
	}
}

// scenario is what the steps share.
type scenario struct {
	slipway binary
	bundle  string
	lab     lab
	// scratch holds inventories, keys and the like.
	scratch   string
	artifacts string
	started   time.Time
	// bare is what the machines' file systems were before the installation.
	bare   listing
	lister *lister
	// figures are what was measured, in the order of measuring.
	figures []string
}

func newScenario(t *testing.T) *scenario {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("machine containers need root: sudo make e2e")
	}
	bundle := os.Getenv("SLIPWAY_BUNDLE")
	if _, err := os.Stat(filepath.Join(bundle, "bundle.yaml")); bundle == "" || err != nil {
		t.Fatalf("SLIPWAY_BUNDLE=%q is no bundle: use make e2e, which makes one", bundle)
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
	// Cleanups run last in, first out: the figures come after everything else.
	t.Cleanup(func() { t.Logf("figures:\n%s", strings.Join(s.figures, "\n")) })
	t.Cleanup(func() { s.takeDown(t) })
	return s
}

// absolute is a path from the environment, or its default.
func absolute(t *testing.T, variable, otherwise string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path = otherwise
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// takeDown removes the lab whatever happened, unless it shall be looked at.
func (s *scenario) takeDown(t *testing.T) {
	if os.Getenv("SLIPWAY_KEEP_LAB") == "1" {
		t.Logf("the lab stays: slipway lab ssh --name %[1]s cp1; slipway lab down --name %[1]s", s.lab.Name)
		return
	}
	// The test's own context has ended by now.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if r := s.slipway.run(ctx, t, "lab", "down", "--name", s.lab.Name); r.code != 0 {
		t.Error(r)
	}
}

// took notes a figure for the end.
func (s *scenario) took(what string, d time.Duration) {
	s.figures = append(s.figures, fmt.Sprintf("  %-45s %7.1f s", what, d.Seconds()))
}

// on adds the scenario's inventory to a command line.
func (s *scenario) on(args ...string) []string {
	return append(args, "--inventory", s.lab.Inventory)
}

// eventually looks until a condition holds; its last error is told if it never does.
func eventually(ctx context.Context, t *testing.T, what string, within time.Duration, look func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := look(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
	}
}
