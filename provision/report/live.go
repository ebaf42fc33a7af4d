package report

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// frameTime is the time between two frames: short enough for a clock with tenths,
// long enough for a slow terminal over SSH.
const frameTime = 100 * time.Millisecond

// startLive returns a sink for a terminal: finished phases scroll up above a board
// with the running phases of each host, their duration and what they wait for.
// Close draws the final state of every host.
//
// The view only writes. It does not change the mode of the terminal, so Ctrl-C
// works, and a crash leaves nothing to restore.
func startLive(w io.Writer, opts Options) SinkCloser {
	l := newLive(w, paletteFor(w), opts, func() (int, int) { return terminalSize(w) })
	go l.draw()
	return l
}

type live struct {
	verbose bool
	size    func() (columns, rows int)
	stop    chan struct{}
	once    sync.Once
	stopped chan struct{}

	mu      sync.Mutex // guards what Event fills
	board   *board
	format  *format
	pending strings.Builder // lines to scroll up
	last    string          // the last line, below the board

	screen screen // owned by draw
}

func newLive(w io.Writer, colors palette, opts Options, size func() (int, int)) *live {
	return &live{
		verbose: opts.Verbose, size: size, stop: make(chan struct{}), stopped: make(chan struct{}),
		board: newBoard(colors), format: newFormat(colors), screen: screen{w: w},
	}
}

// Event records e. The goroutine draw writes to the terminal, so that a slow
// terminal blocks no phase.
func (l *live) Event(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.board.event(e)
	text := l.format.event(e)
	switch e.Kind {
	case PhaseStarted, Waiting:
		// Only on the board.
	case Output, Change:
		if l.verbose {
			l.pending.WriteString(text)
		}
	case RunFinished:
		l.last += text
	default:
		l.pending.WriteString(text)
	}
}

// draw paints frames until Close.
func (l *live) draw() {
	defer close(l.stopped)
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			l.paint(time.Now(), true)
			return
		case <-ticker.C:
			l.paint(time.Now(), false)
		}
	}
}

func (l *live) paint(now time.Time, over bool) {
	columns, rows := l.size()
	l.mu.Lock()
	above := l.pending.String()
	l.pending.Reset()
	below := l.board.lines(now, columns, rows, over)
	if over && l.last != "" {
		below = append(below, strings.Split(strings.TrimSuffix(l.last, "\n"), "\n")...)
	}
	l.mu.Unlock()
	l.screen.paint(above, below, columns)
}

// Close draws the last frame.
func (l *live) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.stopped
	return l.screen.err
}

// screen is a terminal whose last lines are repainted.
type screen struct {
	w     io.Writer
	below []string // the current last lines
	err   error    // the first write error
}

// paint scrolls up the text above and replaces the lines below. One write that
// erases each line just before the new one avoids flicker.
func (s *screen) paint(above string, below []string, columns int) {
	var b strings.Builder
	// A terminal that became narrower has wrapped the lines.
	up := 0
	for _, line := range s.below {
		up += max(1, (ansi.StringWidth(line)+columns-1)/columns)
	}
	if up > 0 {
		b.WriteString("\r" + ansi.CursorUp(up))
	}
	if above != "" {
		// These lines may wrap: erase everything.
		b.WriteString(ansi.EraseScreenBelow + strings.ReplaceAll(above, "\n", "\r\n"))
	}
	for _, line := range below {
		b.WriteString(ansi.EraseLineRight + line + "\r\n")
	}
	b.WriteString(ansi.EraseScreenBelow)
	s.below = below
	if _, err := io.WriteString(s.w, b.String()); err != nil && s.err == nil {
		s.err = err
	}
}
