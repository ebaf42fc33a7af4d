package report

import (
	"io"
	"os"
	"sync"
)

// Options say what text for people shows.
type Options struct {
	// Verbose also shows each change and each line that a long step prints.
	Verbose bool
}

// SinkCloser is a Sink that has something to finish when the run is over.
type SinkCloser interface {
	Sink
	// Close writes what is outstanding; its error is the first one that
	// writing met. No event may follow.
	Close() error
}

// Text returns Live where w is a terminal that can move its cursor, and Lines
// elsewhere.
func Text(w io.Writer, opts Options) SinkCloser {
	if kind := os.Getenv("TERM"); IsTerminal(w) && kind != "" && kind != "dumb" {
		return Live(w, opts)
	}
	return Lines(w, opts)
}

// Lines returns a sink that writes one line an event, for logs and pipes: time
// since the start, host, phase, what happened. A failure takes more lines: the
// command, its last output, what to do next. It is written once; a RunFinished
// that repeats it shows counts only.
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
		// One failure skips many: the last line counts them.
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
