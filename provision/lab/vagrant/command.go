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

// told is a line of Vagrant's machine-readable output:
// https://developer.hashicorp.com/vagrant/docs/cli/machine-readable
type told struct {
	// Target is the machine that the line is about; empty for none.
	Target string
	Type   string
	Data   []string
}

// unescape undoes what Vagrant does to commas and line ends in data.
var unescape = strings.NewReplacer("%!(VAGRANT_COMMA)", ",", `\n`, "\n", `\r`, "\r")

// parse reads one line; others than "timestamp,target,type,data..." are not
// Vagrant's own.
func parse(line string) (told, bool) {
	fields := strings.Split(strings.TrimRight(line, "\r\n"), ",")
	if len(fields) < 3 {
		return told{}, false
	}
	t := told{Target: fields[1], Type: fields[2]}
	for _, data := range fields[3:] {
		t.Data = append(t.Data, unescape.Replace(data))
	}
	return t, true
}

// noise is what a provider says of a machine's virtual hardware, a line each.
var noise = regexp.MustCompile(`^\s*--\s`)

// news is what a line says to a person, in a line; empty for nothing.
func (t told) news() string {
	if t.Type != "ui" || len(t.Data) < 2 {
		return ""
	}
	text := strings.TrimSpace(t.Data[1])
	text = strings.TrimPrefix(text, "==> ")
	text = strings.TrimSpace(strings.TrimPrefix(text, t.Target+":"))
	text, _, _ = strings.Cut(text, "\n")
	if noise.MatchString(text) {
		return ""
	}
	return text
}

// run runs Vagrant in the lab's folder and gives what it told. What it tells
// people is passed on as it comes, if aloud.
func (s *session) run(ctx context.Context, aloud bool, args ...string) ([]told, error) {
	var all []told
	listen := func(line string) {
		t, ok := parse(line)
		if !ok {
			return
		}
		all = append(all, t)
		if text := t.news(); aloud && text != "" {
			s.Say(t.Target, "%s", text)
		}
	}
	lines := &lineWriter{line: listen}
	_, err := localhost.Command{
		Argv: append([]string{s.program, "--machine-readable"}, args...),
		Dir:  s.dir,
		// It asks its maker's server for news at every call otherwise.
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
	if why := reason(all); why != "" {
		err = errors.New(why)
	}
	return all, fmt.Errorf("vagrant %s: %w", args[0], err)
}

// reason is what Vagrant gave as the error; empty if it gave none.
func reason(all []told) string {
	for _, t := range all {
		if t.Type == "error-exit" && len(t.Data) > 1 {
			return strings.TrimSpace(t.Data[1])
		}
	}
	return ""
}

// lineWriter cuts what is written to it into lines. Vagrant writes its two
// outputs by turns, whole lines each.
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
