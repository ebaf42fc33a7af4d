package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

// emulator is as much of a terminal as the live view needs: it wraps at its
// width, never scrolls, and fails the test on unknown sequences.
type emulator struct {
	t       *testing.T
	columns int
	lines   [][]rune
	x, y    int
}

func (m *emulator) Write(p []byte) (int, error) {
	var state byte
	parser := ansi.NewParser()
	for rest := p; len(rest) > 0; {
		seq, width, n, next := ansi.DecodeSequence(rest, state, parser)
		rest, state = rest[n:], next
		if width > 0 {
			m.put([]rune(string(seq))[0])
			continue
		}
		m.control(string(seq), parser)
	}
	return len(p), nil
}

func (m *emulator) control(seq string, parser *ansi.Parser) {
	m.row()
	switch {
	case seq == "\r":
		m.x = 0
	case seq == "\n":
		m.y++
	case seq == ansi.EraseLineRight:
		m.lines[m.y] = m.lines[m.y][:min(m.x, len(m.lines[m.y]))]
	case seq == ansi.EraseScreenBelow:
		m.lines[m.y] = m.lines[m.y][:min(m.x, len(m.lines[m.y]))]
		m.lines = m.lines[:m.y+1]
	case strings.HasSuffix(seq, "A"):
		up, _ := parser.Param(0, 1)
		if m.y -= up; m.y < 0 {
			m.t.Errorf("%q moves above the first line", seq)
			m.y = 0
		}
	case strings.HasSuffix(seq, "m"):
	default:
		m.t.Errorf("unexpected control sequence %q", seq)
	}
}

func (m *emulator) row() {
	for len(m.lines) <= m.y {
		m.lines = append(m.lines, nil)
	}
}

func (m *emulator) put(r rune) {
	if m.x == m.columns {
		m.x, m.y = 0, m.y+1
	}
	m.row()
	line := m.lines[m.y]
	for len(line) <= m.x {
		line = append(line, ' ')
	}
	line[m.x] = r
	m.lines[m.y] = line
	m.x++
}

// screen is what a person sees.
func (m *emulator) screen() string {
	var b strings.Builder
	for _, line := range m.lines {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// play gives the events up to a moment of the run to a live view that paints a
// frame each second, and returns what stands on the terminal then.
func play(t *testing.T, events []Event, until float64, columns, rows int, colors palette) string {
	t.Helper()
	terminal := &emulator{t: t, columns: columns}
	l := newLive(terminal, colors, Options{}, func() (int, int) { return columns, rows })
	now := zero
	for _, e := range events {
		if e.Time.After(at(until)) {
			break
		}
		for ; now.Before(e.Time); now = now.Add(time.Second) {
			l.paint(now, false)
		}
		l.Event(e)
	}
	finished := events[len(events)-1].Kind == RunFinished && !events[len(events)-1].Time.After(at(until))
	l.paint(at(until), finished)
	return terminal.screen()
}

func TestLive(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, golden  string
		events        []Event
		until         float64
		columns, rows int
		colors        palette
	}{
		{"while hosts prepare", "live-prepare.golden", goodRun(), 5, 80, 24, palette{}},
		{"a waiting host", "live-waiting.golden", goodRun(), 20, 80, 24, palette{}},
		{"the last frame of a good run", "live-good.golden", goodRun(), 70, 80, 24, palette{}},
		{"the last frame of a failed run", "live-bad.golden", badRun(), 70, 80, 24, palette{}},
		{"colour keeps the layout", "live-waiting.golden", goodRun(), 20, 80, 24, palette{on: true}},
		{"forty columns", "live-narrow.golden", goodRun(), 20, 40, 24, palette{}},
		{"five rows show the busy hosts", "live-low.golden", goodRun(), 20, 80, 5, palette{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			golden(t, test.golden, play(t, test.events, test.until, test.columns, test.rows, test.colors))
		})
	}
}

func TestBoardFitsAnyTerminal(t *testing.T) {
	t.Parallel()
	board := newBoard(palette{on: true})
	for i := range 50 {
		board.event(Event{
			Time: at(0), Kind: PhaseStarted, Run: "apply", Host: fmt.Sprintf("a-rather-long-hostname-%d", i), Phase: "kernel",
			Message: "Das Betriebssystem vorbereiten: 日本語のタイトル",
		})
	}
	for columns := 12; columns < 120; columns += 7 {
		for rows := 3; rows < 60; rows += 5 {
			lines := board.lines(at(3), columns, rows, false)
			if len(lines) >= rows {
				t.Errorf("%d lines on %d rows", len(lines), rows)
			}
			for _, line := range lines {
				if width := ansi.StringWidth(line); width >= columns {
					t.Errorf("%d columns of %d: %q", width, columns, line)
				}
			}
		}
	}
	if lines := board.lines(at(3), 80, 24, true); len(lines) != 51 {
		t.Errorf("the last frame has %d lines, want all 50 hosts and the head", len(lines))
	}
}

func TestANarrowedTerminalIsRepaintedCompletely(t *testing.T) {
	t.Parallel()
	terminal := &emulator{t: t, columns: 20}
	s := &screen{w: terminal}
	// Painted when the terminal was wide, the line stands on two rows now.
	s.paint("", []string{"twenty-five columns wide."}, 20)
	s.paint("done\n", []string{"short"}, 20)
	if diff := cmp.Diff("done\nshort\n", terminal.screen()); diff != "" {
		t.Error(diff)
	}
}

func TestAnInterruptedRunNamesStoppedPhases(t *testing.T) {
	t.Parallel()
	terminal := &emulator{t: t, columns: 80}
	l := newLive(terminal, palette{}, Options{}, func() (int, int) { return 80, 24 })
	go l.draw()
	l.Event(Event{Time: time.Now(), Kind: PhaseStarted, Run: "apply", Host: "cp1", Phase: "kubeadm-init"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	for _, want := range []string{"1 stopped", "cp1   kubeadm-init"} {
		if !strings.Contains(terminal.screen(), want) {
			t.Errorf("no %q in:\n%s", want, terminal.screen())
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 400 * time.Millisecond: "0.4s", 59940 * time.Millisecond: "59.9s",
		59960 * time.Millisecond: "1m00s", 125 * time.Second: "2m05s", 3599600 * time.Millisecond: "1h00m",
		62 * time.Minute: "1h02m",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %q, want %q", d, got, want)
		}
	}
}
