package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// board is the part of a live view below the finished lines: a line for the run,
// and for each host the marks of its finished phases and its running phases.
type board struct {
	colors palette
	run    string
	start  time.Time
	end    time.Time // zero during the run
	failed bool
	rows   []*row
	byHost map[string]*row
}

// row is a host, or the cluster for phases without a host.
type row struct {
	host                                string
	marks                               []Kind
	active                              []*activity
	since                               time.Time // start or end of its last phase
	changed, unchanged, skipped, failed int
}

// activity is a running phase.
type activity struct {
	phase, title string
	start        time.Time
	waiting      string
	output       string
}

func newBoard(colors palette) *board {
	return &board{colors: colors, byHost: map[string]*row{}}
}

func (b *board) event(e Event) {
	if b.start.IsZero() {
		b.start, b.run = e.Time, e.Run
	}
	if e.Kind == RunFinished {
		b.end, b.failed = e.Time, e.Error != ""
		return
	}
	if e.Phase == "" {
		return
	}
	r := b.row(e.Host)
	switch e.Kind {
	case PhaseStarted:
		r.since = e.Time
		r.active = append(r.active, &activity{phase: clean(e.Phase), title: clean(e.Message), start: e.Time})
	case PhaseChanged, PhaseUnchanged, PhaseSkipped, PhaseFailed:
		r.finish(e)
	case Waiting:
		if a := r.activity(e.Phase); a != nil {
			a.waiting = clean(e.Message)
		}
	case Output:
		if a := r.activity(e.Phase); a != nil {
			a.waiting, a.output = "", clean(e.Message)
		}
	case Change:
		// A change ends a wait.
		if a := r.activity(e.Phase); a != nil {
			a.waiting = ""
		}
	}
}

func (b *board) row(host string) *row {
	r, ok := b.byHost[host]
	if !ok {
		r = &row{host: cmp.Or(clean(host), wholeCluster)}
		b.byHost[host] = r
		b.rows = append(b.rows, r)
	}
	return r
}

func (r *row) activity(phase string) *activity {
	for _, a := range r.active {
		if a.phase == clean(phase) {
			return a
		}
	}
	return nil
}

func (r *row) finish(e Event) {
	r.since = e.Time
	r.marks = append(r.marks, e.Kind)
	r.active = slices.DeleteFunc(r.active, func(a *activity) bool { return a.phase == clean(e.Phase) })
	switch e.Kind {
	case PhaseChanged:
		r.changed++
	case PhaseUnchanged:
		r.unchanged++
	case PhaseSkipped:
		r.skipped++
	case PhaseFailed:
		r.failed++
	}
}

// lines draws the board for a terminal of that size. The last column stays
// empty, because some terminals wrap after it. The board of a finished run is
// drawn in full, because it may scroll.
func (b *board) lines(now time.Time, columns, rows int, over bool) []string {
	if b.start.IsZero() || len(b.rows) == 0 {
		return nil
	}
	width := max(columns-1, 10)
	hosts := 4
	for _, r := range b.rows {
		hosts = max(hosts, min(ansi.StringWidth(r.host), width/4))
	}
	var body []string
	for _, r := range b.byUrgency(over) {
		body = append(body, b.rowLines(r, now, hosts, over)...)
	}
	// The head, a line for omitted rows, and one for the cursor.
	if room := max(rows-3, 0); !over && len(body) > room {
		left := len(body) - room
		body = append(body[:room], b.colors.dim(fmt.Sprintf("  … and %d more", left)))
	}
	lines := append([]string{b.head(now, over)}, body...)
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, width, "…")
	}
	return lines
}

// byUrgency returns the rows in their order of appearance. During a run, busy rows
// come first, so that a small terminal shows them.
func (b *board) byUrgency(over bool) []*row {
	rows := slices.Clone(b.rows)
	if !over {
		slices.SortStableFunc(rows, func(x, y *row) int {
			return min(len(y.active), 1) - min(len(x.active), 1)
		})
	}
	return rows
}

func (b *board) head(now time.Time, over bool) string {
	running, done, failed := 0, 0, 0
	for _, r := range b.rows {
		running += len(r.active)
		done += r.changed + r.unchanged
		failed += r.failed
	}
	mark, end := b.colors.cyan(spinner(now)), now
	switch {
	case !b.end.IsZero() && b.failed:
		mark, end = b.colors.red("✗"), b.end
	case !b.end.IsZero():
		mark, end = b.colors.green("✓"), b.end
	case over:
		mark = b.colors.red("■")
	}
	text := fmt.Sprintf("%s %s  %s  %d done", mark, b.colors.bold(b.run), duration(end.Sub(b.start)), done)
	if running > 0 && over {
		text += ", " + b.colors.red(fmt.Sprintf("%d stopped", running))
	} else if running > 0 {
		text += fmt.Sprintf(", %d running", running)
	}
	if failed > 0 {
		text += ", " + b.colors.red(fmt.Sprintf("%d failed", failed))
	}
	return text
}

// rowLines returns one line for a host, or one for each running phase.
func (b *board) rowLines(r *row, now time.Time, hosts int, over bool) []string {
	head := "  " + fit(r.host, hosts) + "  "
	if len(r.active) == 0 {
		return []string{head + b.rest(r, now, over) + "  " + b.marks(r)}
	}
	var lines []string
	for _, a := range r.active {
		text := a.phase + "  " + b.colors.dim(duration(now.Sub(a.start))) + "  " + b.doing(a, over)
		if len(lines) == 0 && r.failed > 0 {
			text = b.colors.red("✗") + " " + text
		}
		lines = append(lines, head+text)
		head = strings.Repeat(" ", hosts+4)
	}
	return lines
}

// doing returns what a running phase waits for, else the last line of its output,
// else its title.
func (b *board) doing(a *activity, over bool) string {
	switch {
	case over:
		return b.colors.red("stopped")
	case a.waiting != "":
		return "waiting: " + a.waiting
	case a.output != "":
		return b.colors.dim("| " + a.output)
	default:
		return b.colors.dim(a.title)
	}
}

// rest returns the result of a host without a running phase, or how long it is
// idle.
func (b *board) rest(r *row, now time.Time, over bool) string {
	switch {
	case r.failed > 0:
		return b.colors.red("failed")
	case !over:
		return b.colors.dim("idle  " + duration(now.Sub(r.since)))
	case r.changed > 0:
		return b.colors.yellow("changed")
	case r.unchanged > 0:
		return b.colors.green("unchanged")
	default:
		return b.colors.dim("skipped")
	}
}

// marks returns a character for each finished phase, in the order of completion.
func (b *board) marks(r *row) string {
	var s strings.Builder
	for _, kind := range r.marks {
		switch kind {
		case PhaseChanged:
			s.WriteString(b.colors.yellow("✓"))
		case PhaseUnchanged:
			s.WriteString(b.colors.green("·"))
		case PhaseFailed:
			s.WriteString(b.colors.red("✗"))
		default:
			s.WriteString(b.colors.dim("-"))
		}
	}
	return s.String()
}

// spinner returns a rotating character, ten per second.
func spinner(now time.Time) string {
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	return string(frames[now.UnixMilli()/100%int64(len(frames))])
}
