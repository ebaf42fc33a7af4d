package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"filippo.io/age"

	"slipway.io/slipway/provision/contextio"
)

// maxManifest bounds the size of a manifest, in bytes.
const maxManifest = 1 << 20

// DamagedError says that a backup is not what was written.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged, or is not a backup: %v", e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// ErrNoIdentity: the content is encrypted, and there is nothing to decrypt it with.
var ErrNoIdentity = errors.New("the backup is encrypted, and needs an identity or the passphrase")

// ReadManifest reads the manifest of a backup, without verifying the backup.
func ReadManifest(path string) (Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer file.Close()
	m, err := manifestOf(tar.NewReader(file))
	if err != nil {
		return m, &DamagedError{path, err}
	}
	return m, nil
}

func manifestOf(archive *tar.Reader) (Manifest, error) {
	head, err := archive.Next()
	if err != nil {
		return Manifest{}, err
	}
	if head.Name != manifestName || head.Size > maxManifest {
		return Manifest{}, fmt.Errorf("it begins with %q instead of a manifest", head.Name)
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		return Manifest{}, err
	}
	return parseManifest(text)
}

// Verify verifies every byte of a backup. If the content is encrypted, identities decrypt
// it, and without any only the archive is verified: whole is false then.
func Verify(ctx context.Context, path string, identities []age.Identity) (m Manifest, whole bool, err error) {
	m, err = Read(ctx, path, identities, func(_ File, content io.Reader) error {
		_, err := io.Copy(io.Discard, content)
		return err
	})
	if errors.Is(err, ErrNoIdentity) {
		return m, false, nil
	}
	return m, err == nil, err
}

// Read verifies a backup, and passes each file of its content on: first the archive as a
// whole, then each file with its checksum when it ends. The error is a *DamagedError if the
// backup is not what was written, and wraps ErrNoIdentity if only the archive could be
// verified.
func Read(ctx context.Context, path string, identities []age.Identity, each func(File, io.Reader) error) (Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer file.Close()
	damaged := func(m Manifest, err error) (Manifest, error) {
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		return m, &DamagedError{path, err}
	}
	size, err := verifyArchive(ctx, file)
	if err != nil {
		return damaged(Manifest{}, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Manifest{}, err
	}
	archive := tar.NewReader(io.LimitReader(contextio.NewReader(ctx, file), size))
	m, err := manifestOf(archive)
	if err != nil {
		return damaged(m, err)
	}
	head, err := archive.Next()
	if err != nil {
		return damaged(m, err)
	}
	if head.Name != contentFile(m) {
		return damaged(m, fmt.Errorf("it has %q instead of %s", head.Name, contentFile(m)))
	}
	var content io.Reader = archive
	if m.Encryption == Age {
		if len(identities) == 0 {
			return m, ErrNoIdentity
		}
		if content, err = age.Decrypt(archive, identities...); err != nil {
			var wrong *age.NoIdentityMatchError
			if errors.As(err, &wrong) {
				return m, fmt.Errorf("%s: the identity or the passphrase is not one of this backup", path)
			}
			return damaged(m, err)
		}
	}
	var used *useError
	if err := readContent(content, m, each); errors.As(err, &used) {
		return m, used.err
	} else if err != nil {
		return damaged(m, err)
	}
	return m, nil
}

// useError is an error of the function that takes the files.
type useError struct{ err error }

func (e *useError) Error() string { return e.err.Error() }

// verifyArchive compares the checksum at the end of a backup, and returns the size of what
// is before it.
func verifyArchive(ctx context.Context, file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size() - trailerSize
	if size <= 0 {
		return 0, errors.New("it is too short")
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(contextio.NewReader(ctx, file), size)); err != nil {
		return 0, err
	}
	trailer, err := io.ReadAll(file)
	if err != nil {
		return 0, err
	}
	if want := fmt.Sprintf(trailerFormat, hex.EncodeToString(sum.Sum(nil))); string(trailer) != want {
		return 0, errors.New("its checksum does not match")
	}
	return size, nil
}

// readContent passes the files of the content on, and compares them with the manifest.
func readContent(content io.Reader, m Manifest, each func(File, io.Reader) error) error {
	compressed, err := gzip.NewReader(content)
	if err != nil {
		return err
	}
	archive := tar.NewReader(compressed)
	missing := slices.Clone(m.Files)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(head.Name, "./")
		at := slices.IndexFunc(missing, func(f File) bool { return f.Name == name })
		if at < 0 {
			return fmt.Errorf("it contains %q, which is not in its manifest", head.Name)
		}
		if err := readFile(archive, missing[at], each); err != nil {
			return err
		}
		missing = slices.Delete(missing, at, at+1)
	}
	if len(missing) > 0 {
		return fmt.Errorf("it has no %s", missing[0].Name)
	}
	// The checksums of gzip and age are at their ends.
	_, err = io.Copy(io.Discard, compressed)
	return err
}

func readFile(content io.Reader, file File, each func(File, io.Reader) error) error {
	sum, counted := sha256.New(), &counter{}
	read := io.TeeReader(content, io.MultiWriter(sum, counted))
	if err := each(file, read); err != nil {
		return &useError{err}
	}
	if _, err := io.Copy(io.Discard, read); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != file.SHA256 || counted.n != file.Size {
		return fmt.Errorf("%s has %d bytes with the checksum %s, not %d with %s", file.Name, counted.n, got, file.Size, file.SHA256)
	}
	return nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Content is what a restore needs: the files of hosts in memory, and the snapshot as a
// local file.
type Content struct {
	Manifest Manifest
	// Files are the contents of all files but the snapshot, by their names.
	Files map[string][]byte
	// Snapshot is the path of the snapshot of etcd.
	Snapshot string
}

// Open verifies a backup and reads it. The snapshot is written to the directory, with mode
// 0600; private keys are kept in memory only.
func Open(ctx context.Context, path, dir string, identities []age.Identity) (*Content, error) {
	c := &Content{Files: map[string][]byte{}, Snapshot: dir + "/snapshot.db"}
	var err error
	c.Manifest, err = Read(ctx, path, identities, func(f File, content io.Reader) error {
		if f.Name != SnapshotName {
			var text bytes.Buffer
			_, err := io.Copy(&text, content)
			c.Files[f.Name] = text.Bytes()
			return err
		}
		out, err := os.OpenFile(c.Snapshot, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, content)
		return errors.Join(err, out.Close())
	})
	return c, err
}
