package host

import (
	"bytes"
	"errors"
	"io"
)

// The limits of the output in a Result.
const (
	// MaxStdout is the limit of standard output, in bytes. A command that
	// prints more fails with ErrOutputLimit.
	MaxStdout = 16 << 20
	// MaxStderr is the limit of standard error, in bytes. Earlier output is
	// discarded.
	MaxStderr = 64 << 10
)

// ErrOutputLimit: a command printed more than MaxStdout bytes.
var ErrOutputLimit = errors.New("the command printed more than 16 MiB on standard output")

// Output collects the output of one command, within the limits above. The zero
// value is ready to use.
type Output struct {
	stdout head
	stderr tail
}

// Stdout receives standard output. Writes never fail, so that a command that
// prints too much is not blocked.
func (o *Output) Stdout() io.Writer { return &o.stdout }

// Stderr receives standard error. Writes never fail.
func (o *Output) Stderr() io.Writer { return &o.stderr }

// Result returns the collected output. The error is ErrOutputLimit or nil.
func (o *Output) Result() (Result, error) {
	result := Result{Stdout: o.stdout.Bytes(), Stderr: o.stderr.last()}
	if o.stdout.exceeded {
		return result, ErrOutputLimit
	}
	return result, nil
}

// head keeps the first MaxStdout bytes.
type head struct {
	bytes.Buffer
	exceeded bool
}

func (h *head) Write(p []byte) (int, error) {
	kept := p[:min(len(p), MaxStdout-h.Len())]
	h.exceeded = h.exceeded || len(kept) < len(p)
	_, _ = h.Buffer.Write(kept)
	return len(p), nil
}

// tail keeps the last MaxStderr bytes. It uses at most twice that in memory.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	if n := len(t.kept) + len(p); n > 2*MaxStderr {
		t.kept = append(t.kept[:0], t.last()...)
	}
	t.kept = append(t.kept, p[max(0, len(p)-MaxStderr):]...)
	return len(p), nil
}

func (t *tail) last() []byte { return t.kept[max(0, len(t.kept)-MaxStderr):] }
