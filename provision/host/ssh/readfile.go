package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/pkg/sftp"

	"slipway.io/slipway/provision/host"
)

const (
	// firstRead is one packet of SFTP, in bytes. Most files are smaller.
	firstRead = 32 << 10
	// maxRead is the size of the largest file that ReadFile reads.
	maxRead = 64 << 20
)

// ReadFile reads a whole file as root, in three round trips if it is small. It
// refuses files of more than 64 MiB.
func (h *Host) ReadFile(ctx context.Context, name string) ([]byte, error) {
	if !path.IsAbs(name) {
		return nil, fmt.Errorf("%s: read %s: the path must be absolute", h, name)
	}
	return withFiles(ctx, h, "read "+name, func(client *sftp.Client) ([]byte, error) {
		file, err := client.Open(name)
		if err != nil {
			return nil, err
		}
		defer closeLater(file)
		return readAll(ctx, file)
	})
}

// Stat returns the type, the mode and the owner of a path, in one round trip.
func (h *Host) Stat(ctx context.Context, name string) (host.File, error) {
	return withFiles(ctx, h, "stat "+name, func(client *sftp.Client) (host.File, error) {
		info, err := client.Lstat(name)
		if err != nil {
			return host.File{}, err
		}
		uid, gid := owner(info)
		return host.File{Path: name, Mode: info.Mode().Type() | info.Mode().Perm(), UID: uid, GID: gid}, nil
	})
}

// readAll does not trust the size that the server reports, which is 0 in /proc.
// Each piece that it reads is as long as all pieces before it.
func readAll(ctx context.Context, file *sftp.File) ([]byte, error) {
	var content []byte
	for ctx.Err() == nil {
		size := max(firstRead, len(content))
		content = slices.Grow(content, size)
		n, err := file.ReadAt(content[len(content):len(content)+size], int64(len(content)))
		content = content[:len(content)+n]
		switch {
		case len(content) > maxRead:
			return nil, fmt.Errorf("the file has more than %d MiB", maxRead>>20)
		case errors.Is(err, io.EOF):
			return content, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, ctx.Err()
}
