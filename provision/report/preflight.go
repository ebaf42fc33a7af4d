package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
)

// Preflight writes a report for people: the findings by check, with hosts that have
// the same finding on one line, and a summary. With verbose, it also lists checks
// without findings and skipped checks.
func Preflight(w io.Writer, r *check.Report, verbose bool) error {
	var b strings.Builder
	colors := paletteFor(w)
	var quiet, unknown []string
	for _, c := range r.Checks {
		if here := withoutResult(c); len(here) > 0 {
			unknown = append(unknown, c.Name)
			c.Findings = slices.DeleteFunc(slices.Clone(c.Findings), func(f check.Finding) bool { return f.Evidence == check.HostUnreadable })
			if len(c.Findings) == 0 {
				continue
			}
		}
		switch {
		case len(c.Findings) > 0:
			writeCheck(&b, colors, c)
		case c.Status == check.Skipped && verbose:
			quiet = append(quiet, fmt.Sprintf("%s  %s: %s", severityWord(colors, check.Skipped), clean(c.Name), clean(c.Reason)))
		case verbose:
			quiet = append(quiet, fmt.Sprintf("%s  %s: %s", severityWord(colors, check.OK), clean(c.Name), clean(c.Title)))
		}
	}
	if len(unknown) > 0 {
		fmt.Fprintf(&b, "%s  %s no result on %s\n         fix: see the connection checks\n\n",
			severityWord(colors, check.Unknown), plural(len(unknown), "1 check has", fmt.Sprintf("%d checks have", len(unknown))), clean(strings.Join(ranges(hostsWithoutResult(r)), ", ")))
	}
	for _, line := range quiet {
		b.WriteString(line + "\n")
	}
	if len(quiet) > 0 {
		b.WriteString("\n")
	}
	if r.Matrix != nil && (verbose || hasUnreachable(r.Matrix)) {
		writeMatrix(&b, r)
	}
	b.WriteString(summary(r) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// withoutResult returns the hosts on which a check could not run.
func withoutResult(c check.Result) []string {
	var hosts []string
	for _, f := range c.Findings {
		if f.Evidence == check.HostUnreadable && f.Severity == check.Unknown {
			hosts = append(hosts, f.Host)
		}
	}
	return hosts
}

// hostsWithoutResult returns the hosts on which any check could not run.
func hostsWithoutResult(r *check.Report) []string {
	var hosts []string
	for _, c := range r.Checks {
		for _, host := range withoutResult(c) {
			if !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
}

// summary returns the report in one line.
func summary(r *check.Report) string {
	counts := []string{fmt.Sprintf("%d checks", len(r.Checks)-r.Count(check.Skipped))}
	if n := len(r.Hosts); n > 0 {
		counts[0] += fmt.Sprintf(" of %d %s", n, plural(n, "host", "hosts"))
	}
	for _, s := range []check.Severity{check.Error, check.Unknown, check.Warning, check.Info, check.OK, check.Skipped} {
		if n := r.Count(s); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
	return fmt.Sprintf("%s, in %s", strings.Join(counts, ", "), took)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// severityWord returns a padded severity in its colour.
func severityWord(colors palette, s check.Severity) string {
	word := fmt.Sprintf("%-7s", s)
	switch s {
	case check.Error:
		return colors.red(word)
	case check.Warning, check.Unknown:
		return colors.yellow(word)
	case check.OK, check.Info:
		return colors.green(word)
	default:
		return colors.dim(word)
	}
}

func writeCheck(b *strings.Builder, colors palette, c check.Result) {
	fmt.Fprintf(b, "%s  %s: %s\n", severityWord(colors, worst(c)), clean(c.Name), clean(c.Title))
	for _, g := range grouped(c.Findings) {
		where := ""
		if len(g.hosts) > 0 {
			where = clean(strings.Join(ranges(g.hosts), ", ")) + ": "
		}
		mark := ""
		if g.first.Ignored == "" && g.first.Severity != c.Status {
			mark = " (" + string(g.first.Severity) + ")"
		}
		fmt.Fprintf(b, "         %s%s%s\n", where, clean(g.first.Evidence), mark)
		if g.first.Ignored != "" {
			fmt.Fprintf(b, "         %s\n", colors.dim("ignored: "+clean(g.first.Ignored)))
			continue
		}
		fmt.Fprintf(b, "         fix: %s\n", clean(g.first.Fix))
	}
	fmt.Fprintf(b, "         %s\n\n", colors.dim("why: "+clean(c.Why)))
}

// worst returns the status of a check, or info if all its findings are ignored.
func worst(c check.Result) check.Severity {
	if c.Status == check.OK {
		return check.Info
	}
	return c.Status
}

// group is a finding that several hosts share.
type group struct {
	first check.Finding
	hosts []string
}

func grouped(findings []check.Finding) []group {
	var groups []group
	for _, f := range findings {
		i := slices.IndexFunc(groups, func(g group) bool {
			return g.first.Severity == f.Severity && g.first.Evidence == f.Evidence && g.first.Fix == f.Fix && g.first.Ignored == f.Ignored
		})
		if i < 0 {
			groups = append(groups, group{first: f})
			i = len(groups) - 1
		}
		if f.Host != "" && !slices.Contains(groups[i].hosts, f.Host) {
			groups[i].hosts = append(groups[i].hosts, f.Host)
		}
	}
	return groups
}

// ranges shortens consecutive names: w-1, w-2, w-3 become w-1..w-3.
func ranges(hosts []string) []string {
	var all []string
	for i := 0; i < len(hosts); {
		end := i
		for end+1 < len(hosts) && follows(hosts[end], hosts[end+1]) {
			end++
		}
		if end-i >= 2 {
			all = append(all, hosts[i]+".."+hosts[end])
		} else {
			all = append(all, hosts[i:end+1]...)
		}
		i = end + 1
	}
	return all
}

// follows returns whether b is a with its final number incremented.
func follows(a, b string) bool {
	stem := strings.TrimRight(a, "0123456789")
	var n, m int
	if !strings.HasPrefix(b, stem) || len(stem) == len(a) {
		return false
	}
	if _, err := fmt.Sscanf(a[len(stem):], "%d", &n); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(b[len(stem):], "%d", &m); err != nil || strings.TrimRight(b, "0123456789") != stem {
		return false
	}
	return m == n+1
}

func hasUnreachable(m *netprobe.Matrix) bool {
	return slices.ContainsFunc(m.Links, func(l netprobe.Link) bool { return l.Status != netprobe.Reached && l.Status != netprobe.Occupied })
}

// maxMatrix is the largest number of hosts for which the matrix is written.
const maxMatrix = 20

// writeMatrix writes for each pair of hosts the number of unreachable ports, or a
// dot.
func writeMatrix(b *strings.Builder, r *check.Report) {
	if len(r.Hosts) > maxMatrix || len(r.Hosts) < 2 {
		return
	}
	width := 2
	for _, h := range r.Hosts {
		width = max(width, len(h))
	}
	fmt.Fprintf(b, "unreachable ports, from the host in the row to the host in the column:\n  %*s", width, "")
	for _, to := range r.Hosts {
		fmt.Fprintf(b, "  %*s", width, clean(to))
	}
	b.WriteString("\n")
	for _, from := range r.Hosts {
		fmt.Fprintf(b, "  %-*s", width, clean(from))
		for _, to := range r.Hosts {
			fmt.Fprintf(b, "  %*s", width, cell(r.Matrix, from, to))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// cell returns the number of ports of to that are unreachable from from.
func cell(m *netprobe.Matrix, from, to string) string {
	if from == to {
		return ""
	}
	bad, tried := 0, 0
	for _, l := range m.Links {
		if l.From == from && l.To == to {
			tried++
			if l.Status != netprobe.Reached && l.Status != netprobe.Occupied {
				bad++
			}
		}
	}
	switch {
	case tried == 0:
		return "?"
	case bad == 0:
		return "."
	default:
		return fmt.Sprint(bad)
	}
}
