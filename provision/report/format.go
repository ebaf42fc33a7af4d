package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// planRun is Event.Run of a plan.
const planRun = "plan"

// wholeCluster replaces the host of a phase without one.
const wholeCluster = "cluster"

// step is a phase on a host.
type step struct{ host, phase string }

// format converts events to lines. It keeps what later lines depend on: the start
// of the run, the widths of the columns, earlier failures and hints.
type format struct {
	colors                palette
	start                 time.Time
	hostWidth, phaseWidth int
	waiting               map[step]string
	output                map[step][]string
	failed                []Event
	skipped, deferred     int
	hints                 []string
}

func newFormat(colors palette) *format {
	return &format{
		colors: colors, hostWidth: 8, phaseWidth: 12,
		waiting: map[step]string{}, output: map[step][]string{},
	}
}

// event returns the lines for e, each with its newline; empty if e repeats an
// observation.
func (f *format) event(e Event) string {
	if f.start.IsZero() {
		f.start = e.Time
	}
	at := step{e.Host, e.Phase}
	switch e.Kind {
	case RunStarted:
		return f.line(e, f.colors.bold(strings.TrimSpace(e.Run+" started  "+clean(e.Message))))
	case RunFinished:
		return f.runFinished(e)
	case PhaseStarted:
		return f.line(e, "started  "+f.colors.dim(clean(e.Message)))
	case PhaseChanged, PhaseUnchanged, PhaseSkipped:
		f.forget(at)
		return f.phaseFinished(e)
	case PhaseFailed:
		text := f.phaseFailed(e, f.output[at])
		f.forget(at)
		return text
	case Waiting:
		if f.waiting[at] == e.Message { // an empty one ends the wait
			return ""
		}
		f.waiting[at] = e.Message
		if e.Message == "" {
			return ""
		}
		return f.line(e, "waiting  "+clean(e.Message))
	case Output:
		message := clean(e.Message)
		f.output[at] = append(f.output[at], message)
		f.output[at] = f.output[at][max(0, len(f.output[at])-tailLines):]
		return f.line(e, f.colors.dim("| "+message))
	case Change:
		return f.line(e, f.change(clean(e.Message))) + f.diff(e.Diff, "         ")
	case Deferred:
		f.deferred++
		return f.line(e, f.colors.yellow("not applied")+"  "+clean(e.Message))
	default:
		return f.note(e)
	}
}

func (f *format) forget(at step) {
	delete(f.waiting, at)
	delete(f.output, at)
}

// line returns "   12.3s  host  phase  what". The columns grow with their content.
func (f *format) line(e Event, what string) string {
	since := fmt.Sprintf("%7s", duration(e.Time.Sub(f.start)))
	if e.Host == "" && e.Phase == "" {
		return strings.TrimRight(f.colors.dim(since)+"  "+what, " ") + "\n"
	}
	host, phase := cmp.Or(clean(e.Host), wholeCluster), clean(e.Phase)
	f.hostWidth = max(f.hostWidth, ansi.StringWidth(host))
	f.phaseWidth = max(f.phaseWidth, ansi.StringWidth(phase))
	return strings.TrimRight(fmt.Sprintf("%s  %s  %s  %s",
		f.colors.dim(since), pad(host, f.hostWidth), pad(phase, f.phaseWidth), what), " ") + "\n"
}

func (f *format) phaseFinished(e Event) string {
	took := f.colors.dim(" in " + duration(seconds(e.Seconds)))
	switch e.Kind {
	case PhaseChanged:
		changed := "changed"
		if e.Run == planRun {
			changed = "would change"
		}
		return f.line(e, f.colors.yellow(changed)+"  "+count(e.Changes, "change")+took)
	case PhaseUnchanged:
		return f.line(e, f.colors.green("unchanged")+took)
	default:
		f.skipped++
		return f.line(e, f.colors.dim("skipped  "+clean(e.Message)))
	}
}

