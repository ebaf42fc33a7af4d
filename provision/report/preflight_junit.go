package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"slipway.io/slipway/provision/report/check"
)

// The elements of JUnit XML that CI systems read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string    `xml:"name,attr"`
		ClassName string    `xml:"classname,attr"`
		Failure   *junitWhy `xml:"failure"`
		Error     *junitWhy `xml:"error"`
		Skipped   *junitWhy `xml:"skipped"`
		Out       string    `xml:"system-out,omitempty"`
	}
	junitWhy struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// PreflightJUnit writes a report as JUnit XML: a suite for each kind of check, a
// case for each check. A check with errors is a failure, a check without a result
// an error. Warnings are in the output of a passed case.
func PreflightJUnit(w io.Writer, r *check.Report) error {
	all := junitSuites{Name: "slipway preflight", Time: fmt.Sprintf("%.3f", r.Seconds)}
	for _, kind := range []check.Kind{check.Host, check.AllHosts, check.Pair, check.Local} {
		suite := junitSuite{Name: string(kind)}
		for _, c := range r.Checks {
			if c.Kind == kind {
				suite.add(c)
			}
		}
		if suite.Tests > 0 {
			all.Suites = append(all.Suites, suite)
		}
	}
	return all.write(w)
}

func (all junitSuites) write(w io.Writer) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	out := xml.NewEncoder(w)
	out.Indent("", "  ")
	if err := out.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c check.Result) {
	test := junitCase{Name: c.Name, ClassName: "slipway.preflight." + string(c.Kind)}
	var lines []string
	for _, f := range c.Findings {
		lines = append(lines, clean(junitLine(f)))
	}
	why := &junitWhy{Message: clean(c.Title), Text: strings.Join(lines, "\n")}
	s.Tests++
	switch c.Status {
	case check.Error:
		test.Failure = why
		s.Failures++
	case check.Unknown:
		test.Error = why
		s.Errors++
	case check.Skipped:
		test.Skipped = &junitWhy{Message: clean(c.Reason)}
		s.Skipped++
	default:
		test.Out = why.Text
	}
	s.Cases = append(s.Cases, test)
}

func junitLine(f check.Finding) string {
	line := string(f.Severity) + ": " + f.Evidence + "; fix: " + f.Fix
	if f.Host != "" {
		line = f.Host + ": " + line
	}
	if f.Ignored != "" {
		line += " (ignored: " + f.Ignored + ")"
	}
	return line
}
