package host

import (
	"context"
	"io/fs"
)

// EnsureFiles writes the files that differ on the host. It reports whether it
// wrote any.
func EnsureFiles(ctx context.Context, h Host, files ...File) (changed bool, err error) {
	written, err := WriteDiffering(ctx, h, files...)
	return len(written) > 0, err
}

// WriteDiffering writes the files that differ on the host, and returns their paths.
func WriteDiffering(ctx context.Context, h Host, files ...File) (written []string, err error) {
	differ, err := h.Differs(ctx, files...)
	if err != nil {
		return nil, err
	}
	return WriteAll(ctx, h, differ...)
}

// WriteAll writes files that differ on the host, as Differs returns them, and returns
// their paths.
func WriteAll(ctx context.Context, h Host, files ...File) (written []string, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	if err := h.WriteFiles(ctx, files...); err != nil {
		return nil, err
	}
	for _, file := range files {
		written = append(written, file.Path)
	}
	return written, nil
}

// Perm returns the file's permission bits, or the default of its kind.
func (f File) Perm() fs.FileMode {
	switch perm := f.Mode.Perm(); {
	case perm != 0:
		return perm
	case f.Mode.IsDir():
		return 0o755
	default:
		return 0o644
	}
}
