package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Plan writes the changes of a plan by host and phase, grouped by hosts with the
// same changes, and the number of changes of each host. Diffs that are not the same
// on the hosts of a group are written for each of them. The messages of Change
// events begin with a marker: "+ path" is created, "~ path" changes, "- path" is
// deleted, "run argv" runs.
func Plan(w io.Writer, events []Event) error {
	colors := paletteFor(w)
	p := newPlanned(events)
	var b strings.Builder
	for _, group := range p.groups() {
		b.WriteString(colors.bold(strings.Join(group.hosts, ", ")) + "\n")
		for _, phase := range group.phases {
			b.WriteString("  " + phase.title() + "\n")
			for i, message := range phase.changes {
				b.WriteString("    " + newFormat(colors).change(message) + "\n")
				b.WriteString(p.diffs(group.hosts, phase.name, i, colors))
			}
			for _, line := range phase.failure {
				b.WriteString("    " + colors.red(line) + "\n")
			}
		}
		b.WriteString("\n")
	}
	if len(p.deferred) > 0 {
		b.WriteString(colors.bold("not applied") + "\n")
		for _, difference := range p.deferred {
			b.WriteString("  " + colors.yellow(difference) + "\n")
		}
		b.WriteString("\n")
	}
	b.WriteString(p.summary(colors))
	_, err := io.WriteString(w, b.String())
	return err
}

// diffs returns the diffs of a change that the phase makes on the hosts.
func (p *planned) diffs(hosts []string, phase string, change int, colors palette) string {
	const indent = "      "
	var texts []string
	on := map[string][]string{}
	for _, host := range hosts {
		i := slices.IndexFunc(p.phases[host], func(other *plannedPhase) bool { return other.name == phase })
		text := p.phases[host][i].diffs[change]
		if on[text] == nil {
			texts = append(texts, text)
		}
		on[text] = append(on[text], host)
	}
	var b strings.Builder
	for _, text := range texts {
		if len(texts) > 1 {
			b.WriteString(indent + "on " + strings.Join(on[text], ", ") + ":\n")
		}
		b.WriteString(newFormat(colors).diff(text, indent))
	}
	return b.String()
}

// planned holds a plan by host and phase, in the order of the events.
type planned struct {
	hosts    []string
	phases   map[string][]*plannedPhase // by host
	deferred []string
	total    int
	failed   bool
}

type plannedPhase struct {
	name, message    string
	changes, failure []string
	diffs            []string // of the changes
}

func (p *plannedPhase) title() string {
	if p.message == "" {
		return p.name
	}
	return p.name + ": " + p.message
}

func newPlanned(events []Event) *planned {
	p := &planned{phases: map[string][]*plannedPhase{}}
	titles := map[string]string{}
	for _, e := range events {
		e.Host = cmp.Or(clean(e.Host), wholeCluster)
		switch e.Kind {
		case PhaseStarted:
			titles[e.Phase] = clean(e.Message)
			p.host(e.Host)
		case Change:
			phase := p.phase(e, titles)
			phase.changes, phase.diffs = append(phase.changes, clean(e.Message)), append(phase.diffs, e.Diff)
			p.total++
		case Deferred:
			p.deferred = append(p.deferred, clean(e.Message))
		case PhaseFailed:
			p.failed = true
			// A phase of the whole cluster, such as preflight, stopped the run:
			// the run has shown why.
			if e.Host != wholeCluster {
				phase := p.phase(e, titles)
				phase.failure = append(phase.failure, cleanLines("FAILED: "+e.Error)...)
			}
		}
	}
	return p
}

func (p *planned) host(name string) {
	if !slices.Contains(p.hosts, name) {
		p.hosts = append(p.hosts, name)
	}
}

func (p *planned) phase(e Event, titles map[string]string) *plannedPhase {
	p.host(e.Host)
	for _, phase := range p.phases[e.Host] {
		if phase.name == clean(e.Phase) {
			return phase
		}
	}
	phase := &plannedPhase{name: clean(e.Phase), message: titles[e.Phase]}
	p.phases[e.Host] = append(p.phases[e.Host], phase)
	return phase
}

// planGroup is a group of hosts with the same changes.
type planGroup struct {
	hosts  []string
	phases []*plannedPhase
}

func (p *planned) groups() []planGroup {
	var groups []planGroup
	for _, host := range p.hosts {
		phases := p.phases[host]
		if len(phases) == 0 {
			continue
		}
		same := slices.IndexFunc(groups, func(g planGroup) bool { return slices.EqualFunc(g.phases, phases, samePhase) })
		if same >= 0 {
			groups[same].hosts = append(groups[same].hosts, host)
		} else {
			groups = append(groups, planGroup{hosts: []string{host}, phases: phases})
		}
	}
	return groups
}

func samePhase(x, y *plannedPhase) bool {
	return x.name == y.name && slices.Equal(x.changes, y.changes) && slices.Equal(x.failure, y.failure)
}

// summary returns the number of changes of each host, and the total.
func (p *planned) summary(colors palette) string {
	var b strings.Builder
	widest := 0
	for _, host := range p.hosts {
		widest = max(widest, ansi.StringWidth(host))
	}
	for _, host := range p.hosts {
		n := 0
		for _, phase := range p.phases[host] {
			n += len(phase.changes)
		}
		b.WriteString(pad(host, widest) + "  " + count(n, "change") + "\n")
	}
	switch {
	case p.failed:
		b.WriteString(colors.red(fmt.Sprintf("The plan is incomplete: %s found before it failed.", count(p.total, "change"))) + "\n")
	case p.total == 0 && len(p.deferred) > 0:
		b.WriteString(colors.yellow("Nothing to change; "+count(len(p.deferred), "difference")+" not applied.") + "\n")
	case p.total == 0:
		b.WriteString(colors.green("Nothing to change.") + "\n")
	default:
		b.WriteString(colors.bold(count(p.total, "change")+" in total.") + "\n")
	}
	return b.String()
}
