package host_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
)

func asExit(err error, exit **exec.ExitError) bool { return errors.As(err, exit) }

func TestRedact(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text    string
		secrets []string
		want    string
	}{
		"no secrets":                    {"a b", nil, "a b"},
		"every occurrence":              {"x=s3 y=s3", []string{"s3"}, "x=<secret> y=<secret>"},
		"the longer one first":          {"token abcdef", []string{"abc", "abcdef"}, "token <secret>"},
		"an empty secret hides nothing": {"abc", []string{""}, "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := host.Redact(test.text, test.secrets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestRedactWriterFindsASecretSplitBetweenWrites(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	w := host.NewRedactWriter(&log, []string{"hunter2"})
	for _, piece := range []string{"one\npass hun", "ter2 ok\nlast hunt", "er2"} {
		if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if want := "one\npass <secret> ok\n"; log.String() != want {
		t.Errorf("before Flush: got %q, want %q", log.String(), want)
	}
	w.Flush()
	if diff := cmp.Diff("one\npass <secret> ok\nlast <secret>", log.String()); diff != "" {
		t.Error(diff)
	}
}

func TestRedactWriterWithoutSecretsDoesNotBuffer(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	_, _ = host.NewRedactWriter(&log, nil).Write([]byte("half a line"))
	if log.String() != "half a line" {
		t.Errorf("got %q", log.String())
	}
}

func TestCheckRefusesInvalidCommands(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		argv []string
		ok   bool
	}{
		"a command":      {[]string{"true"}, true},
		"nothing":        {nil, false},
		"an empty name":  {[]string{""}, false},
		"a NUL byte":     {[]string{"echo", "a\x00b"}, false},
		"an empty param": {[]string{"echo", ""}, true},
	} {
		if err := (host.Cmd{Argv: test.argv}).Check(); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
