package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/host"
)

// Differs says whether WriteFile would change something, in at most three round
// trips.
func (h *Host) Differs(ctx context.Context, file host.File) (bool, error) {
	differs, err := repeatFiles(ctx, h, func(client *sftp.Client) (bool, error) {
		return differs(ctx, client, file)
	})
	if err != nil {
		return false, fmt.Errorf("%s: compare %s: %w", h, file.Path, err)
	}
	return differs, nil
}

// WriteFile replaces the file, or makes the directory, unless it is already as
// it shall be. At most eight round trips, three if nothing changes.
func (h *Host) WriteFile(ctx context.Context, file host.File) (bool, error) {
	if !path.IsAbs(file.Path) || path.Clean(file.Path) == "/" {
		return false, fmt.Errorf("%s: write %q: the path must be absolute", h, file.Path)
	}
	file.Path = path.Clean(file.Path)
	put := &placing{target: file.Path}
	changed, err := repeatFiles(ctx, h, func(client *sftp.Client) (bool, error) {
		put.client = client
		put.sweep()
		differs, err := differs(ctx, client, file)
		if err != nil || !differs {
			// The rename of a first try may have happened although its answer
			// got lost.
			return put.renamed, err
		}
		if file.Mode.IsDir() {
			return true, makeDir(client, file)
		}
		return true, put.content(ctx, file)
	})
	if err != nil {
		return false, fmt.Errorf("%s: write %s: %w", h, file.Path, err)
	}
	return changed, nil
}

func differs(ctx context.Context, client *sftp.Client, file host.File) (bool, error) {
	info, err := client.Lstat(file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	uid, gid := owner(info)
	switch {
	case info.Mode().Type() != file.Mode.Type(), info.Mode().Perm() != file.Perm(), uid != file.UID, gid != file.GID:
		return true, nil
	case file.Mode.IsDir():
		return false, nil
	case info.Size() != int64(len(file.Content)):
		return true, nil
	}
	have, err := client.Open(file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer closeLater(have)
	same, err := holds(have, file.Content)
	if err == nil {
		err = ctx.Err()
	}
	return !same, err
}

// owner is -1, -1 if the server does not say.
func owner(info os.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*sftp.FileStat)
	if !ok {
		return -1, -1
	}
	return int(stat.UID), int(stat.GID)
}

func holds(file *sftp.File, content []byte) (bool, error) {
	if len(content) == 0 {
		return true, nil
	}
	have := make([]byte, len(content))
	n, err := file.ReadAt(have, 0)
	if n < len(have) {
		return false, ignoreEOF(err)
	}
	return bytes.Equal(have, content), nil
}

func makeDir(client *sftp.Client, file host.File) error {
	if info, err := client.Lstat(file.Path); err == nil && !info.IsDir() {
		return errors.New("there is a file in its place")
	}
	if err := makeParents(client, file.Path); err != nil {
		return err
	}
	if err := client.Chown(file.Path, file.UID, file.GID); err != nil {
		return err
	}
	return client.Chmod(file.Path, file.Perm())
}

// makeParents makes a directory and those above it, with mode 0755. One that is
// there stays as it is.
func makeParents(client *sftp.Client, dir string) error {
	err := client.Mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != "/" {
		if err := makeParents(client, path.Dir(dir)); err != nil {
			return err
		}
		err = client.Mkdir(dir)
	}
	if err == nil {
		return client.Chmod(dir, 0o755)
	}
	if info, statErr := client.Stat(dir); statErr == nil && info.IsDir() {
		return nil
	}
	return fmt.Errorf("make directory %s: %w", dir, err)
}

// content puts a small file in place.
func (p *placing) content(ctx context.Context, file host.File) (err error) {
	if err := p.create(); err != nil {
		return explainSpace(p.client, file.Path, int64(len(file.Content)), err)
	}
	defer func() {
		if err != nil {
			p.remove()
		}
	}()
	var burst errgroup.Group
	burst.Go(func() error { return p.own(file.UID, file.GID, file.Perm()) })
	burst.Go(func() error {
		if len(file.Content) == 0 {
			return nil
		}
		_, err := p.file.WriteAt(file.Content, 0)
		return err
	})
	if err := burst.Wait(); err != nil {
		return explainSpace(p.client, file.Path, int64(len(file.Content)), err)
	}
	if err := p.sync(); err != nil {
		return explainSpace(p.client, file.Path, int64(len(file.Content)), err)
	}
	if same, err := holds(p.file, file.Content); err != nil || !same {
		return errors.Join(err, fmt.Errorf("%w after writing %s", host.ErrCorrupt, p.temp))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	closeLater(p.file)
	return p.rename()
}
