package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/pkg/sftp"
)

// firstRead is how much is read before a file's size is asked for: one packet
// of SFTP. Most files are smaller.
const firstRead = 32 << 10

// ReadFile reads a whole file as root, in three round trips if it is small.
func (h *Host) ReadFile(ctx context.Context, name string) ([]byte, error) {
	if !path.IsAbs(name) {
		return nil, fmt.Errorf("%s: read %s: the path must be absolute", h, name)
	}
	content, err := repeatFiles(ctx, h, func(client *sftp.Client) ([]byte, error) {
		file, err := client.Open(name)
		if err != nil {
			return nil, err
		}
		defer closeLater(file)
		return readAll(ctx, file)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: read %s: %w", h, name, err)
	}
	return content, nil
}

// readAll reads to the end, and does not trust the size: files in /proc and
// /sys have none.
func readAll(ctx context.Context, file *sftp.File) ([]byte, error) {
	content := make([]byte, firstRead)
	n, err := file.ReadAt(content, 0)
	content = content[:n]
	if errors.Is(err, io.EOF) {
		return content, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	// What is known to be there is read at once, the rest piece by piece.
	rest := int(info.Size()) - len(content)
	for ctx.Err() == nil {
		piece := make([]byte, max(rest, firstRead))
		n, err := file.ReadAt(piece, int64(len(content)))
		content = append(content, piece[:n]...)
		if errors.Is(err, io.EOF) {
			return content, nil
		}
		if err != nil {
			return nil, err
		}
		rest = 0
	}
	return nil, ctx.Err()
}

// closeLater saves the round trip: nothing depends on the closing of a file
// that was only read.
func closeLater(file *sftp.File) {
	go func() { _ = file.Close() }()
}
