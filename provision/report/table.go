package report

import (
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Status of a row in a Table.
type Status string

// The statuses. The zero value is a row without status.
const (
	StatusOK      Status = "ok"
	StatusWarning Status = "warning"
	// StatusDegraded: it works, with less redundancy than it should have.
	StatusDegraded Status = "degraded"
	StatusFailed   Status = "failed"
	StatusSkipped  Status = "skipped"
)

// Row is a line of a Table.
type Row struct {
	Status Status
	// Cells are the texts of the columns, which may have several lines.
	Cells []string
}

// columnGap separates the columns.
const columnGap = "  "

// narrowest is the smallest width of a wrapped last column.
const narrowest = 20

// Table writes rows as aligned columns under a header. If any row has a status, the
// first column shows it, without a header. On a terminal, the last column wraps at
// the edge.
func Table(w io.Writer, header []string, rows []Row) error {
	colors := paletteFor(w)
	table := [][][]string{split(statusCells(header, "", rows))}
	for _, r := range rows {
		table = append(table, split(statusCells(r.Cells, string(r.Status), rows)))
	}
	widths := columnWidths(table)
	if IsTerminal(w) {
		wrapLast(table, widths, width(w))
	}
	var b strings.Builder
	for i, cells := range table {
		style := colors.dim
		if i > 0 {
			style = nil
		}
		writeRow(&b, cells, widths, style, i > 0 && statusColumn(rows), colors)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func statusColumn(rows []Row) bool {
	for _, r := range rows {
		if r.Status != "" {
			return true
		}
	}
	return false
}

// statusCells prepends the status if the table has a status column.
func statusCells(cells []string, status string, rows []Row) []string {
	if !statusColumn(rows) {
		return cells
	}
	return append([]string{status}, cells...)
}

// split returns the lines of each cell, at least one.
func split(cells []string) [][]string {
	all := make([][]string, len(cells))
	for i, cell := range cells {
		all[i] = cleanLines(cell)
		if len(all[i]) == 0 {
			all[i] = []string{""}
		}
	}
	return all
}

func columnWidths(table [][][]string) []int {
	var widths []int
	for _, cells := range table {
		for i, lines := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			for _, line := range lines {
				widths[i] = max(widths[i], ansi.StringWidth(line))
			}
		}
	}
	return widths
}

// wrapLast wraps the last column to fit the table, unless the other columns leave
// too little room.
func wrapLast(table [][][]string, widths []int, total int) {
	last := len(widths) - 1
	room := total - 1
	for _, width := range widths[:max(last, 0)] {
		room -= width + len(columnGap)
	}
	if last < 0 || widths[last] <= room || room < narrowest {
		return
	}
	for _, cells := range table {
		if len(cells) > last {
			cells[last] = strings.Split(ansi.Wrap(strings.Join(cells[last], "\n"), room, ""), "\n")
		}
	}
}

func writeRow(b *strings.Builder, cells [][]string, widths []int, style func(string) string, status bool, colors palette) {
	height := 0
	for _, lines := range cells {
		height = max(height, len(lines))
	}
	for n := range height {
		var line strings.Builder
		for i, lines := range cells {
			text := ""
			if n < len(lines) {
				text = lines[n]
			}
			padded := text
			if i < len(cells)-1 {
				padded = pad(text, widths[i]) + columnGap
			}
			switch {
			case style != nil:
				padded = style(padded)
			case i == 0 && status:
				padded = statusStyle(colors, Status(text))(padded)
			}
			line.WriteString(padded)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

func statusStyle(colors palette, status Status) func(string) string {
	switch status {
	case StatusOK:
		return colors.green
	case StatusWarning, StatusDegraded:
		return colors.yellow
	case StatusFailed:
		return colors.red
	default:
		return colors.dim
	}
}

// width returns the number of columns of the output.
func width(w io.Writer) int {
	columns, _ := terminalSize(w)
	return columns
}
