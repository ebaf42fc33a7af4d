package ssh

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/host"
)

// tempPrefix begins the name of every temporary file.
const tempPrefix = ".slipway-"

// atomicFile is written beside its path, under a temporary name, and renamed
// when it is complete.
type atomicFile struct {
	host.File
	client *sftp.Client
	temp   string
}

func newAtomicFile(client *sftp.Client, file host.File) *atomicFile {
	temp := path.Join(path.Dir(file.Path), tempPrefix+strings.ToLower(rand.Text()[:12]))
	return &atomicFile{File: file, client: client, temp: temp}
}

// write fills the temporary file and verifies it, in four round trips if its
// directory exists.
func (f *atomicFile) write() error {
	file, err := f.create()
	if err != nil {
		return explainSpace(f.client, f.File, err)
	}
	defer closeLater(file)
	var fill errgroup.Group
	// In any order: chown clears only setuid and setgid, which are not set here.
	fill.Go(func() error { return file.Chown(f.UID, f.GID) })
	fill.Go(func() error { return file.Chmod(f.Perm()) })
	if len(f.Content) > 0 {
		fill.Go(func() error {
			_, err := file.WriteAt(f.Content, 0)
			return err
		})
	}
	if err := fill.Wait(); err != nil {
		return explainSpace(f.client, f.File, err)
	}
	var check errgroup.Group
	if _, ok := f.client.HasExtension("fsync@openssh.com"); ok {
		check.Go(func() error { return explainSpace(f.client, f.File, file.Sync()) })
	}
	check.Go(func() error {
		same, err := holds(file, f.Content)
		if err == nil && !same {
			err = fmt.Errorf("%w: the file has other content than was written", host.ErrCorrupt)
		}
		return err
	})
	return check.Wait()
}

// create opens the temporary file, and creates missing directories above it.
// The server runs with umask 077, so that nobody else can read the file before
// its mode is set.
func (f *atomicFile) create() (*sftp.File, error) {
	const exclusive = os.O_RDWR | os.O_CREATE | os.O_EXCL
	file, err := f.client.OpenFile(f.temp, exclusive)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if err := makeParents(f.client, path.Dir(f.temp)); err != nil {
		return nil, err
	}
	return f.client.OpenFile(f.temp, exclusive)
}

func (f *atomicFile) rename() error {
	err := f.client.PosixRename(f.temp, f.Path)
	if err == nil {
		return nil
	}
	if info, statErr := f.client.Lstat(f.Path); statErr == nil && info.IsDir() {
		return syscall.EISDIR
	}
	return err
}

func (f *atomicFile) remove() { _ = f.client.Remove(f.temp) }

// holds reports whether an open file begins with the content.
func holds(file *sftp.File, content []byte) (bool, error) {
	have := make([]byte, len(content))
	n, err := file.ReadAt(have, 0)
	if n < len(have) && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(have[:n], content), nil
}

// closeLater closes a file without waiting for the answer.
func closeLater(file *sftp.File) {
	go func() { _ = file.Close() }()
}

// explainSpace returns "no space left on device" for an error on a full disk,
// because SFTP version 3 has no status code for it.
func explainSpace(client *sftp.Client, file host.File, err error) error {
	if !errors.As(err, new(*sftp.StatusError)) {
		return err
	}
	dir, need := path.Dir(file.Path), uint64(len(file.Content))
	stat, statErr := client.StatVFS(dir)
	if statErr != nil || stat.Frsize == 0 {
		return err
	}
	free := stat.Bfree * stat.Frsize
	// A file system without a fixed number of inodes reports 0 of 0.
	noFiles := stat.Files > 0 && stat.Ffree == 0
	if !noFiles && free >= need && free >= stat.Frsize {
		return err
	}
	return fmt.Errorf("%w in %s: %d MiB free, %d MiB needed", syscall.ENOSPC, dir, free>>20, need>>20)
}
