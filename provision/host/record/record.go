// Package record reports the changes of a host before they are made.
package record

import (
	"context"

	"slipway.io/slipway/provision/host"
)

// Recorder reports changes.
type Recorder interface {
	// Changed reports one change.
	Changed(format string, args ...any)
}

// recording is a Host that records each change and then makes it.
type recording struct {
	host.Host
	to Recorder
}

// New wraps h: each change is recorded and then made on h.
func New(h host.Host, to Recorder) host.Host { return &recording{Host: h, to: to} }

// Run records the command and runs it.
func (r *recording) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	r.to.Changed("run %s", cmd)
	return r.Host.Run(ctx, cmd)
}

// WriteFiles records the files and writes them.
func (r *recording) WriteFiles(ctx context.Context, files ...host.File) error {
	for _, file := range files {
		if file.Mode.IsDir() {
			r.to.Changed("create directory %s", file.Path)
		} else {
			r.to.Changed("write %s", file.Path)
		}
	}
	return r.Host.WriteFiles(ctx, files...)
}

// Upload records the files with their sizes and uploads them.
func (r *recording) Upload(ctx context.Context, blobs ...host.Blob) error {
	for _, blob := range blobs {
		r.to.Changed("upload %s (%.1f MB)", blob.Path, float64(blob.Size)/1e6)
	}
	return r.Host.Upload(ctx, blobs...)
}
