package report

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// history is a finished run, built from its events.
type history struct {
	run        string
	start, end time.Time
	changes    int
	err, hint  string
	hosts      []string // in the order of their first phases
	spans      []*span  // in the order of completion
	skipped    []Event
	diffs      []Event // changes with a diff
}

// span is a phase on a host, from its start to its end.
type span struct {
	host, phase, title string
	start, end         time.Time
	kind               Kind // Waiting if the run ended before the phase did
	failure            Event
	output             []string // the last lines
	changes            int
	critical           bool
}

func (s *span) took() time.Duration { return s.end.Sub(s.start) }

func newHistory(events []Event) *history {
	h := &history{}
	open := map[step]*span{}
	for _, e := range events {
		if e.Phase != "" {
			e.Host = cmp.Or(e.Host, wholeCluster)
		}
		if h.start.IsZero() {
			h.start, h.run = e.Time, e.Run
		}
		if e.Time.After(h.end) {
			h.end = e.Time
		}
		h.event(e, open)
	}
	for _, s := range open {
		s.end, s.kind = h.end, Waiting
		h.spans = append(h.spans, s)
	}
	slices.SortStableFunc(h.spans, func(x, y *span) int {
		return cmp.Or(x.end.Compare(y.end), x.start.Compare(y.start),
			cmp.Compare(x.host, y.host), cmp.Compare(x.phase, y.phase))
	})
	return h
}

func (h *history) event(e Event, open map[step]*span) {
	at := step{e.Host, e.Phase}
	if e.Phase != "" && !slices.Contains(h.hosts, e.Host) {
		h.hosts = append(h.hosts, e.Host)
	}
	switch e.Kind {
	case PhaseStarted:
		open[at] = &span{host: e.Host, phase: e.Phase, title: e.Message, start: e.Time}
	case PhaseChanged, PhaseUnchanged, PhaseFailed, PhaseSkipped:
		s, started := open[at]
		if !started {
			h.skipped = append(h.skipped, e)
			return
		}
		delete(open, at)
		if e.Output == "" {
			e.Output = strings.Join(s.output, "\n")
		}
		s.end, s.kind, s.changes, s.failure = e.Time, e.Kind, e.Changes, e
		h.spans = append(h.spans, s)
	case Change:
		if e.Diff != "" {
			h.diffs = append(h.diffs, e)
		}
	case Output:
		if s, started := open[at]; started {
			s.output = append(s.output, clean(e.Message))
			s.output = s.output[max(0, len(s.output)-tailLines):]
		}
	case RunFinished:
		h.changes, h.err, h.hint = e.Changes, e.Error, e.Hint
	}
}

func (h *history) took() time.Duration { return h.end.Sub(h.start) }

// hostCount returns the number of hosts with a phase.
func (h *history) hostCount() int {
	if slices.Contains(h.hosts, wholeCluster) {
		return len(h.hosts) - 1
	}
	return len(h.hosts)
}

func (h *history) failures() []*span {
	var failed []*span
	for _, s := range h.spans {
		if s.kind == PhaseFailed {
			failed = append(failed, s)
		}
	}
	return failed
}

// critical marks and returns the chain of phases that decided how long the run
// took, first one first. The events do not say what a phase needs; but a phase
// starts as soon as the last thing it needs is done, so going back from the
// end, what ended last before a phase began is what it waited for.
func (h *history) critical() []*span {
	if len(h.spans) == 0 {
		return nil
	}
	current := h.spans[len(h.spans)-1]
	chain := []*span{current}
	current.critical = true
	for {
		var before *span
		for _, s := range h.spans {
			if s.critical || s.end.After(current.start) || !s.start.Before(current.start) {
				continue
			}
			// Of two that ended together, the one on the same host.
			if before == nil || s.end.After(before.end) ||
				s.end.Equal(before.end) && s.host == current.host {
				before = s
			}
		}
		if before == nil {
			slices.Reverse(chain)
			return chain
		}
		before.critical = true
		chain = append(chain, before)
		current = before
	}
}

// phaseTimes is how long a phase took on the hosts it ran on.
type phaseTimes struct {
	phase           string
	slowest         string // host
	longest, median time.Duration
	hosts           int
}

// phases lists the phases in the order of their first start.
func (h *history) phases() []phaseTimes {
	byPhase := map[string][]*span{}
	for _, s := range h.spans {
		byPhase[s.phase] = append(byPhase[s.phase], s)
	}
	var order []string
	for _, s := range byStart(h.spans) {
		if !slices.Contains(order, s.phase) {
			order = append(order, s.phase)
		}
	}
	var all []phaseTimes
	for _, phase := range order {
		spans := slices.SortedStableFunc(slices.Values(byPhase[phase]), func(x, y *span) int {
			return cmp.Compare(x.took(), y.took())
		})
		last := spans[len(spans)-1]
		all = append(all, phaseTimes{
			phase: phase, slowest: last.host, longest: last.took(),
			median: spans[(len(spans)-1)/2].took(), hosts: len(spans),
		})
	}
	return all
}

func byStart(spans []*span) []*span {
	return slices.SortedStableFunc(slices.Values(spans), func(x, y *span) int { return x.start.Compare(y.start) })
}
