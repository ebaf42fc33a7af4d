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

// Differs returns those of files that WriteFiles would change, in at most three
// round trips a file.
func (h *Host) Differs(ctx context.Context, files ...host.File) ([]host.File, error) {
	var differ []host.File
	for _, file := range files {
		changed, err := repeatFiles(ctx, h, func(client *sftp.Client) (bool, error) {
			return differs(ctx, client, file)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: compare %s: %w", h, file.Path, err)
		}
		if changed {
			differ = append(differ, file)
		}
	}
	return differ, nil
}

// WriteFiles replaces the files, or creates the directories, in order.
func (h *Host) WriteFiles(ctx context.Context, files ...host.File) error {
	for _, file := range files {
		if err := h.writeFile(ctx, file); err != nil {
			return fmt.Errorf("%s: write %s: %w", h, file.Path, err)
		}
	}
	return nil
}

func (h *Host) writeFile(ctx context.Context, file host.File) error {
	if !path.IsAbs(file.Path) || path.Clean(file.Path) == "/" {
		return errors.New("the path must be absolute")
	}
	file.Path = path.Clean(file.Path)
	put := &placing{target: file.Path}
	_, err := repeatFiles(ctx, h, func(client *sftp.Client) (any, error) {
		put.client = client
		put.sweep()
		if file.Mode.IsDir() {
			return nil, makeDir(client, file)
		}
		return nil, put.content(ctx, file)
	})
	return err
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
