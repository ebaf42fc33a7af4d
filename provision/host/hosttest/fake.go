// Package hosttest provides hosts for tests: Fake, a strict host.Host in memory,
// for tests of phases; Local, which runs commands on localhost, for tests of
// scripts; and Server, an SSH server in the process of the test.
package hosttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"slipway.io/slipway/provision/host"
)

// Fake is a host in memory. It is strict: the test fails on a command that it does
// not expect, and on an expectation that is not met. It accepts all files, unless
// StrictFiles is called.
type Fake struct {
	t    testing.TB
	name string

	mu          sync.Mutex
	expected    []*Expectation
	files       map[string]host.File
	blobs       map[string]host.Blob
	strictFiles bool
	inOrder     bool
	transcript  strings.Builder
}

var _ host.Host = (*Fake)(nil)

// NewFake returns an empty host of that name.
func NewFake(t testing.TB, name string) *Fake {
	t.Helper()
	f := &Fake{t: t, name: name, files: map[string]host.File{}, blobs: map[string]host.Blob{}}
	t.Cleanup(f.verify)
	return f
}

// String returns the host's name.
func (f *Fake) String() string { return f.name }

// StrictFiles makes the test fail on a WriteFiles or Upload that it does not
// expect.
func (f *Fake) StrictFiles() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.strictFiles = true
}

// InOrder makes the test fail if calls come in another order than their
// expectations. Expectations with AnyTimes are exempt.
func (f *Fake) InOrder() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inOrder = true
}

// Transcript returns all calls of the host, one a line.
func (f *Fake) Transcript() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.transcript.String()
}

// Query answers as expected.
func (f *Fake) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	return f.command(ctx, "query", cmd)
}

// Run answers as expected.
func (f *Fake) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	return f.command(ctx, "run", cmd)
}

func (f *Fake) command(ctx context.Context, kind string, cmd host.Cmd) (host.Result, error) {
	if err := ctx.Err(); err != nil {
		return host.Result{}, fmt.Errorf("%s: %w", f.name, err)
	}
	var stdin []byte
	if cmd.Stdin != nil {
		var err error
		if stdin, err = io.ReadAll(cmd.Stdin); err != nil {
			return host.Result{}, err
		}
	}
	f.record("%s", describe(kind, cmd))
	e := f.match(kind, cmd, stdin)
	if e == nil {
		return host.Result{}, f.unexpected(describe(kind, cmd))
	}
	if cmd.Output != nil {
		log := host.NewRedactWriter(cmd.Output, cmd.Secret)
		_, _ = io.WriteString(log, e.stdout+e.stderr)
		log.Flush()
	}
	return e.answer(f.name, cmd)
}

// describe returns a line of the transcript. "as user" marks a command that does
// not run as root.
func describe(kind string, cmd host.Cmd) string {
	switch {
	case kind != "query" && kind != "run":
		return cmd.String() // see fileCmd
	case !cmd.Sudo:
		kind += " as user"
	}
	return kind + " " + cmd.String()
}

func (f *Fake) record(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(&f.transcript, format+"\n", args...)
}

// match uses the first expectation that fits and has calls left.
func (f *Fake) match(kind string, cmd host.Cmd, stdin []byte) *Expectation {
	f.mu.Lock()
	e := f.find(kind, cmd, stdin)
	var then func()
	if e != nil {
		e.used++
		then = e.then
	}
	f.mu.Unlock()
	if then != nil {
		then()
	}
	return e
}

func (f *Fake) find(kind string, cmd host.Cmd, stdin []byte) *Expectation {
	for _, e := range f.expected {
		if e.times >= 0 && e.used == e.times {
			continue
		}
		fits := e.kind == kind && (e.cmd.Name == "" || e.cmd.Name == cmd.Name) && e.cmd.Sudo == cmd.Sudo &&
			sameArgv(e.cmd.Argv, cmd.Argv) && (e.stdin == nil || bytes.Equal(e.stdin, stdin))
		if fits {
			return e
		}
		if f.inOrder && e.times > 0 {
			return nil
		}
	}
	return nil
}

func (f *Fake) unexpected(what string) error {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var open strings.Builder
	for _, e := range f.expected {
		if e.times < 0 || e.used < e.times {
			fmt.Fprintf(&open, "\n\t%s", e)
		}
	}
	f.t.Errorf("%s: unexpected: %s\nstill expected:%s", f.name, what, open.String())
	return fmt.Errorf("%s: unexpected: %s", f.name, what)
}

// verify reports the expectations that were not met.
func (f *Fake) verify() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.expected {
		if e.used < e.times {
			f.t.Errorf("%s: expected %d times, happened %d times: %s", f.name, e.times, e.used, e)
		}
	}
}

// ReadFile returns the content from ExpectRead, or of a file of Put, PutFile or
// WriteFiles.
func (f *Fake) ReadFile(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: read %s: %w", f.name, path, err)
	}
	f.record("read %s", path)
	if e := f.match("read", fileCmd("read", path), nil); e != nil {
		result, err := e.answer(f.name, fileCmd("read", path))
		return result.Stdout, err
	}
	file, found := f.File(path)
	if !found {
		return nil, fmt.Errorf("%s: read %s: %w", f.name, path, fs.ErrNotExist)
	}
	if file.Mode.IsDir() {
		return nil, fmt.Errorf("%s: read %s: %w", f.name, path, errors.New("is a directory"))
	}
	return bytes.Clone(file.Content), nil
}
