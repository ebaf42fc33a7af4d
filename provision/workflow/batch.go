package workflow

import (
	"context"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/host"
)

// uploadsAtOnce fill a connection; more of them would only share it.
const uploadsAtOnce = 3

// batcher is a machine for which it pays to know several changes at once.
type batcher interface {
	writeFiles(ctx context.Context, files []host.File) (changed bool, err error)
	uploads(ctx context.Context, blobs []host.Blob) error
}

// WriteFiles is WriteFile for several, in their order, and says whether any of
// them had to change. What is journaled of them takes one round trip.
func (s *Step) WriteFiles(ctx context.Context, files ...host.File) (changed bool, err error) {
	if b, ok := s.Host.(batcher); ok {
		return b.writeFiles(ctx, files)
	}
	for _, file := range files {
		wrote, err := s.WriteFile(ctx, file)
		if err != nil {
			return changed, err
		}
		changed = changed || wrote
	}
	return changed, nil
}

// Uploads is Upload for several, a few at once.
func (s *Step) Uploads(ctx context.Context, blobs ...host.Blob) error {
	if b, ok := s.Host.(batcher); ok {
		return b.uploads(ctx, blobs)
	}
	return uploadAll(ctx, s.Host, blobs)
}

func uploadAll(ctx context.Context, h host.Host, blobs []host.Blob) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploadsAtOnce)
	for _, blob := range blobs {
		group.Go(func() error {
			_, err := h.Upload(ctx, blob)
			return err
		})
	}
	return group.Wait()
}

// writeFiles journals the files that differ, and writes them.
func (j *journaler) writeFiles(ctx context.Context, files []host.File) (bool, error) {
	var differ []host.File
	for _, file := range files {
		differs, err := host.Differs(ctx, j.Host, file)
		if err != nil {
			return false, err
		}
		if differs {
			differ = append(differ, file)
		}
	}
	if err := j.files(ctx, differ...); err != nil {
		return false, err
	}
	changed := false
	for _, file := range differ {
		wrote, err := j.counter.WriteFile(ctx, file)
		if err != nil {
			return changed, err
		}
		changed = changed || wrote
	}
	return changed, nil
}

// uploads journals the files, sends them and notes their sums.
func (j *journaler) uploads(ctx context.Context, blobs []host.Blob) error {
	if len(blobs) == 0 {
		return nil
	}
	files := make([]host.File, 0, len(blobs))
	for _, blob := range blobs {
		files = append(files, host.File{Path: blob.Path})
	}
	if err := j.files(ctx, files...); err != nil {
		return err
	}
	// A machine without tar takes them one by one.
	if f := j.step.Facts(); f == nil || !f.Command("tar") {
		if err := uploadAll(ctx, &j.counter, blobs); err != nil {
			return err
		}
		return j.noteSums(ctx, blobs...)
	}
	if err := j.step.run.sender.Send(ctx, j.Host, blobs); err != nil {
		return err
	}
	for _, blob := range blobs {
		j.step.Changed("upload %s", blob.Path)
	}
	return j.noteSums(ctx, blobs...)
}
