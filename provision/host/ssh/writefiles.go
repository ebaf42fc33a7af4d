package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/host"
)

// pipelined is the number of files that are compared or written in parallel over
// the SFTP client.
const pipelined = 16

// Differs returns the files that WriteFiles would change, in order. It takes three
// round trips for up to 16 files.
func (h *Host) Differs(ctx context.Context, files ...host.File) ([]host.File, error) {
	return withFiles(ctx, h, "compare files", func(client *sftp.Client) ([]host.File, error) {
		changed := make([]bool, len(files))
		var compare errgroup.Group
		compare.SetLimit(pipelined)
		for i, file := range files {
			compare.Go(func() (err error) {
				changed[i], err = differs(client, file)
				return about(file, err)
			})
		}
		if err := compare.Wait(); err != nil {
			return nil, err
		}
		var differ []host.File
		for i, file := range files {
			if changed[i] {
				differ = append(differ, file)
			}
		}
		return differ, nil
	})
}

// about adds the path of the file to an error.
func about(file host.File, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", file.Path, err)
}

func differs(client *sftp.Client, file host.File) (bool, error) {
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
	return !same, err
}

// owner returns UID and GID; -1, -1 if the server does not send them.
func owner(info os.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*sftp.FileStat)
	if !ok {
		return -1, -1
	}
	return int(stat.UID), int(stat.GID)
}

// WriteFiles writes files in order. Files between two directories are written in
// parallel under temporary names, then renamed one after the other.
func (h *Host) WriteFiles(ctx context.Context, files ...host.File) error {
	files = slices.Clone(files)
	for i, file := range files {
		files[i].Path = path.Clean(file.Path)
		if !path.IsAbs(file.Path) || files[i].Path == "/" {
			return fmt.Errorf("%s: write files: %q: the path must be absolute", h, file.Path)
		}
	}
	var temps []string // of both attempts, because a lost connection leaves some behind
	_, err := withFiles(ctx, h, "write files", func(client *sftp.Client) (struct{}, error) {
		for _, temp := range temps {
			_ = client.Remove(temp)
		}
		return struct{}{}, writeFiles(ctx, client, files, &temps)
	})
	return err
}

func writeFiles(ctx context.Context, client *sftp.Client, files []host.File, temps *[]string) error {
	isDir := func(file host.File) bool { return file.Mode.IsDir() }
	for len(files) > 0 && ctx.Err() == nil {
		next := 1
		if isDir(files[0]) {
			if err := makeDir(client, files[0]); err != nil {
				return about(files[0], err)
			}
		} else {
			if next = slices.IndexFunc(files, isDir); next < 0 {
				next = len(files)
			}
			if err := replaceFiles(ctx, client, files[:next], temps); err != nil {
				return err
			}
		}
		files = files[next:]
	}
	return ctx.Err()
}

// replaceFiles replaces files atomically. It appends its temporary files to temps.
func replaceFiles(ctx context.Context, client *sftp.Client, files []host.File, temps *[]string) error {
	replacements := make([]*atomicFile, len(files))
	for i, file := range files {
		replacements[i] = newAtomicFile(client, file)
		*temps = append(*temps, replacements[i].temp)
	}
	var write errgroup.Group
	write.SetLimit(pipelined)
	for _, f := range replacements {
		write.Go(func() error { return about(f.File, f.write()) })
	}
	err := write.Wait()
	for _, f := range replacements {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = about(f.File, f.rename())
		}
		if err != nil {
			f.remove()
		}
	}
	return err
}

func makeDir(client *sftp.Client, file host.File) error {
	info, err := client.Lstat(file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = mkdir(client, file.Path)
	} else if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return err
	}
	var own errgroup.Group
	own.Go(func() error { return client.Chown(file.Path, file.UID, file.GID) })
	own.Go(func() error { return client.Chmod(file.Path, file.Perm()) })
	return own.Wait()
}

// mkdir creates a directory that only root can access (umask 077), and missing
// parents with mode 0755.
func mkdir(client *sftp.Client, dir string) error {
	err := client.Mkdir(dir)
	if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
		return err
	}
	if err := makeParents(client, path.Dir(dir)); err != nil {
		return err
	}
	return client.Mkdir(dir)
}

// makeParents creates a directory and its missing parents with mode 0755.
// Existing directories are not changed.
func makeParents(client *sftp.Client, dir string) error {
	err := mkdir(client, dir)
	if err == nil {
		return client.Chmod(dir, 0o755)
	}
	if info, statErr := client.Stat(dir); statErr == nil && info.IsDir() {
		return nil
	}
	return fmt.Errorf("create directory %s: %w", dir, err)
}
