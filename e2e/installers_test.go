//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// elsewhere is the binary on another computer: with another host name, machine ID,
// boot ID, home, and process IDs.
func (s *scenario) elsewhere(t *testing.T) binary {
	t.Helper()
	dir := t.TempDir()
	script, err := filepath.Abs("testdata/elsewhere.sh")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "machine-id"), strings.Repeat("e1", 16)+"\n")
	write(t, filepath.Join(dir, "boot-id"), "e1e1e1e1-e1e1-4e1e-8e1e-e1e1e1e1e1e1\n")
	other := newBinary(s.slipway.path, dir)
	for _, name := range []string{"HOME", "XDG_CACHE_HOME"} {
		other.env = append(other.env, name+"="+dir+"/"+name)
		if err := os.Mkdir(dir+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	other.wrapper = []string{"unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL", "sh", script, dir}
	return other
}

// twoComputers installs the cluster, and does it again from another computer at the
// same time: a run that does not wait is refused, and one that waits finds nothing to
// do.
func (s *scenario) twoComputers(ctx context.Context, t *testing.T) {
	s.ignoreDisk(t)
	other := s.elsewhere(t)
	var runs sync.WaitGroup
	var results [2]result
	runs.Go(func() { results[0] = s.slipway.run(ctx, t, s.on("apply", "-o", "json")...) })
	// The probes of two preflights at once would listen on the same ports.
	eventually(ctx, t, "the first one has the locks", 30*time.Second, func(ctx context.Context) error {
		_, err := s.ssh(ctx, "w2", "grep . "+lockFile)
		return err
	})
	refused := other.run(ctx, t, s.on("apply", "--lock-timeout", "0")...)
	runs.Go(func() { results[1] = other.run(ctx, t, s.on("apply", "--lock-timeout", "10m", "-o", "json")...) })
	runs.Wait()
	if refused.code != 7 || !strings.Contains(refused.stderr, "locked by ") || !strings.Contains(refused.stderr, "--lock-timeout") {
		t.Errorf("one that does not wait: %s", refused)
	}
	var changed []result
	for _, r := range results {
		if r.code != 0 {
			t.Fatalf("an apply at the same time as another one: %s", r)
		}
		all := events(t, r.stdout)
		if all[len(all)-1].Changes > 0 {
			changed = append(changed, r)
		} else {
			nothingChanged(t, s.lab.names(), r)
		}
	}
	s.nodesReady(ctx, t)
	if len(changed) != 1 {
		t.Fatalf("%d of two installers changed something:\n%s\n%s", len(changed), changes(t, results[0]), changes(t, results[1]))
	}
	s.timeline = timelineOf(events(t, changed[0].stdout), changed[0].took)
	s.unlocked(ctx, t, s.lab.names()...)
	t.Run("each with hosts of its own", func(t *testing.T) { s.disjointHosts(ctx, t, other) })
}

// changes lists the changes of a run.
func changes(t *testing.T, r result) string {
	t.Helper()
	var lines []string
	for _, e := range events(t, r.stdout) {
		if e.Kind == "change" {
			lines = append(lines, fmt.Sprintf("%s on %s: %s", e.Phase, e.Host, e.Message))
		}
	}
	return strings.Join(lines, "\n")
}

// disjointHosts checks that two computers do not change the same cluster at once,
// also if they have no host in common.
func (s *scenario) disjointHosts(ctx context.Context, t *testing.T, other binary) {
	onW1 := func(e event) bool { return e.Kind == "phase-started" && e.Phase == "swap-off" && e.Host == "w1" }
	r := s.slipway.paused(ctx, t, onW1, func() {
		second := other.run(ctx, t, s.on("apply", "--hosts", "w2", "--lock-timeout", "0")...)
		if second.code != 7 || !strings.Contains(second.stderr, "locked by ") {
			t.Errorf("an apply on w2 during an apply on w1: %s", second)
		}
	}, s.on("apply", "--hosts", "w1", "-o", "json")...)
	if r.code != 0 {
		t.Error(r)
	}
	r = other.run(ctx, t, s.on("apply", "--hosts", "w2", "--lock-timeout", "0")...)
	if r.code != 0 {
		t.Errorf("after the other one has ended: %s", r)
	}
}
