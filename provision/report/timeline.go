package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// shortPhase is the fraction of the run below which Timeline omits a phase.
const shortPhase = 0.02

// Timeline writes the slowest host of each long phase of a finished run, and the
// critical path. It writes nothing for a run without phases.
func Timeline(w io.Writer, events []Event) error {
	h := newHistory(events)
	if len(h.spans) == 0 {
		return nil
	}
	colors := paletteFor(w)
	var rows []Row
	short := 0
	for _, p := range h.phases() {
		if p.longest < time.Duration(shortPhase*float64(h.took())) {
			short++
			continue
		}
		rows = append(rows, Row{Cells: []string{
			p.phase, p.slowest, duration(p.longest), duration(p.median), fmt.Sprint(p.hosts),
		}})
	}
	if err := Table(w, []string{"phase", "slowest on", "took", "median", "hosts"}, rows); err != nil {
		return err
	}
	var b strings.Builder
	if short > 0 {
		b.WriteString(colors.dim(fmt.Sprintf("and %s shorter than %d %% of the run", count(short, "phase"), int(100*shortPhase))) + "\n")
	}
	b.WriteString(fold("critical path: ", h.chain(), width(w)))
	fmt.Fprintf(&b, "%s in total: %s on %s, %s\n", colors.bold(duration(h.took())),
		h.run, count(h.hostCount(), "host"), count(h.changes, "change"))
	_, err := io.WriteString(w, b.String())
	return err
}

// chain returns the long phases of the critical path.
func (h *history) chain() []string {
	var parts []string
	for _, s := range h.critical() {
		if s.took() >= time.Duration(shortPhase*float64(h.took())) {
			parts = append(parts, strings.TrimSpace(s.host+" "+s.phase)+" "+duration(s.took()))
		}
	}
	return parts
}

// fold joins parts with arrows and wraps at the width.
func fold(label string, parts []string, width int) string {
	var b strings.Builder
	line := label
	for i, part := range parts {
		if i < len(parts)-1 {
			part += " →"
		}
		if ansi.StringWidth(line+part) > width && strings.TrimSpace(line) != "" && line != label {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = "  "
		}
		line += part + " "
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}
