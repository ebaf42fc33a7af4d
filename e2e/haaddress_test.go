//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// addressInterval is the precision with which a move of the address is measured.
const addressInterval = 50 * time.Millisecond

// address records which machines have the virtual address of the endpoint, and since
// when.
type address struct {
	ip string
	// trees is a pattern for the root file systems of the machines.
	trees string
	// leaders are PID 1 of the machines that run, by name.
	leaders map[string]int

	mu    sync.Mutex
	moves []move
}

// move is a change of the machines that have the address, in the order of their names.
type move struct {
	at      time.Time
	holders string
}

// run looks until the context ends.
func (a *address) run(ctx context.Context) {
	tick := time.NewTicker(addressInterval)
	defer tick.Stop()
	rounds := 0
	for {
		a.look(rounds%40 == 0)
		rounds++
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look records the machines that have the address. With search, it first finds those that
// have booted meanwhile.
func (a *address) look(search bool) {
	if search {
		a.leaders = map[string]int{}
		trees, _ := filepath.Glob(a.trees) // the pattern is valid
		for _, tree := range trees {
			if pid, err := leaderOf(tree); err == nil {
				a.leaders[filepath.Base(filepath.Dir(tree))] = pid
			}
		}
	}
	var holders []string
	for _, name := range slices.Sorted(maps.Keys(a.leaders)) {
		if hasAddress(readProc(a.leaders[name], "net/fib_trie"), a.ip) {
			holders = append(holders, name)
		}
	}
	now := strings.Join(holders, " ")
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.moves) == 0 || a.moves[len(a.moves)-1].holders != now {
		a.moves = append(a.moves, move{time.Now(), now})
	}
}

// holders are the machines that have the address now.
func (a *address) holders() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.moves) == 0 {
		return ""
	}
	return a.moves[len(a.moves)-1].holders
}

// quiet returns how long ago the address last moved.
func (a *address) quiet() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.moves) == 0 {
		return time.Hour
	}
	return time.Since(a.moves[len(a.moves)-1].at)
}

// after returns how long after a moment a condition on the machines that have the
// address was first true.
func (a *address) after(since time.Time, is func(holders string) bool) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.moves {
		if m.at.After(since) && is(m.holders) {
			return m.at.Sub(since), true
		}
	}
	return 0, false
}

// movedFrom is true once another machine has the address, too or instead.
func movedFrom(machine string) func(string) bool {
	return func(holders string) bool { return strings.TrimSpace(strings.Replace(holders, machine, "", 1)) != "" }
}

// releasedBy is true once a machine does not have the address any more.
func releasedBy(machine string) func(string) bool {
	return func(holders string) bool { return !strings.Contains(holders, machine) }
}

// String lists the moves.
func (a *address) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var lines []string
	for _, m := range a.moves {
		lines = append(lines, fmt.Sprintf("%s  %s", m.at.Format("15:04:05.000"), m.holders))
	}
	return strings.Join(lines, "\n")
}

func TestMovesOfAnAddress(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	a := &address{moves: []move{{start, "cp1"}, {start.Add(12 * time.Second), "cp1 cp2"}, {start.Add(14 * time.Second), "cp2"}, {start.Add(30 * time.Second), "cp1"}}}
	since := start.Add(10 * time.Second)
	if took, ok := a.after(since, movedFrom("cp1")); !ok || took != 2*time.Second {
		t.Errorf("moved after %s, %t", took, ok)
	}
	if took, ok := a.after(since, releasedBy("cp1")); !ok || took != 4*time.Second {
		t.Errorf("released after %s, %t", took, ok)
	}
	if took, ok := a.after(start.Add(20*time.Second), movedFrom("cp1")); ok {
		t.Errorf("moved after %s, but cp1 has it", took)
	}
	if a.holders() != "cp1" {
		t.Errorf("%q has it now", a.holders())
	}
}
