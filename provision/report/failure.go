package report

import (
	"errors"
	"strings"

	"slipway.io/slipway/provision/host"
)

// tailLines is the number of lines to show of a failed command's output: enough
// for the list of a kubeadm preflight error, few enough for one screen.
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
	// A few programs (apt-get, kubeadm phases) print errors to stdout.
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

// ownError returns the lines of a run's error that are not in the errors of its
// phases.
func ownError(run string, phases []Event) string {
	var rest []string
	for _, line := range cleanLines(run) {
		known := false
		for _, e := range phases {
			for _, text := range cleanLines(e.Error) {
				// The run may put the host elsewhere in the line.
				known = known || strings.Contains(line, strings.TrimPrefix(text, e.Host+": "))
			}
		}
		if !known {
			rest = append(rest, line)
		}
	}
	return strings.Join(rest, "\n")
}
