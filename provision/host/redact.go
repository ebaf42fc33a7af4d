package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Redacted stands where a secret was.
const Redacted = "<secret>"

// Redact replaces every secret in s, longer ones first, so that a secret that
// is part of another one leaves no rest of it.
func Redact(s string, secrets []string) string {
	if len(secrets) == 0 {
		return s
	}
	sorted := slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, secret := range sorted {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, Redacted)
		}
	}
	return s
}

// Check says what makes a command impossible to send.
func (c Cmd) Check() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return errors.New("empty command")
	}
	for i, word := range c.Argv {
		if strings.ContainsRune(word, 0) {
			return fmt.Errorf("argument %d of %s holds a NUL byte", i, c.Argv[0])
		}
	}
	return nil
}

// RedactWriter passes what is written on to w with every secret replaced. With
// secrets it passes whole lines on, since one may be split between two writes;
// Flush passes on the last, unfinished line. It is safe for concurrent use,
// which makes it fit for the stdout and stderr of one command. Errors of w are
// dropped: a log that cannot be written must not fail the command.
type RedactWriter struct {
	w       io.Writer
	secrets []string

	mu   sync.Mutex
	line []byte
}

// NewRedactWriter makes one for w; secrets may be empty.
func NewRedactWriter(w io.Writer, secrets []string) *RedactWriter {
	return &RedactWriter{w: w, secrets: secrets}
}

// Write never fails.
func (r *RedactWriter) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.secrets) == 0 {
		_, _ = r.w.Write(p)
		return len(p), nil
	}
	r.line = append(r.line, p...)
	if end := bytes.LastIndexByte(r.line, '\n'); end >= 0 {
		_, _ = io.WriteString(r.w, Redact(string(r.line[:end+1]), r.secrets))
		r.line = append(r.line[:0], r.line[end+1:]...)
	}
	return len(p), nil
}

// Flush passes on what is left.
func (r *RedactWriter) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.line) > 0 {
		_, _ = io.WriteString(r.w, Redact(string(r.line), r.secrets))
		r.line = nil
	}
}
