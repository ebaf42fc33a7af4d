package workflow

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/record"
	"slipway.io/slipway/provision/report"
)

// Step is a phase at work on a host: all that a phase may see and do.
type Step struct {
	// Host is the machine as the run hands it out: a plan records what is
	// done to it, an apply journals it. Nil on the installer.
	host.Host
	// Target is the inventory's side of it; nil on the installer.
	Target *Host

	run     *Run
	phase   Phase
	changes atomic.Int64
}

// Cluster is the inventory.
func (s *Step) Cluster() *config.Cluster { return s.run.Cluster }

// Bundle is where binaries and images come from.
func (s *Step) Bundle() *bundle.Bundle { return s.run.Bundle }

// Hosts is all machines.
func (s *Step) Hosts() *Hosts { return s.run.Hosts }

// Facts of the machine that the step works on.
func (s *Step) Facts() *facts.Facts { return s.Target.Facts() }

// On is another machine, for a phase that reads there what it needs here.
func (s *Step) On(m *Host) host.Host { return s.run.wrap(s, m) }

// WithoutJournal returns the step's host without its journal, to undo what the
// journal holds. Changes are counted, and in a plan only recorded, all the same.
func (s *Step) WithoutJournal() host.Host {
	if s.run.Plan {
		return s.Host
	}
	return record.New(s.Target.Conn, s)
}

// Lock takes the machine's lock until the run ends. A plan takes none.
func (s *Step) Lock(ctx context.Context) error { return s.run.lock(ctx, s.Target) }

// Kube is a client of the cluster's API server, through the first control
// plane, for reading. What changes the cluster goes through Apply and SetNode.
func (s *Step) Kube(ctx context.Context) (*kube.Client, error) { return s.run.kube(ctx, s) }

// Planning says whether changes are only recorded. It is for the places that
// do not go through Host: the installer's own files.
func (s *Step) Planning() bool { return s.run.Plan }

// Changed counts and reports a change that did not go through Host, such as
// one made through the API server.
func (s *Step) Changed(format string, args ...any) {
	s.changes.Add(1)
	s.event(report.Change, fmt.Sprintf(format, args...))
}

// Waiting reports the last observation of what is waited for.
func (s *Step) Waiting(observation string) { s.event(report.Waiting, observation) }

// Note tells people something: a warning, a hint.
func (s *Step) Note(format string, args ...any) { s.event(report.Note, fmt.Sprintf(format, args...)) }

// Output is where a long command's output goes, a line an event.
func (s *Step) Output() io.Writer { return &lines{emit: func(l string) { s.event(report.Output, l) }} }

func (s *Step) event(kind report.Kind, message string) {
	s.run.emit(report.Event{Kind: kind, Host: s.hostName(), Phase: s.phase.Name, Message: message})
}

func (s *Step) hostName() string {
	if s.Target == nil {
		return ""
	}
	return s.Target.Config.Name
}

// lines cuts what is written into lines.
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

// since is the time that passed, in seconds with milliseconds.
func since(start time.Time) float64 { return float64(time.Since(start).Milliseconds()) / 1000 }
