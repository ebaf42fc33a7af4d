package host_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host"
)

func TestOutputHoldsTheOutputOfACommand(t *testing.T) {
	t.Parallel()
	var out host.Output
	for _, part := range []string{"one ", "two"} {
		_, _ = out.Stdout().Write([]byte(part))
		_, _ = out.Stderr().Write([]byte(part + "!"))
	}
	result, err := out.Result()
	if err != nil || string(result.Stdout) != "one two" || string(result.Stderr) != "one !two!" {
		t.Errorf("stdout %q, stderr %q, %v", result.Stdout, result.Stderr, err)
	}
}

func TestOutputRefusesMoreStandardOutputThanTheLimit(t *testing.T) {
	t.Parallel()
	piece := bytes.Repeat([]byte("x"), host.MaxStdout/4)
	var out host.Output
	for range 4 {
		_, _ = out.Stdout().Write(piece)
	}
	if result, err := out.Result(); err != nil || len(result.Stdout) != host.MaxStdout {
		t.Errorf("at the limit: %d bytes, %v", len(result.Stdout), err)
	}
	if n, err := out.Stdout().Write([]byte("y")); n != 1 || err != nil {
		t.Errorf("a write beyond the limit: %d, %v", n, err)
	}
	if result, err := out.Result(); !errors.Is(err, host.ErrOutputLimit) || len(result.Stdout) != host.MaxStdout {
		t.Errorf("beyond the limit: %d bytes, %v", len(result.Stdout), err)
	}
}

func TestOutputKeepsTheEndOfStandardError(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small writes": 1000, "a write beyond the limit": 3 * host.MaxStderr} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out host.Output
			for range 1 + 4*host.MaxStderr/size {
				_, _ = out.Stderr().Write([]byte(strings.Repeat("x", size)))
			}
			_, _ = out.Stderr().Write([]byte("the reason\n"))
			result, err := out.Result()
			if err != nil || len(result.Stderr) != host.MaxStderr || !bytes.HasSuffix(result.Stderr, []byte("xthe reason\n")) {
				t.Errorf("%d bytes that end with %q, %v", len(result.Stderr), result.Stderr[len(result.Stderr)-20:], err)
			}
		})
	}
}
