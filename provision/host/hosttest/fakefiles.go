package hosttest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host"
)

// Put creates a file of root with mode 0644.
func (f *Fake) Put(path, content string) {
	f.PutFile(host.File{Path: path, Content: []byte(content)})
}

// PutFile creates a file or directory.
func (f *Fake) PutFile(file host.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[file.Path] = normal(file)
}

// PutBlob creates a large file.
func (f *Fake) PutBlob(blob host.Blob) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blobs[blob.Path] = blob
}

// Remove deletes a file, or a directory with its contents.
func (f *Fake) Remove(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	below := func(other string) bool { return other == path || strings.HasPrefix(other, path+"/") }
	maps.DeleteFunc(f.files, func(other string, _ host.File) bool { return below(other) })
	maps.DeleteFunc(f.blobs, func(other string, _ host.Blob) bool { return below(other) })
}

// File returns the file or directory at the path, with its mode filled in.
func (f *Fake) File(path string) (host.File, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, found := f.files[path]
	return file, found
}

// Blob returns the large file at the path.
func (f *Fake) Blob(path string) (host.Blob, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	blob, found := f.blobs[path]
	return blob, found
}

// Paths returns the sorted paths of all files, directories and blobs.
func (f *Fake) Paths() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(merge(f.files, f.blobs)))
}

func merge(files map[string]host.File, blobs map[string]host.Blob) map[string]bool {
	all := map[string]bool{}
	for path := range files {
		all[path] = true
	}
	for path := range blobs {
		all[path] = true
	}
	return all
}

func normal(file host.File) host.File {
	file.Mode = file.Mode.Type() | file.Perm()
	file.Content = bytes.Clone(file.Content)
	return file
}

// Stat returns a file or directory without its content.
func (f *Fake) Stat(ctx context.Context, path string) (host.File, error) {
	if err := ctx.Err(); err != nil {
		return host.File{}, fmt.Errorf("%s: stat %s: %w", f.name, path, err)
	}
	file, found := f.File(path)
	if !found {
		return host.File{}, fmt.Errorf("%s: stat %s: %w", f.name, path, fs.ErrNotExist)
	}
	file.Content = nil
	return file, nil
}

// Differs compares with the files of Put, PutFile and WriteFiles.
func (f *Fake) Differs(ctx context.Context, files ...host.File) ([]host.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: compare: %w", f.name, err)
	}
	var differ []host.File
	for _, file := range files {
		have, found := f.File(file.Path)
		want := normal(file)
		if !found || have.Mode != want.Mode || have.UID != want.UID || have.GID != want.GID || !bytes.Equal(have.Content, want.Content) {
			differ = append(differ, file)
		}
	}
	return differ, nil
}

// WriteFiles keeps the files.
func (f *Fake) WriteFiles(ctx context.Context, files ...host.File) error {
	for _, file := range files {
		what := fmt.Sprintf("write %s %v %d:%d, %d bytes", file.Path, normal(file).Mode, file.UID, file.GID, len(file.Content))
		if err := f.fileStep(ctx, "write", file.Path, what); err != nil {
			return err
		}
		f.PutFile(file)
	}
	return nil
}

// Upload keeps the blobs. It does not read the local files.
func (f *Fake) Upload(ctx context.Context, blobs ...host.Blob) error {
	for _, blob := range blobs {
		what := fmt.Sprintf("upload %s %v %d bytes", blob.Path, cmp.Or(blob.Mode, 0o644), blob.Size)
		if err := f.fileStep(ctx, "upload", blob.Path, what); err != nil {
			return err
		}
		f.PutBlob(blob)
	}
	return nil
}

// fileStep records a step, and matches it with an expectation if there is one.
func (f *Fake) fileStep(ctx context.Context, kind, path, what string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %s %s: %w", f.name, kind, path, err)
	}
	f.record("%s", what)
	if e := f.match(kind, fileCmd(kind, path), nil); e != nil {
		_, err := e.answer(f.name, fileCmd(kind, path))
		return err
	}
	f.mu.Lock()
	strict := f.strictFiles
	f.mu.Unlock()
	if strict {
		return f.unexpected(what)
	}
	return nil
}

// Sum returns the sha256 of a file or blob, in lower-case hex; empty if there
// is none at the path.
func (f *Fake) Sum(path string) string {
	if blob, found := f.Blob(path); found {
		return blob.SHA256
	}
	file, found := f.File(path)
	if !found || file.Mode.IsDir() {
		return ""
	}
	sum := sha256.Sum256(file.Content)
	return hex.EncodeToString(sum[:])
}
