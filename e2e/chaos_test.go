//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chaosRoundsInCI has six kills: four of an install, one of a repair, one of a reset.
const chaosRoundsInCI = 4

// chaos kills slipway at many moments, and checks that the next runs repair what the
// killed ones left.
type chaos struct {
	*scenario
	seed   uint64
	line   timeline
	record *chaosRecord
	// installed are the files after an install that nothing interrupted.
	installed listing
}

// TestChaos installs and resets a cluster as often as SLIPWAY_CHAOS_ROUNDS says, and
// kills each install at another moment. After a failure it creates new machines and
// continues. A later run with the same seed continues with the next round.
func TestChaos(t *testing.T) {
	count := chaosSetting(t, "SLIPWAY_CHAOS_ROUNDS", 0)
	if count == 0 {
		t.Skip("SLIPWAY_CHAOS_ROUNDS is not set: run make e2e-chaos")
	}
	s := newScenario(t)
	c := &chaos{
		scenario: s, seed: chaosSetting(t, "SLIPWAY_CHAOS_SEED", 1),
		record: readChaosRecord(t, absolute(t, "SLIPWAY_CHAOS_DIR", s.artifacts+"/chaos")),
	}
	t.Cleanup(func() { t.Logf("all runs of this record (%s): %s", c.record.path, c.record) })
	ctx := t.Context()
	c.newMachines(ctx, t)
	if !t.Run("an install that nothing interrupts", func(t *testing.T) { c.uninterrupted(ctx, t) }) {
		t.FailNow()
	}
	for round := c.record.next(c.seed); round < int(count); round++ {
		if deadline, ok := t.Deadline(); ok && time.Until(deadline) < 10*time.Minute {
			t.Errorf("stopped after %d rounds by the time limit: rerun it to continue", round)
			return
		}
		if c.round(ctx, t, round) {
			continue
		}
		c.collect(t, fmt.Sprintf("chaos seed %d round %d", c.seed, round))
		if r := c.slipway.run(ctx, t, "lab", "down", "--name", c.lab.Name); r.code != 0 {
			t.Fatal(r)
		}
		c.newMachines(ctx, t)
	}
}

