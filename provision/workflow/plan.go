package workflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"slipway.io/slipway/provision/host"
)

// planner is a machine in a plan: it is asked as it is, and what would change
// it is reported instead of done.
type planner struct {
	host.Host
	step    *Step
	machine *Host
}

// Query asks the machine. If it fails after changes were recorded, these may
// be why: the answer depends on them.
func (p *planner) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	res, err := p.Host.Query(ctx, cmd)
	var exit *host.ExitError
	if errors.As(err, &exit) && p.machine.planned.Load() {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return res, err
}

// ReadFile reads the file. A missing one may be one that would be made.
func (p *planner) ReadFile(ctx context.Context, path string) ([]byte, error) {
	content, err := p.Host.ReadFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) && p.machine.planned.Load() {
		err = fmt.Errorf("%w: %w", err, host.ErrPlanned)
	}
	return content, err
}

// Run records the command.
func (p *planner) Run(_ context.Context, cmd host.Cmd) (host.Result, error) {
	p.record("run %s", cmd)
	return host.Result{}, nil
}

// WriteFiles records the files.
func (p *planner) WriteFiles(_ context.Context, files ...host.File) error {
	for _, file := range files {
		p.record("%s", describeFile(file))
	}
	return nil
}

// Upload records the files.
func (p *planner) Upload(_ context.Context, blobs ...host.Blob) error {
	for _, blob := range blobs {
		p.record("upload %s (%.1f MB)", blob.Path, float64(blob.Size)/1e6)
	}
	return nil
}

func (p *planner) record(format string, args ...any) {
	p.machine.planned.Store(true)
	p.step.Changed(format, args...)
}
