//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// chaosRecord is a file of JSON lines: the timeline of a seed, and the rounds that are
// done. A later run reads it, and continues.
type chaosRecord struct {
	path  string
	lines []chaosLine
}

// chaosLine is a line of the record: a timeline or a round.
type chaosLine struct {
	Seed     uint64      `json:"seed"`
	Timeline *timeline   `json:"timeline,omitempty"`
	Round    *chaosRound `json:"round,omitempty"`
}

// chaosRound is a round that is done.
type chaosRound struct {
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	Kills  kills     `json:"kills"`
	// Result is ok or failed. Missed are the kills for which a run was too short.
	Result string `json:"result"`
	Missed int    `json:"missed,omitempty"`
	// The times in seconds: of the whole round, and of its last repairing apply.
	Seconds float64 `json:"seconds"`
	Repair  float64 `json:"repair"`
}

// readChaosRecord reads a record. There may be none, and a killed run may have left
// half a line.
func readChaosRecord(t *testing.T, dir string) *chaosRecord {
	t.Helper()
	record := &chaosRecord{path: filepath.Join(dir, "rounds.jsonl")}
	content, err := os.ReadFile(record.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(content) {
		var l chaosLine
		if json.Unmarshal(line, &l) == nil {
			record.lines = append(record.lines, l)
		}
	}
	return record
}

// add appends a line to the file.
func (r *chaosRecord) add(t *testing.T, l chaosLine) {
	t.Helper()
	r.lines = append(r.lines, l)
	line, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	// The new line is apart from half a line before it.
	_, err = fmt.Fprintf(file, "\n%s\n", line)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// timeline returns the timeline of a seed, nil if there is none.
func (r *chaosRecord) timeline(seed uint64) *timeline {
	for _, l := range r.lines {
		if l.Seed == seed && l.Timeline != nil {
			return l.Timeline
		}
	}
	return nil
}

// next returns the number of the next round of a seed.
func (r *chaosRecord) next(seed uint64) int {
	next := 0
	for _, l := range r.lines {
		if l.Seed == seed && l.Round != nil {
			next = max(next, l.Round.Number+1)
		}
	}
	return next
}

// String sums up the rounds of all runs and seeds.
func (r *chaosRecord) String() string {
	var rounds, failed, killed, missed int
	var all, repairs float64
	var failures strings.Builder
	for _, l := range r.lines {
		if l.Round == nil {
			continue
		}
		rounds++
		killed++
		for _, m := range []*moment{l.Round.Kills.Repair, l.Round.Kills.Reset} {
			if m != nil {
				killed++
			}
		}
		missed += l.Round.Missed
		all += l.Round.Seconds
		repairs += l.Round.Repair
		if l.Round.Result != "ok" {
			failed++
			fmt.Fprintf(&failures, "\n  seed %d, round %d: %s", l.Seed, l.Round.Number, l.Round.Kills)
		}
	}
	mean := func(sum float64) float64 { return sum / float64(max(rounds, 1)) }
	return fmt.Sprintf("%d rounds, %d failed; %d runs killed, %d ended before; %.0f s a round, %.0f s the repairing apply%s",
		rounds, failed, killed-missed, missed, mean(all), mean(repairs), failures.String())
}

func TestTheRecordOfChaosContinues(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "chaos")
	first := readChaosRecord(t, dir)
	if first.next(1) != 0 || first.timeline(1) != nil {
		t.Error("an empty record has rounds")
	}
	line := timeline{Took: time.Minute, Boundaries: []moment{{At: started, Phase: "join", Host: "w1"}}}
	first.add(t, chaosLine{Seed: 1, Timeline: &line})
	first.add(t, chaosLine{Seed: 1, Round: &chaosRound{Number: 0, Result: "ok", Seconds: 50, Repair: 20}})
	first.add(t, chaosLine{Seed: 2, Round: &chaosRound{
		Number: 4, Result: "failed", Missed: 1, Seconds: 70, Repair: 40, Kills: kills{Apply: line.Boundaries[0], Reset: &moment{}},
	}})
	file, err := os.OpenFile(first.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(`{"seed":1,"round":{"numb`)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	second := readChaosRecord(t, dir)
	second.add(t, chaosLine{Seed: 1, Round: &chaosRound{Number: 1, Result: "ok"}})
	third := readChaosRecord(t, dir)
	if diff := cmp.Diff(&line, third.timeline(1)); diff != "" {
		t.Error(diff)
	}
	if third.next(1) != 2 || third.next(2) != 5 || third.next(3) != 0 {
		t.Errorf("the next rounds are %d, %d and %d", third.next(1), third.next(2), third.next(3))
	}
	want := "3 rounds, 1 failed; 3 runs killed, 1 ended before; 40 s a round, 20 s the repairing apply\n" +
		"  seed 2, round 4: apply killed join on w1 started; reset killed the start of the run"
	if got := third.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
