package ssh

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"

	"slipway.io/slipway/provision/host"
)

// uploadRequests is how many packets of 32 KiB are under way at once: together
// they fill the window that sshd gives a session (2 MiB).
const uploadRequests = 64

// Upload sends a file, unless one of that sha256 is there. Both what is read
// here and what arrived there are hashed before the file is put in place.
func (h *Host) Upload(ctx context.Context, blob host.Blob) (bool, error) {
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("%s: upload %s: %w", h, blob.Path, err)
	}
	if !path.IsAbs(blob.Path) {
		return fail(errors.New("the path must be absolute"))
	}
	if blob.Mode.Perm() == 0 {
		blob.Mode = 0o644
	}
	blob.SHA256 = strings.ToLower(blob.SHA256)
	put := &placing{target: path.Clean(blob.Path)}
	changed := false
	err := h.retryOnce(ctx, func(c *conn) error {
		var err error
		changed, err = h.upload(ctx, c, blob, put)
		return err
	})
	if err != nil {
		return fail(err)
	}
	return changed || put.renamed, nil
}

func (h *Host) upload(ctx context.Context, c *conn, blob host.Blob, put *placing) (bool, error) {
	present, err := h.holdsBlob(ctx, c, blob, put)
	if err != nil {
		return false, err
	}
	if present {
		return withFiles(ctx, h, c, func(client *sftp.Client) (bool, error) {
			return fixMode(client, blob)
		})
	}
	if _, err := withFiles(ctx, h, c, func(client *sftp.Client) (any, error) {
		put.client = client
		return nil, put.stream(ctx, blob)
	}); err != nil {
		return false, err
	}
	sum, err := h.sum(ctx, c, put.temp)
	if err == nil && sum != blob.SHA256 {
		err = fmt.Errorf("%w: sent %s, but %s has %q", host.ErrCorrupt, blob.SHA256, put.temp, sum)
	}
	if err != nil {
		h.discard(ctx, c, put.temp)
		return false, err
	}
	return withFiles(ctx, h, c, func(client *sftp.Client) (bool, error) {
		put.client = client
		return true, put.rename()
	})
}

// discard removes a temporary file, even when the caller's context has ended.
func (h *Host) discard(ctx context.Context, c *conn, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.options.Timeouts.Stop)
	defer cancel()
	_, _ = withFiles(ctx, h, c, func(client *sftp.Client) (any, error) { return nil, client.Remove(name) })
}

// holdsBlob asks for a hash only if the size is right.
func (h *Host) holdsBlob(ctx context.Context, c *conn, blob host.Blob, put *placing) (bool, error) {
	info, err := withFiles(ctx, h, c, func(client *sftp.Client) (os.FileInfo, error) {
		put.client = client
		put.sweep()
		return client.Lstat(put.target)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Size() != blob.Size {
		return false, nil
	}
	sum, err := h.sum(ctx, c, put.target)
	return sum == blob.SHA256, err
}

// sum is empty if the file is not there.
func (h *Host) sum(ctx context.Context, c *conn, name string) (string, error) {
	sums, err := host.Sums(ctx, connQuery{h, c}, []string{name})
	return sums[name], err
}

// connQuery is the Host on one connection, without a second try: Upload tries
// again as a whole.
type connQuery struct {
	*Host
	conn *conn
}

func (q connQuery) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	return q.attempt(ctx, q.conn, cmd)
}

func fixMode(client *sftp.Client, blob host.Blob) (bool, error) {
	info, err := client.Lstat(blob.Path)
	if err != nil {
		return false, err
	}
	if info.Mode().Perm() == blob.Mode.Perm() {
		return false, nil
	}
	return true, client.Chmod(blob.Path, blob.Mode.Perm())
}

// stream writes the local file to a temporary one, and leaves it only if it is
// complete and what the blob says.
func (p *placing) stream(ctx context.Context, blob host.Blob) (err error) {
	source, err := openBlob(blob)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if err := p.create(); err != nil {
		return explainSpace(p.client, blob.Path, blob.Size, err)
	}
	defer func() {
		if err != nil {
			p.remove()
		}
	}()
	if err := checkSpace(p.client, path.Dir(p.temp), blob.Size); err != nil {
		return err
	}
	hash := sha256.New()
	read := &contextReader{ctx: ctx, r: io.TeeReader(source, hash)}
	if _, err := p.file.ReadFromWithConcurrency(read, uploadRequests); err != nil {
		return explainSpace(p.client, blob.Path, blob.Size, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != blob.SHA256 {
		return fmt.Errorf("%w: %s has sha256 %s, want %s", host.ErrCorrupt, blob.Source, sum, blob.SHA256)
	}
	if err := p.own(0, 0, blob.Mode.Perm()); err != nil {
		return err
	}
	if err := p.sync(); err != nil {
		return explainSpace(p.client, blob.Path, blob.Size, err)
	}
	return p.file.Close()
}

func openBlob(blob host.Blob) (*os.File, error) {
	source, err := os.Open(blob.Source)
	if err != nil {
		return nil, err
	}
	info, err := source.Stat()
	if err == nil && info.Size() != blob.Size {
		err = fmt.Errorf("%w: %s has %d bytes, want %d", host.ErrCorrupt, blob.Source, info.Size(), blob.Size)
	}
	if err != nil {
		_ = source.Close()
		return nil, err
	}
	return source, nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context // io.Reader takes none; this one is the upload's
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
