// Package plan runs a phase without changing its host.
package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"slipway.io/slipway/provision/host"
)

// State says whether changes of a host are planned. All plans of one host share
// it; the zero value is a host without any.
type State struct{ planned atomic.Bool }

// planning is a Host that answers and does not change.
type planning struct {
	host.Host
	state *State
}

// New wraps h: it answers as it is now, and its changes are only planned.
func New(h host.Host, state *State) host.Host { return &planning{Host: h, state: state} }

// Query asks the host. If the command fails after a change was planned, that
// may be why: the error wraps host.ErrPlanned too.
func (p *planning) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	res, err := p.Host.Query(ctx, cmd)
	if host.Exited(err) && p.state.planned.Load() {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return res, err
}

// ReadFile reads the file. If it is missing after a change was planned, that
// change may create it: the error wraps host.ErrPlanned too.
func (p *planning) ReadFile(ctx context.Context, path string) ([]byte, error) {
	content, err := p.Host.ReadFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) && p.state.planned.Load() {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return content, err
}

// Run plans the command.
func (p *planning) Run(context.Context, host.Cmd) (host.Result, error) {
	p.state.planned.Store(true)
	return host.Result{}, nil
}

// WriteFiles plans the files.
func (p *planning) WriteFiles(_ context.Context, files ...host.File) error {
	if len(files) > 0 {
		p.state.planned.Store(true)
	}
	return nil
}

// Upload plans the files.
func (p *planning) Upload(_ context.Context, blobs ...host.Blob) error {
	if len(blobs) > 0 {
		p.state.planned.Store(true)
	}
	return nil
}
