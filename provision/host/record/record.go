// Package record reports the changes of a host before they are made.
package record

import (
	"context"
	"fmt"

	"slipway.io/slipway/provision/host"
)

// Recorder reports changes.
type Recorder interface {
	// Record reports one change, with the diff of what it changes if that is known.
	Record(message, diff string)
}

// Differ is a Host that shows what a write changes, as a plan does.
type Differ interface {
	// Diff returns what WriteFiles would change of a file or directory.
	Diff(ctx context.Context, file host.File) (string, error)
}

// recording is a Host that records each change and then makes it.
type recording struct {
	host.Host
	to Recorder
}

// New wraps h: each change is recorded and then made on h. If h is a Differ, writes
// are recorded with their diffs.
func New(h host.Host, to Recorder) host.Host { return &recording{Host: h, to: to} }

// Run records the command and runs it.
func (r *recording) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	r.to.Record(fmt.Sprintf("run %s", cmd), "")
	return r.Host.Run(ctx, cmd)
}

// WriteFiles records the files and writes them.
func (r *recording) WriteFiles(ctx context.Context, files ...host.File) error {
	for _, file := range files {
		var diff string
		if differ, ok := r.Host.(Differ); ok {
			var err error
			if diff, err = differ.Diff(ctx, file); err != nil {
				return err
			}
		}
		what := "write "
		if file.Mode.IsDir() {
			what = "create directory "
		}
		r.to.Record(what+file.Path, diff)
	}
	return r.Host.WriteFiles(ctx, files...)
}

// Upload records the files with their sizes and uploads them.
func (r *recording) Upload(ctx context.Context, blobs ...host.Blob) error {
	for _, blob := range blobs {
		r.to.Record(fmt.Sprintf("upload %s (%.1f MB)", blob.Path, float64(blob.Size)/1e6), "")
	}
	return r.Host.Upload(ctx, blobs...)
}
