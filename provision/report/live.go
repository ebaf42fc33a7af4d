package report

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// frameTime is how often the live view is drawn: often enough for a clock with
// tenths to run smoothly, rarely enough for a slow terminal over SSH.
const frameTime = 100 * time.Millisecond

// Live returns a sink for a terminal: lines of what has finished scroll up,
// and below them stands what each host is doing, for how long, and what it
// waits for. Close draws the last state of every host and leaves it there.
//
// It only writes: the terminal keeps its mode, its cursor and its input, so
// Ctrl-C works as ever, and nothing is to be restored when the program dies.
func Live(w io.Writer, opts Options) SinkCloser {
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
	pending strings.Builder // finished lines that are not on the terminal yet
	last    string          // the line that ends the run, below the board

	screen screen // of the goroutine that draws
}

func newLive(w io.Writer, colors palette, opts Options, size func() (int, int)) *live {
	return &live{
		verbose: opts.Verbose, size: size, stop: make(chan struct{}), stopped: make(chan struct{}),
		board: newBoard(colors), format: newFormat(colors), screen: screen{w: w},
	}
}

// Event takes note of e. The terminal is written to elsewhere, so that a slow
// one delays nobody.
func (l *live) Event(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.board.event(e)
	text := l.format.event(e)
	switch e.Kind {
	case PhaseStarted, Waiting:
		// The board shows these.
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

// draw paints a frame at each tick until Close.
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

// screen is a terminal whose last lines are painted over and over.
type screen struct {
	w     io.Writer
	below []string // what stands there now
	err   error    // the first that writing met
}

// paint replaces the lines below by new ones, after the text above. It is one
// write, and each line is erased just before it is written, so that nothing
// flickers.
func (s *screen) paint(above string, below []string, columns int) {
	var b strings.Builder
	// A terminal that became narrower has wrapped what stands there.
	up := 0
	for _, line := range s.below {
		up += max(1, (ansi.StringWidth(line)+columns-1)/columns)
	}
	if up > 0 {
		b.WriteString("\r" + ansi.CursorUp(up))
	}
	if above != "" {
		// Its lines may wrap, so all is erased here.
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
