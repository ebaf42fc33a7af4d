package workflow

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/record"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/sources"
)

// Step is a phase on a host: everything that a phase can see and do.
type Step struct {
	// Host is the connection to the host. What changes the host through it is
	// journaled first, and in a plan only recorded. Nil on localhost.
	host.Host
	// Target is the host in the inventory, and its facts. Nil on localhost.
	Target *Host

	run     *Run
	phase   Phase
	turn    *turn // nil outside of a roll
	changes atomic.Int64
	leave   func() // lets the next host in, set before Do
}

// Cluster is the inventory.
func (s *Step) Cluster() *config.Cluster { return s.run.Cluster }

// Bundle holds the binaries and images to install; nil before OpenBundle.
func (s *Step) Bundle() *bundle.Bundle { return s.run.Bundle }

// OpenBundle opens the bundle of a Kubernetes version for these architectures, unless the
// run has a bundle.
func (s *Step) OpenBundle(ctx context.Context, version string, arches []string) error {
	if s.run.Bundle != nil {
		return nil
	}
	opened, err := s.run.OpenBundle(ctx, version, arches, s.Waiting)
	if err != nil {
		return err
	}
	s.Waiting("")
	s.run.Bundle = opened
	return nil
}

// Credentials has what the inventory does not have: those of the proxy and of registries.
func (s *Step) Credentials() sources.Credentials { return s.run.Credentials }

// Proxy is the proxy of the inventory, with its credentials.
func (s *Step) Proxy() sources.Proxy { return s.run.Credentials.Proxy(s.Cluster()) }

// Version is the Kubernetes version that the cluster has when the run ends: see
// Hosts.Version.
func (s *Step) Version() string { return s.Hosts().Version(s.Cluster()) }

// Upgrades returns the version of the kubelet of the host if this run upgrades it, and
// else an empty text. The answer stays the same during the run.
func (s *Step) Upgrades() (from string) {
	node := s.Hosts().State().Node(s.Target.Config.Name)
	if node == nil || !s.Hosts().Joined(s.Target) {
		return ""
	}
	have, err := version.ParseSemantic(node.Version)
	if err != nil {
		return ""
	}
	wanted, err := version.ParseSemantic(s.Version())
	if err != nil || !have.LessThan(wanted) {
		return ""
	}
	return node.Version
}

// Hosts are all hosts of the run. A run on some hosts may not have read the facts
// of the others.
func (s *Step) Hosts() *Hosts { return s.run.Hosts }

// Selected reports whether the run works on a host, and does not only read it.
func (s *Step) Selected(h *Host) bool {
	hosts := s.run.Selection.Hosts
	return len(hosts) == 0 || slices.Contains(hosts, h.Config.Name)
}

// Facts of the host that the step works on.
func (s *Step) Facts() *facts.Facts { return s.Target.Facts() }

// On returns the connection to another host, for a phase that needs something
// from there.
func (s *Step) On(h *Host) host.Host { return s.run.wrap(s, h) }

// WithoutJournal returns a connection to the host that does not write to the
// journal, for undoing what the journal lists. Changes are still counted, and in
// a plan only recorded.
func (s *Step) WithoutJournal() host.Host {
	if s.run.Plan {
		return s.Host
	}
	return record.New(s.Target.Conn, s)
}

// Kube is a client of the cluster's API server. A plan cannot change the cluster
// through it. Its changes are not counted: see Set, SetNode and Changed.
func (s *Step) Kube(ctx context.Context) (*kube.Client, error) { return s.run.kube(ctx) }

// Planning reports whether changes are only recorded. A phase asks only before it
// verifies the effect of its own change: in a plan, a Query answers from the state
// before that change. It succeeds, so host.ErrPlanned does not help.
func (s *Step) Planning() bool { return s.run.Plan }

// Planned reports whether the plan has recorded that it creates a path or starts a
// service on the host.
func (s *Step) Planned(name string) bool { return s.run.Plan && s.Target.plan.Has(name) }

// Changed counts and reports a change that did not go through Host, such as
// one made through the API server.
func (s *Step) Changed(format string, args ...any) { s.Record(fmt.Sprintf(format, args...), "") }

// Record is Changed with the diff of what changes, as package diff returns it. Only
// a plan reports diffs.
func (s *Step) Record(message, diff string) {
	s.changes.Add(1)
	if !s.run.Plan {
		diff = ""
	}
	s.emit(report.Event{Kind: report.Change, Message: message, Diff: diff})
}

// Waiting reports the last observation of a condition that the phase waits for.
func (s *Step) Waiting(observation string) { s.event(report.Waiting, observation) }

// Note shows a message to people: a warning, a hint.
func (s *Step) Note(format string, args ...any) { s.event(report.Note, fmt.Sprintf(format, args...)) }

// Deferred reports a difference between the inventory and the cluster that the run
// does not change.
func (s *Step) Deferred(format string, args ...any) {
	s.event(report.Deferred, fmt.Sprintf(format, args...))
}

// waitingFor begins a line with which a script says what it waits for.
const waitingFor = "slipway: waiting for "

// Output returns a writer for the output of a long command. Each line is an
// event: what a script waits for, as of Waiting, or output.
func (s *Step) Output() io.Writer {
	return &lines{emit: func(l string) {
		if what, ok := strings.CutPrefix(l, waitingFor); ok {
			s.Waiting("waiting for " + what)
			return
		}
		s.event(report.Output, l)
	}}
}

func (s *Step) event(kind report.Kind, message string) {
	s.emit(report.Event{Kind: kind, Message: message})
}

func (s *Step) emit(e report.Event) {
	e.Host, e.Phase = s.hostName(), s.phase.Name
	s.run.emit(e)
}

func (s *Step) hostName() string { return s.Target.name() }

// lines splits what is written into lines.
type lines struct {
	mu   sync.Mutex
	part []byte
	emit func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.emit(string(bytes.TrimRight(l.part[:i], "\r")))
		l.part = l.part[i+1:]
	}
}

// since returns the seconds since start, to the millisecond.
func since(start time.Time) float64 { return float64(time.Since(start).Milliseconds()) / 1000 }
