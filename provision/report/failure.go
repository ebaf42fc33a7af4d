package report

import (
	"errors"
	"strings"

	"slipway.io/slipway/provision/host"
)

// tailLines is how many lines of a failed command's output are shown: enough
// for a kubeadm preflight error with its list, few enough to stay on a screen.
const tailLines = 12

// WithError returns the event with its Error set, and with the command and the
// last lines of output of the first *host.ExitError that err wraps.
func (e Event) WithError(err error) Event {
	if err == nil {
		return e
	}
	e.Error = err.Error()
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return e
	}
	e.Command = exit.Command
	// Programs print what went wrong to stderr; a few (apt-get, kubeadm
	// phases) use stdout.
	e.Output = tail(exit.Stderr)
	if e.Output == "" {
		e.Output = tail(exit.Stdout)
	}
	return e
}

func tail(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// unsaid returns the lines of a run's error that no failed phase said: the run
// joins the errors of its phases, and may have one of its own.
func unsaid(run string, phases []Event) string {
	var rest []string
	for _, line := range cleanLines(run) {
		said := false
		for _, e := range phases {
			for _, known := range cleanLines(e.Error) {
				// The run may name the host elsewhere in the line.
				said = said || strings.Contains(line, strings.TrimPrefix(known, e.Host+": "))
			}
		}
		if !said {
			rest = append(rest, line)
		}
	}
	return strings.Join(rest, "\n")
}
