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
	c.step.Changed("run %s", cmd)
	return c.Host.Run(ctx, cmd)
}

// WriteFiles counts the files and writes them.
func (c *counter) WriteFiles(ctx context.Context, files ...host.File) error {
	for _, file := range files {
		c.step.Changed("%s", describeFile(file))
	}
	return c.Host.WriteFiles(ctx, files...)
}

// Upload sends the files and counts them.
func (c *counter) Upload(ctx context.Context, blobs ...host.Blob) error {
	if err := c.Host.Upload(ctx, blobs...); err != nil {
		return err
	}
	for _, blob := range blobs {
		c.step.Changed("upload %s", blob.Path)
	}
	return nil
}

func describeFile(file host.File) string {
	if file.Mode.IsDir() {
		return "create directory " + file.Path
	}
	return "write " + file.Path
}
