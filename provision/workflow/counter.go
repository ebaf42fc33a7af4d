package workflow

import (
	"context"

	"slipway.io/slipway/provision/host"
)

// counter is a machine whose changes are counted and reported as they are made.
type counter struct {
	host.Host
	step *Step
}

// Run counts the command and runs it.
func (c *counter) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	c.step.Changed("run %s", describe(cmd))
	return c.Host.Run(ctx, cmd)
}

// WriteFile counts the file if it changed.
func (c *counter) WriteFile(ctx context.Context, file host.File) (bool, error) {
	changed, err := c.Host.WriteFile(ctx, file)
	if changed {
		verb := "write"
		if file.Mode.IsDir() {
			verb = "make folder"
		}
		c.step.Changed("%s %s", verb, file.Path)
	}
	return changed, err
}

// Upload counts the file if it was sent.
func (c *counter) Upload(ctx context.Context, blob host.Blob) (bool, error) {
	changed, err := c.Host.Upload(ctx, blob)
	if changed {
		c.step.Changed("upload %s", blob.Path)
	}
	return changed, err
}
