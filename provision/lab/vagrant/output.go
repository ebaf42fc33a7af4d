package vagrant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"slipway.io/slipway/provision/localhost"
)

// message is a line of Vagrant's machine-readable output:
// https://developer.hashicorp.com/vagrant/docs/cli/machine-readable
type message struct {
	// Target is the machine, or empty.
	Target string
	Type   string
	Data   []string
}

// unescape decodes commas and line ends in data.
var unescape = strings.NewReplacer("%!(VAGRANT_COMMA)", ",", `\n`, "\n", `\r`, "\r")

// parse parses a line of the form "timestamp,target,type,data...".
func parse(line string) (message, bool) {
	fields := strings.Split(strings.TrimRight(line, "\r\n"), ",")
	if len(fields) < 3 {
		return message{}, false
	}
	m := message{Target: fields[1], Type: fields[2]}
	for _, data := range fields[3:] {
		m.Data = append(m.Data, unescape.Replace(data))
	}
	return m, true
}

// noise matches details of virtual hardware.
var noise = regexp.MustCompile(`^\s*--\s`)

// text is the first line of a message for people; empty for other messages.
func (m message) text() string {
	if m.Type != "ui" || len(m.Data) < 2 {
		return ""
	}
	text := strings.TrimSpace(m.Data[1])
	text = strings.TrimPrefix(text, "==> ")
	text = strings.TrimSpace(strings.TrimPrefix(text, m.Target+":"))
	text, _, _ = strings.Cut(text, "\n")
	if noise.MatchString(text) {
		return ""
	}
	return text
}

// run runs Vagrant in the lab's directory and returns its messages. If verbose, it logs
// those for people as they come.
func (s *session) run(ctx context.Context, verbose bool, args ...string) ([]message, error) {
	var all []message
	lines := &lineWriter{line: func(line string) {
		m, ok := parse(line)
		if !ok {
			return
		}
		all = append(all, m)
		if text := m.text(); verbose && text != "" {
			s.Logf(m.Target, "%s", text)
		}
	}}
	_, err := localhost.Command{
		Argv: append([]string{s.program, "--machine-readable"}, args...),
		Dir:  s.dir,
		// Without checkpoint, Vagrant does not look for new versions at each call.
		Env:    []string{"VAGRANT_CHECKPOINT_DISABLE=1", "VAGRANT_DEFAULT_PROVIDER=" + s.settings.Provider},
		Output: lines,
	}.Run(ctx)
	lines.flush()
	if err == nil {
		return all, nil
	}
	if ctx.Err() != nil {
		return all, context.Cause(ctx)
	}
	if reason := errorExit(all); reason != "" {
		err = errors.New(reason)
	}
	return all, fmt.Errorf("vagrant %s: %w", args[0], err)
}

// errorExit is the error that Vagrant reports; empty if there is none.
func errorExit(all []message) string {
	for _, m := range all {
		if m.Type == "error-exit" && len(m.Data) > 1 {
			return strings.TrimSpace(m.Data[1])
		}
	}
	return ""
}

// lineWriter splits its input into lines. Standard output and standard error do not
// mix within a line.
type lineWriter struct {
	line    func(string)
	pending bytes.Buffer
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.pending.Write(p)
	for {
		line, err := w.pending.ReadString('\n')
		if err != nil {
			w.pending.WriteString(line)
			return len(p), nil
		}
		w.line(line)
	}
}

func (w *lineWriter) flush() {
	if w.pending.Len() > 0 {
		w.line(w.pending.String())
		w.pending.Reset()
	}
}
