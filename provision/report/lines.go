package report

import (
	"io"
	"os"
	"sync"
)

// Options of the output for people.
type Options struct {
	// Verbose adds each change and each line of output of long steps.
	Verbose bool
}

// SinkCloser is a Sink to close after the run.
type SinkCloser interface {
	Sink
	// Close flushes the output and returns the first write error. No event may
	// follow.
	Close() error
}

// Text returns a live view if w is a terminal with cursor control, else Lines.
func Text(w io.Writer, opts Options) SinkCloser {
	if kind := os.Getenv("TERM"); IsTerminal(w) && kind != "" && kind != "dumb" {
		return startLive(w, opts)
	}
	return Lines(w, opts)
}

// Lines returns a sink that writes a line for each event, for logs and pipes: time
// since the start, host, phase, event. A failure adds the command, its last output
// and the next step. A RunFinished does not repeat the failures of phases.
func Lines(w io.Writer, opts Options) SinkCloser {
	return &lines{w: w, format: newFormat(paletteFor(w)), verbose: opts.Verbose}
}

type lines struct {
	verbose bool

	mu     sync.Mutex
	w      io.Writer
	format *format
	err    error
}

func (l *lines) Event(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.format.event(e)
	if text == "" || !l.shows(e) {
		return
	}
	if _, err := io.WriteString(l.w, text); err != nil && l.err == nil {
		l.err = err
	}
}

func (l *lines) shows(e Event) bool {
	switch e.Kind {
	case Output:
		return l.verbose
	case Change:
		return l.verbose || e.Run == planRun
	case PhaseSkipped:
		// One failure skips many phases: the last line counts them.
		return l.verbose
	default:
		return true
	}
}

func (l *lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
