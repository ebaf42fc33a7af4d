package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"slipway.io/slipway/provision/host"
)

//go:embed event.schema.json
var schema []byte

// kinds lists every Kind.
var kinds = []Kind{
	RunStarted, RunFinished, PhaseStarted, PhaseChanged, PhaseUnchanged, PhaseSkipped, PhaseFailed,
	Change, Waiting, Output, Note, Deferred,
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestJSONWritesOneValidObjectALine(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	events := slices.Concat(goodRun(), badRun(), planOf())
	var out bytes.Buffer
	sink := JSON(&out)
	for _, e := range events {
		sink.Event(e)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(events) {
		t.Fatalf("%d events gave %d lines", len(events), len(lines))
	}
	for i, line := range lines {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		var back Event
		if err := json.Unmarshal([]byte(line), &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events[i], back); diff != "" {
			t.Errorf("an event changed on its way (-sent +read):\n%s", diff)
		}
	}
}

func TestSchemaRejectsAnUnknownKind(t *testing.T) {
	t.Parallel()
	value := map[string]any{"time": "2026-05-04T09:30:00Z", "kind": "phase-exploded", "run": "apply"}
	if err := compileSchema(t).Validate(value); err == nil {
		t.Error("the schema takes any kind")
	}
}

func TestSchemaNamesEveryFieldAndKind(t *testing.T) {
	t.Parallel()
	var doc struct {
		Properties map[string]struct{ Enum []Kind }
	}
	if err := json.Unmarshal(schema, &doc); err != nil {
		t.Fatal(err)
	}
	var fields, described []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Event]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	for name := range doc.Properties {
		described = append(described, name)
	}
	slices.Sort(fields)
	slices.Sort(described)
	if diff := cmp.Diff(fields, described); diff != "" {
		t.Errorf("fields of Event (-) and of the schema (+):\n%s", diff)
	}
	want, got := slices.Sorted(slices.Values(kinds)), slices.Sorted(slices.Values(doc.Properties["kind"].Enum))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds of event.go (-) and of the schema (+):\n%s", diff)
	}
}

func TestLogHasAllFields(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	Multi(Log(&out)).Event(Event{
		Time: at(0), Kind: PhaseFailed, Run: "apply", Host: "cp1", Phase: "join", Message: "m", Changes: 2,
		Seconds: 1.5, Error: "e", Command: "c", Output: "o", Hint: "h",
	})
	want := "time=2026-05-04T09:30:00.000Z level=ERROR msg=phase-failed run=apply host=cp1 phase=join message=m " +
		"error=e command=c output=o hint=h changes=2 seconds=1.5\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	Log(&out).Event(Event{Time: at(0), Kind: Output, Run: "apply", Message: "a line"})
	if !strings.Contains(out.String(), "level=DEBUG") {
		t.Errorf("output is not at level debug: %s", out.String())
	}
}

func TestWithErrorTakesCommandAndOutputFromAnExitError(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("noise\n", 40) + "the cause\n"
	tests := []struct {
		name           string
		err            error
		command, first string
		lines          int
	}{
		{"stderr, cut to its end", &host.ExitError{Host: "cp1", Command: "kubeadm init", Code: 1, Stderr: long}, "kubeadm init", "noise", tailLines},
		{"stdout where stderr is empty", &host.ExitError{Command: "true", Stdout: "out\n"}, "true", "out", 1},
		{"an error without a command", host.ErrUnreachable, "", "", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := Event{Kind: PhaseFailed}.WithError(fmt.Errorf("init: %w", errors.Join(test.err)))
			lines := strings.Split(e.Output, "\n")
			if e.Command != test.command || lines[0] != test.first || len(lines) != test.lines {
				t.Errorf("command %q, output %q", e.Command, e.Output)
			}
			if !strings.HasPrefix(e.Error, "init: ") {
				t.Errorf("error %q", e.Error)
			}
		})
	}
	if e := (Event{}).WithError(nil); e != (Event{}) {
		t.Errorf("no error became %+v", e)
	}
}

