package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"
)

//go:embed page.html.tmpl
var pageText string

// HTML writes a page about a finished run: a timeline of hosts and phases, the
// critical path, and failures. The page is self-contained: it loads nothing and
// runs no script.
func HTML(w io.Writer, events []Event) error {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("parse the report template: %w", err)
	}
	if err := page.Execute(w, newPage(newHistory(events))); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// page is the data of the template.
type page struct {
	Run, Started, Took string
	Result, Error      string
	Hint               string
	Hosts, Changes     int
	Phases             int // on hosts
	Ticks              []tick
	Rows               []timelineRow
	Failures           []failed
	Chain              []bar
	Bars               []bar
	Skipped            []Event
	Diffs              []Event
}

// tick is a mark on the time axis, in percent of the width.
type tick struct {
	At    float64
	Label string
}

// timelineRow is a host. Concurrent phases are in separate lanes.
type timelineRow struct {
	Host  string
	Lanes [][]bar
}

// bar is a phase on a host. Left and Width are in percent of the run.
type bar struct {
	Host, Phase, Title, Began, Took, Result string
	Class                                   string
	Left, Width                             float64
	Changes                                 int
	Critical                                bool
}

type failed struct {
	Host, Phase    string
	Error, Command string
	Output, Hint   string
}

func newPage(h *history) page {
	p := page{
		Run: h.run, Started: h.start.Format("2006-01-02 15:04:05 MST"), Took: duration(h.took()),
		Result: "succeeded", Error: h.err, Hint: h.hint,
		Hosts: h.hostCount(), Changes: h.changes, Phases: len(h.spans),
		Ticks: ticks(h.took()), Skipped: h.skipped,
	}
	for _, e := range h.diffs {
		e.Diff = strings.Join(diffLines(e.Diff), "\n")
		p.Diffs = append(p.Diffs, e)
	}
	chain := h.critical() // first, because it marks the spans
	for _, s := range chain {
		p.Chain = append(p.Chain, h.bar(s))
	}
	for _, s := range h.spans {
		p.Bars = append(p.Bars, h.bar(s))
	}
	for _, host := range h.hosts {
		p.Rows = append(p.Rows, timelineRow{Host: host, Lanes: h.lanes(host)})
	}
	var failures []Event
	for _, s := range h.failures() {
		failures = append(failures, s.failure)
		p.Failures = append(p.Failures, failed{
			Host: s.host, Phase: s.phase, Error: s.failure.Error,
			Command: s.failure.Command, Output: strings.Join(cleanLines(s.failure.Output), "\n"), Hint: s.failure.Hint,
		})
	}
	if h.err != "" || len(p.Failures) > 0 {
		p.Result = "failed"
	}
	if len(failures) > 0 {
		p.Error, p.Hint = ownError(h.err, failures), ""
	}
	return p
}

// lanes distributes the phases of a host to as few lanes as possible, so that no
// phase hides another.
func (h *history) lanes(host string) [][]bar {
	var lanes [][]bar
	var ends []time.Time
	for _, s := range byStart(h.spans) {
		if s.host != host {
			continue
		}
		lane := 0
		for lane < len(lanes) && ends[lane].After(s.start) {
			lane++
		}
		if lane == len(lanes) {
			lanes, ends = append(lanes, nil), append(ends, time.Time{})
		}
		lanes[lane], ends[lane] = append(lanes[lane], h.bar(s)), s.end
	}
	return lanes
}

func (h *history) bar(s *span) bar {
	b := bar{
		Host: s.host, Phase: s.phase, Title: s.title,
		Began: duration(s.start.Sub(h.start)), Took: duration(s.took()),
		Left: h.percent(s.start.Sub(h.start)), Width: h.percent(s.took()),
		Changes: s.changes, Critical: s.critical,
	}
	switch s.kind {
	case PhaseChanged:
		b.Class, b.Result = "changed", count(s.changes, "change")
	case PhaseUnchanged:
		b.Class, b.Result = "unchanged", "unchanged"
	case PhaseFailed:
		b.Class, b.Result = "failed", "failed"
	case PhaseSkipped:
		b.Class, b.Result = "skipped", "skipped"
	default:
		b.Class, b.Result = "stopped", "stopped with the run"
	}
	return b
}

// percent returns a part of the run with two decimals.
func (h *history) percent(d time.Duration) float64 {
	if h.took() <= 0 {
		return 0
	}
	return math.Round(10000*float64(d)/float64(h.took())) / 100
}

// ticks divides the run into round intervals, about four to nine.
func ticks(took time.Duration) []tick {
	if took <= 0 {
		return nil
	}
	step := 100 * time.Millisecond
	for _, next := range []time.Duration{
		200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second,
		10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour,
	} {
		if took/step < 5 {
			break
		}
		step = next
	}
	var all []tick
	for at := time.Duration(0); at <= took; at += step {
		label := duration(at)
		if step >= time.Second && at < time.Minute {
			label = at.String()
		}
		all = append(all, tick{At: math.Round(10000*float64(at)/float64(took)) / 100, Label: label})
	}
	return all
}
