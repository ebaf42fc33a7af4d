package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
)

//go:embed preflight.html.tmpl
var preflightText string

// PreflightHTML writes a report as a self-contained page: findings with fixes to
// copy, a map of checks and hosts, and a matrix of host pairs.
func PreflightHTML(w io.Writer, r *check.Report) error {
	page, err := template.New("preflight").Parse(preflightText)
	if err != nil {
		return fmt.Errorf("parse the report template: %w", err)
	}
	if err := page.Execute(w, newPreflightPage(r)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// preflightPage is the data of the template.
type preflightPage struct {
	Cluster, Started, Summary string
	Status                    check.Severity
	Hosts                     []string
	Map                       []mapRow
	Problems                  []problem
	Matrix                    []matrixRow
	Skipped                   []check.Result
}

// mapRow is a check with its worst finding on each host. Overall has findings
// without a host.
type mapRow struct {
	Name, Title string
	Overall     mapCell
	Cells       []mapCell
}

type mapCell struct {
	Status check.Severity
	Tip    string
}

// Sign returns a character for readers who cannot distinguish the colours.
func (c mapCell) Sign() string {
	switch c.Status {
	case check.Error:
		return "E"
	case check.Unknown:
		return "?"
	case check.Warning:
		return "W"
	case check.Info:
		return "i"
	case check.OK:
		return "·"
	default:
		return ""
	}
}

// problem is a check with findings.
type problem struct {
	check.Result
	Groups []problemGroup
}

type problemGroup struct {
	check.Finding
	Hosts string
}

// matrixRow has the links from one host.
type matrixRow struct {
	From  string
	Cells []matrixCell
}

type matrixCell struct {
	Class, Text, Tip string
}

func newPreflightPage(r *check.Report) preflightPage {
	p := preflightPage{
		Cluster: r.Cluster, Started: r.Started.Format(time.DateTime), Summary: summary(r), Status: r.Status(), Hosts: r.Hosts,
	}
	for _, c := range r.Checks {
		if c.Status == check.Skipped {
			p.Skipped = append(p.Skipped, c)
			continue
		}
		p.Map = append(p.Map, newMapRow(c, r.Hosts))
		if len(c.Findings) > 0 {
			p.Problems = append(p.Problems, newProblem(c))
		}
	}
	slices.SortStableFunc(p.Problems, func(a, b problem) int { return check.Worse(a.Status, b.Status) })
	if r.Matrix != nil && len(r.Hosts) > 1 {
		for _, from := range r.Hosts {
			row := matrixRow{From: from}
			for _, to := range r.Hosts {
				row.Cells = append(row.Cells, newMatrixCell(r.Matrix, from, to))
			}
			p.Matrix = append(p.Matrix, row)
		}
	}
	return p
}

func newMapRow(c check.Result, hosts []string) mapRow {
	row := mapRow{Name: c.Name, Title: c.Title, Overall: mapCell{Status: check.OK, Tip: "no findings"}}
	for _, host := range hosts {
		row.Cells = append(row.Cells, cellOf(c, host))
	}
	if slices.ContainsFunc(c.Findings, func(f check.Finding) bool { return f.Host == "" }) {
		row.Overall = cellOf(c, "")
	} else {
		row.Overall.Status = ""
	}
	return row
}

// cellOf returns the worst finding of a check on a host.
func cellOf(c check.Result, host string) mapCell {
	cell := mapCell{Status: check.OK, Tip: "no findings"}
	var evidence []string
	for _, f := range c.Findings {
		if f.Host != host {
			continue
		}
		severity := f.Severity
		if f.Ignored != "" {
			severity = check.Info
		}
		if check.Worse(severity, cell.Status) < 0 {
			cell.Status = severity
		}
		evidence = append(evidence, f.Evidence)
	}
	if len(evidence) > 0 {
		cell.Tip = strings.Join(evidence, "; ")
	}
	return cell
}

func newProblem(c check.Result) problem {
	p := problem{Result: c}
	for _, g := range grouped(c.Findings) {
		p.Groups = append(p.Groups, problemGroup{Finding: g.first, Hosts: strings.Join(ranges(g.hosts), ", ")})
	}
	return p
}

func newMatrixCell(m *netprobe.Matrix, from, to string) matrixCell {
	if from == to {
		return matrixCell{Class: "self"}
	}
	c := matrixCell{Class: "ok", Text: cell(m, from, to)}
	var lines []string
	for _, l := range m.Links {
		if l.From == from && l.To == to {
			lines = append(lines, fmt.Sprintf("%s %d %s", l.Protocol, l.Port, l.Status))
			if l.Status != netprobe.Reached && l.Status != netprobe.Occupied {
				c.Class = "error"
			}
		}
	}
	if len(lines) == 0 {
		c.Class = "unknown"
	}
	for _, path := range m.Paths {
		if path.From != from || path.To != to {
			continue
		}
		if path.RoundTrip > 0 {
			lines = append(lines, "round trip "+path.RoundTrip.Round(10*time.Microsecond).String())
			if c.Class == "ok" {
				c.Text = path.RoundTrip.Round(100 * time.Microsecond).String()
			}
		}
		if path.MTU > 0 {
			lines = append(lines, fmt.Sprintf("%d of %d bytes pass", path.MTU, path.Wanted))
		}
	}
	c.Tip = strings.Join(lines, "; ")
	return c
}