func TestAFailureOutsideAPhaseIsReported(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	Lines(&out, Options{}).Event(Event{Time: at(0), Kind: RunFinished, Run: "apply", Error: "locked by trainer@desk", Hint: "wait"})
	for _, want := range []string{"locked by trainer@desk", "→ wait"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestTheErrorOfARunIsReportedWithThoseOfItsPhases(t *testing.T) {
	t.Parallel()
	events := []Event{
		{Time: at(0), Kind: PhaseStarted, Run: "apply", Host: "cp1", Phase: "kubeadm-init"},
		{Time: at(1), Kind: PhaseFailed, Run: "apply", Host: "cp1", Phase: "kubeadm-init", Error: "cp1: no answer\nsecond line"},
		{Time: at(2), Kind: RunFinished, Run: "apply", Error: "init on cp1: no answer\nsecond line\nfree the lock: unreachable"},
	}
	var text, page strings.Builder
	sink := Lines(&text, Options{})
	for _, e := range events {
		sink.Event(e)
	}
	if err := HTML(&page, events); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"lines": text.String(), "page": page.String()} {
		for _, want := range []string{"no answer", "second line", "free the lock: unreachable"} {
			if n := strings.Count(got, want); n != 1 {
				t.Errorf("%s say %q %d times:\n%s", name, want, n, got)
			}
		}
	}
}

func TestOutputOfAHostCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	sink := Lines(&out, Options{Verbose: true})
	sink.Event(Event{Time: at(0), Kind: Output, Host: "a\x1b[2J", Phase: "p\r", Message: "x\x1b[1A\x1b]0;title\x07y\rz\b"})
	sink.Event(Event{Time: at(0), Kind: PhaseFailed, Host: "a", Phase: "p", Error: "e\x1b[2J\nf", Command: "c\x1b[H", Output: "o\x1b[H"})
	for _, r := range out.String() {
		if r < ' ' && r != '\n' {
			t.Fatalf("control character %q in %q", r, out.String())
		}
	}
}

func TestColour(t *testing.T) {
	tests := []struct {
		name, noColor, force string
		want                 bool
	}{
		{"no colour into a pipe", "", "", false},
		{"CLICOLOR_FORCE colours a pipe", "", "1", true},
		{"CLICOLOR_FORCE=0 does not", "", "0", false},
		{"NO_COLOR wins, whatever its value", "yes", "1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", test.noColor)
			t.Setenv("CLICOLOR_FORCE", test.force)
			var out strings.Builder
			if err := Table(&out, []string{"check"}, []Row{{Status: StatusOK, Cells: []string{"swap"}}}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(out.String(), "\x1b["); got != test.want {
				t.Errorf("coloured: %t, want %t: %q", got, test.want, out.String())
			}
		})
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestCloseReturnsTheWriteError(t *testing.T) {
	t.Parallel()
	for name, sink := range map[string]SinkCloser{
		"lines": Lines(brokenWriter{}, Options{}),
		"json":  JSON(brokenWriter{}),
		"live":  startLive(brokenWriter{}, Options{}),
	} {
		sink.Event(Event{Time: at(0), Kind: RunStarted, Run: "apply"})
		if err := sink.Close(); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: Close gave %v", name, err)
		}
	}
}

// Meant for the race detector.
func TestSinksTakeEventsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	recorder := &Recorder{}
	var a, b, c bytes.Buffer
	closers := []SinkCloser{Lines(&a, Options{Verbose: true}), JSON(&b), startLive(&c, Options{})}
	sink := Multi(closers[0], closers[1], closers[2], recorder)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for _, e := range goodRun() {
				e.Host += fmt.Sprint(i)
				sink.Event(e)
			}
			_ = recorder.Events()
		})
	}
	wg.Wait()
	for _, closer := range closers {
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	}
	if got, want := len(recorder.Events()), 20*len(goodRun()); got != want {
		t.Errorf("%d events recorded, want %d", got, want)
	}
	if got, want := bytes.Count(b.Bytes(), []byte("\n")), 20*len(goodRun()); got != want {
		t.Errorf("%d JSON lines, want %d", got, want)
	}
}
