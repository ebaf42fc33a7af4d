// Package plan provides a host.Host that reads the host and does not change it.
package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"slipway.io/slipway/provision/host"
)

// The exit codes of a shell that cannot execute a program, or does not find it.
const (
	cannotExecute = 126
	notFound      = 127
)

// planning is a Host that is read and not changed.
type planning struct {
	host.Host
	state *State
}

// New wraps h: reads go to h, and changes are recorded in the state.
func New(h host.Host, state *State) host.Host { return &planning{Host: h, state: state} }

// Query runs the command. If it fails because of what the plan would create or
// start, the error also wraps host.ErrPlanned. Any other failure is an error.
func (p *planning) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	res, err := p.Host.Query(ctx, cmd)
	if p.explains(cmd, err) {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return res, err
}

// explains reports whether the command failed because of a planned change.
func (p *planning) explains(cmd host.Cmd, err error) bool {
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	for _, name := range cmd.Requires {
		if p.state.Has(name) {
			return true
		}
	}
	return (exit.Code == notFound || exit.Code == cannotExecute) && len(cmd.Argv) > 0 && p.state.hasProgram(cmd.Argv[0])
}

// ReadFile reads the file. If it is missing and the plan creates it, the error also
// wraps host.ErrPlanned.
func (p *planning) ReadFile(ctx context.Context, path string) ([]byte, error) {
	content, err := p.Host.ReadFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) && p.state.Has(path) {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return content, err
}

// Run plans the command.
func (p *planning) Run(_ context.Context, cmd host.Cmd) (host.Result, error) {
	p.state.Add(cmd.Starts...)
	return host.Result{}, nil
}

// WriteFiles plans the files.
func (p *planning) WriteFiles(_ context.Context, files ...host.File) error {
	for _, file := range files {
		p.state.Add(file.Path)
	}
	return nil
}

// Upload plans the files.
func (p *planning) Upload(_ context.Context, blobs ...host.Blob) error {
	for _, blob := range blobs {
		p.state.Add(blob.Path)
	}
	return nil
}