func (f *format) phaseFailed(e Event, output []string) string {
	f.failed = append(f.failed, e)
	what := f.colors.red("FAILED") + f.colors.dim(" after "+duration(seconds(e.Seconds)))
	return f.line(e, what) + f.failure(e, output)
}

// failure returns the indented error, its command, the last output and the hint,
// unless the hint was shown before.
func (f *format) failure(e Event, output []string) string {
	const indent = "         "
	var b strings.Builder
	for _, line := range cleanLines(e.Error) {
		b.WriteString(indent + f.colors.red(line) + "\n")
	}
	if e.Command != "" {
		b.WriteString(indent + "command: " + clean(e.Command) + "\n")
	}
	if lines := cleanLines(e.Output); len(lines) > 0 {
		output = lines
	}
	for _, line := range output {
		b.WriteString(indent + f.colors.dim("| "+line) + "\n")
	}
	if e.Hint != "" && !slices.Contains(f.hints, e.Hint) {
		f.hints = append(f.hints, e.Hint)
		for i, line := range cleanLines(e.Hint) {
			mark := "→ "
			if i > 0 {
				mark = "  "
			}
			b.WriteString(indent + f.colors.cyan(mark+line) + "\n")
		}
	}
	return b.String()
}

func (f *format) runFinished(e Event) string {
	took := duration(seconds(e.Seconds))
	if e.Seconds == 0 {
		took = duration(e.Time.Sub(f.start))
	}
	if e.Error == "" {
		return f.line(e, f.colors.bold(e.Run+" finished")+" in "+took+": "+f.outcome(e))
	}
	text := f.line(e, f.colors.red(e.Run+" FAILED")+" after "+took+": "+f.outcome(e))
	if len(f.failed) > 0 {
		e.Error, e.Command, e.Output = ownError(e.Error, f.failed), "", ""
	}
	return text + f.failure(e, nil)
}

func (f *format) outcome(e Event) string {
	text := "nothing to change"
	if e.Changes > 0 {
		text = count(e.Changes, "change")
		if e.Run == planRun {
			text += " planned"
		}
	} else if e.Error != "" {
		text = "nothing changed"
	}
	if f.deferred > 0 {
		text += ", " + count(f.deferred, "difference") + " not applied"
	}
	if len(f.failed) > 0 {
		text += ", " + count(len(f.failed), "phase") + " failed"
	}
	if f.skipped > 0 {
		text += fmt.Sprintf(", %d skipped", f.skipped)
	}
	return text
}

func (f *format) note(e Event) string {
	text := f.line(e, f.colors.cyan("note")+"  "+clean(e.Message))
	if e.Error != "" || e.Hint != "" {
		text += f.failure(e, nil)
	}
	return text
}

// change colours a change by its marker, as described at Plan.
func (f *format) change(message string) string {
	marker, rest, found := strings.Cut(message, " ")
	if !found {
		return message
	}
	switch marker {
	case "+":
		marker = f.colors.green(marker)
	case "~":
		marker = f.colors.yellow(marker)
	case "-":
		marker = f.colors.red(marker)
	case "run":
		marker = f.colors.cyan(marker)
	}
	return marker + " " + rest
}

// diff returns the lines of a diff, each with the indent before it.
func (f *format) diff(text, indent string) string {
	if text == "" {
		return ""
	}
	var b strings.Builder
	for _, line := range diffLines(text) {
		switch {
		case strings.HasPrefix(line, "+"):
			line = f.colors.green(line)
		case strings.HasPrefix(line, "-"):
			line = f.colors.red(line)
		case strings.HasPrefix(line, "@@"):
			line = f.colors.cyan(line)
		}
		b.WriteString(strings.TrimRight(indent+line, " ") + "\n")
	}
	return b.String()
}

// diffLines returns the lines of a diff without control characters. Empty lines
// belong to it.
func diffLines(text string) []string {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return lines
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second))
}
