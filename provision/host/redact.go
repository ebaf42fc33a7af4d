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

// Redacted replaces a secret.
const Redacted = "<secret>"

// Redact replaces every secret in s. It replaces longer secrets first, because
// one secret may contain another.
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

// Check returns an error if the command cannot be sent to a host.
func (c Cmd) Check() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return errors.New("empty command")
	}
	for i, word := range c.Argv {
		if strings.ContainsRune(word, 0) {
			return fmt.Errorf("argument %d of %s contains a NUL byte", i, c.Argv[0])
		}
	}
	return nil
}

// RedactWriter replaces secrets in the text that is written to it and writes the
// result to w. If there are secrets, it buffers a line until its end, because a
// secret may be split between two writes. It ignores errors of w: a log that
// cannot be written must not fail the command. It is safe for concurrent use.
type RedactWriter struct {
	w       io.Writer
	secrets []string

	mu   sync.Mutex
	line []byte
}

// NewRedactWriter returns a RedactWriter for w. Secrets may be empty.
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

// Flush writes the last line if it is incomplete.
func (r *RedactWriter) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.line) > 0 {
		_, _ = io.WriteString(r.w, Redact(string(r.line), r.secrets))
		r.line = nil
	}
}