// chaosSetting returns a number from the environment.
func chaosSetting(t *testing.T, name string, fallback uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// newMachines creates the machines.
func (c *chaos) newMachines(ctx context.Context, t *testing.T) {
	t.Helper()
	if !t.Run("machines come up", func(t *testing.T) { c.machinesComeUp(ctx, t) }) {
		t.FailNow()
	}
	c.ignoreDisk(t)
	c.bare = c.lister.list(t, c.lab)
}

// ignoreDisk leaves out the check whose result depends on what else uses the disk of
// localhost.
func (s *scenario) ignoreDisk(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	const list = "\npreflight:\n  ignore:\n"
	entry := "    - {check: disk-latency, reason: other programs use the disk too}\n"
	before, after, found := strings.Cut(string(content), list)
	if strings.Contains(after, entry) {
		return
	}
	if !found {
		before, after = strings.TrimRight(before, "\n")+"\n", ""
	}
	write(t, s.lab.Inventory, before+list+entry+after)
}

// uninterrupted records an install, and resets it.
func (c *chaos) uninterrupted(ctx context.Context, t *testing.T) {
	r := c.slipway.must(ctx, t, c.on("apply", "-o", "json")...)
	c.took("apply that nothing interrupts", r.took)
	c.observe(t, r)
	c.slipway.must(ctx, t, c.on("reset", "--yes")...)
	c.clear(ctx, t)
}

// observe takes the moments from a complete install, unless the record has them.
func (c *chaos) observe(t *testing.T, r result) {
	t.Helper()
	c.installed = c.lister.list(t, c.lab)
	if known := c.record.timeline(c.seed); known != nil {
		c.line = *known
		return
	}
	c.line = timelineOf(events(t, r.stdout), r.took)
	c.record.add(t, chaosLine{Seed: c.seed, Timeline: &c.line})
}

// chaosInCI is the short form of TestChaos, on the machines of TestCluster. The seed
// differs from day to day.
func (s *scenario) chaosInCI(ctx context.Context, t *testing.T) {
	today := uint64(time.Now().Unix() / int64((24 * time.Hour).Seconds()))
	c := &chaos{scenario: s, seed: chaosSetting(t, "SLIPWAY_CHAOS_SEED", today), record: readChaosRecord(t, t.TempDir())}
	t.Cleanup(func() { t.Log(c.record) })
	if s.timeline.Took == 0 {
		t.Fatal("no install was recorded: run the step that installs from two computers, too")
	}
	// The machines have the cluster of the previous step.
	c.bare = s.bare
	c.line, c.installed = s.timeline, s.lister.list(t, s.lab)
	c.ignoreDisk(t)
	c.slipway.must(ctx, t, c.on("reset", "--yes")...)
	for round := range chaosRoundsInCI {
		if !c.round(ctx, t, round) {
			// Without new machines, the next rounds need a reset that works.
			c.slipway.must(ctx, t, c.on("reset", "--yes")...)
		}
	}
}

// round runs a round and records its result.
func (c *chaos) round(ctx context.Context, t *testing.T, number int) bool {
	t.Helper()
	round := chaosRound{Number: number, Time: time.Now(), Kills: c.line.kills(c.seed, number), Result: "ok"}
	ok := t.Run(fmt.Sprintf("seed %d, round %d", c.seed, number), func(t *testing.T) {
		t.Log(round.Kills)
		c.killAndRepair(ctx, t, &round)
	})
	if !ok {
		round.Result = "failed"
	}
	round.Seconds = time.Since(round.Time).Seconds()
	c.record.add(t, chaosLine{Seed: c.seed, Round: &round})
	return ok
}

// killAndRepair kills an install, repairs it with another apply, checks the cluster
// and resets it.
func (c *chaos) killAndRepair(ctx context.Context, t *testing.T, round *chaosRound) {
	c.kill(ctx, t, round, &round.Kills.Apply, "apply")
	c.planWorks(ctx, t)
	if round.Kills.Repair != nil {
		c.kill(ctx, t, round, round.Kills.Repair, "apply")
		c.planWorks(ctx, t)
	}
	// The next run knows that the holder of the locks has died.
	r := c.slipway.must(ctx, t, c.on("apply", "--lock-timeout", "0", "-o", "json")...)
	round.Repair = r.took.Seconds()
	c.works(ctx, t)

	if round.Kills.Reset != nil {
		c.kill(ctx, t, round, round.Kills.Reset, "reset", "--yes")
		if r := c.slipway.run(ctx, t, c.on("plan", "-o", "json")...); r.code != 0 && !leftBehind(r) {
			t.Error(r)
		}
		if round.Kills.ApplyAfterReset {
			c.applyAfterReset(ctx, t)
			c.works(ctx, t)
		}
	}
	c.slipway.must(ctx, t, c.on("reset", "--yes", "--lock-timeout", "0", "-o", "json")...)
	c.clear(ctx, t)
}

// applyAfterReset runs apply. It may name workers that the reset had not reached when it
// was killed.
func (c *chaos) applyAfterReset(ctx context.Context, t *testing.T) {
	t.Helper()
	apply := c.on("apply", "--lock-timeout", "0", "-o", "json")
	r := c.slipway.run(ctx, t, apply...)
	if leftBehind(r) {
		t.Log("apply refuses, since workers belong to the cluster whose data is gone")
		c.slipway.must(ctx, t, c.on("reset", "--yes", "--lock-timeout", "0", "-o", "json")...)
		r = c.slipway.run(ctx, t, apply...)
	}
	if r.code != 0 {
		t.Fatal(r)
	}
}

// leftBehind reports whether a run was refused before any change, since hosts belong to a
// cluster that no control plane has any more: a person decides whether to reset them.
func leftBehind(r result) bool {
	return r.code == 5 && strings.Contains(r.stdout, "no control plane of the inventory has the data") &&
		strings.Contains(r.stdout, "slipway reset --yes --hosts")
}

// kill runs a command and kills it. The run may end before the moment.
func (c *chaos) kill(ctx context.Context, t *testing.T, round *chaosRound, at *moment, args ...string) {
	t.Helper()
	r, sent := c.slipway.signalAt(ctx, t, syscall.SIGKILL, at.matches, at.Delay, c.on(append(args, "-o", "json")...)...)
	switch {
	case r.code == -1:
		t.Logf("%s was killed; its last line:\n%s", args[0], tail(r.stdout, 1))
	case r.code != 0:
		t.Fatalf("it failed before it was killed: %s", r)
	case sent:
		t.Logf("%s ended at the moment of the kill", args[0])
		round.Missed++
	default:
		t.Logf("%s ended before the moment of the kill", args[0])
		round.Missed++
	}
}

// planWorks checks that a plan never fails, whatever a killed run left.
func (c *chaos) planWorks(ctx context.Context, t *testing.T) {
	t.Helper()
	if r := c.slipway.run(ctx, t, c.on("plan", "-o", "json")...); r.code != 0 {
		t.Error(r)
	}
}

// works checks the cluster after a repair: it is as one that nothing interrupted, and
// nothing is left to do.
func (c *chaos) works(ctx context.Context, t *testing.T) {
	t.Helper()
	c.nodesReady(ctx, t)
	c.validate(ctx, t)
	if r := c.slipway.run(ctx, t, c.on("plan", "--detailed-exitcode", "-o", "json")...); r.code != 0 {
		t.Errorf("after the repair, the plan is not empty: %s", r)
	}
	c.nothingTemporary(ctx, t)
	c.noTokens(ctx, t)
	samePaths(t, c.installed, c.lister.list(t, c.lab))
}

// clear checks the machines after a reset.
func (c *chaos) clear(ctx context.Context, t *testing.T) {
	t.Helper()
	same(t, c.bare.afterReset(), c.lister.list(t, c.lab).afterReset())
	for _, m := range c.lab.names() {
		c.noProcesses(ctx, t, m)
	}
	c.nothingTemporary(ctx, t)
}

// noTokens checks that no bootstrap token of a killed join is left. kubeadm creates one
// of its own.
func (c *chaos) noTokens(ctx context.Context, t *testing.T) {
	t.Helper()
	var tokens struct {
		Items []struct {
			Metadata struct{ Name string }
			Data     struct{ Description []byte }
		}
	}
	c.get(ctx, t, &tokens, "-n", "kube-system", "secrets", "--field-selector", "type=bootstrap.kubernetes.io/token")
	for _, token := range tokens.Items {
		if strings.Contains(string(token.Data.Description), "slipway") {
			t.Errorf("the bootstrap token of a killed join is left: %s", token.Metadata.Name)
		}
	}
}
