package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// defaultWidth and defaultHeight apply to output that is not a terminal of known
// size.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// palette styles text; the zero palette leaves it plain.
type palette struct{ on bool }

// paletteFor follows https://no-color.org and https://bixense.com/clicolors:
// NO_COLOR wins, then CLICOLOR_FORCE, then whether w is a terminal with colours.
func paletteFor(w io.Writer) palette {
	if os.Getenv("NO_COLOR") != "" {
		return palette{}
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return palette{on: true}
	}
	kind := os.Getenv("TERM")
	return palette{on: IsTerminal(w) && kind != "" && kind != "dumb"}
}

func (p palette) styled(s string, style ansi.Style) string {
	if !p.on || s == "" {
		return s
	}
	return style.Styled(s)
}

func (p palette) green(s string) string {
	return p.styled(s, ansi.NewStyle().ForegroundColor(ansi.Green))
}

func (p palette) yellow(s string) string {
	return p.styled(s, ansi.NewStyle().ForegroundColor(ansi.Yellow))
}

func (p palette) red(s string) string {
	return p.styled(s, ansi.NewStyle().Bold().ForegroundColor(ansi.Red))
}

func (p palette) cyan(s string) string {
	return p.styled(s, ansi.NewStyle().ForegroundColor(ansi.Cyan))
}

func (p palette) bold(s string) string { return p.styled(s, ansi.NewStyle().Bold()) }
func (p palette) dim(s string) string  { return p.styled(s, ansi.NewStyle().Faint()) }

// IsTerminal returns whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalSize returns the columns and rows of w.
func terminalSize(w io.Writer) (columns, rows int) {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return defaultWidth, defaultHeight
}

// clean returns one line of text without control characters. Output of a host may
// contain escape sequences that move the cursor or set the terminal's title.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, ansi.Strip(s))
	return strings.TrimRight(s, " ")
}

// cleanLines is clean for each line that is not empty.
func cleanLines(s string) []string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = clean(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// pad appends spaces up to width columns.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// fit pads s, or cuts it, to exactly width columns.
func fit(s string, width int) string {
	return pad(ansi.Truncate(s, width, "…"), width)
}

// duration formats d as 0.4s, 12.3s, 2m05s or 1h02m.
func duration(d time.Duration) string {
	// Round first: 59.96 s is 1m00s, not 60.0s.
	switch d = max(d, 0); {
	case d.Round(100*time.Millisecond) < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d.Round(time.Second) < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// count returns a number with its noun: 1 change, 2 changes.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
