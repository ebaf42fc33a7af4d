// Package plan provides a host.Host that reads the host and does not change it.
package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"slipway.io/slipway/provision/host"
)

// State holds whether a change of a host is planned. All plans of one host share
// it. The zero value is a host without planned changes.
type State struct{ planned atomic.Bool }

// Set records that a change of the host is planned.
func (s *State) Set() { s.planned.Store(true) }

// planning is a Host that is read and not changed.
type planning struct {
	host.Host
	state *State
}

// New wraps h: reads go to h, and changes are recorded in the state.
func New(h host.Host, state *State) host.Host { return &planning{Host: h, state: state} }

// Query runs the command. If it fails after a change was planned, the planned
// change may be the reason: the error also wraps host.ErrPlanned.
func (p *planning) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	res, err := p.Host.Query(ctx, cmd)
	if host.Exited(err) && p.state.planned.Load() {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return res, err
}

// ReadFile reads the file. If it is missing after a change was planned, the
// planned change may create it: the error also wraps host.ErrPlanned.
func (p *planning) ReadFile(ctx context.Context, path string) ([]byte, error) {
	content, err := p.Host.ReadFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) && p.state.planned.Load() {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return content, err
}

// Run plans the command.
func (p *planning) Run(context.Context, host.Cmd) (host.Result, error) {
	p.state.Set()
	return host.Result{}, nil
}

// WriteFiles plans the files.
func (p *planning) WriteFiles(_ context.Context, files ...host.File) error {
	if len(files) > 0 {
		p.state.Set()
	}
	return nil
}

// Upload plans the files.
func (p *planning) Upload(_ context.Context, blobs ...host.Blob) error {
	if len(blobs) > 0 {
		p.state.Set()
	}
	return nil
}
