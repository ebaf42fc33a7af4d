package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slipway.io/slipway/provision/contextio"
)

// Writer writes a bundle into a temporary directory beside its target. Commit moves the complete bundle to the target. The
// methods are safe for concurrent use.
type Writer struct {
	target, dir string

	mu        sync.Mutex
	manifest  Manifest
	manifests map[string]v1.Descriptor
}

// NewWriter starts a bundle for the directory target. The caller must call Commit or Abort.
func NewWriter(target, kubernetes, origin string) (*Writer, error) {
	abs, err := filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	if err := replaceable(abs); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(abs), "."+filepath.Base(abs)+".partial-")
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	// MkdirTemp creates a private directory.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("write bundle: %w", err), os.RemoveAll(dir))
	}
	return &Writer{
		target:    abs,
		dir:       dir,
		manifest:  Manifest{APIVersion: APIVersion, Kind: Kind, Kubernetes: kubernetes, Origin: origin},
		manifests: map[string]v1.Descriptor{},
	}, nil
}

// replaceable rejects a target that is neither empty nor a bundle.
func replaceable(target string) error {
	entries, err := os.ReadDir(target)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(target, manifestName)); err != nil {
		return fmt.Errorf("%s is neither empty nor a bundle: choose another directory", target)
	}
	return nil
}

// AddFile copies r to f.Path as an executable file, and sets f.SHA256 and f.Size.
func (w *Writer) AddFile(ctx context.Context, f File, r io.Reader) error {
	var err error
	if f.SHA256, f.Size, err = w.add(ctx, f.Name, f.Path, 0o755, r); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manifest.Files = append(w.manifest.Files, f)
	return nil
}

// AddManifest copies r into the bundle as a file of an addon, and sets f.Path, f.SHA256 and f.Size.
func (w *Writer) AddManifest(ctx context.Context, f AddonFile, r io.Reader) error {
	f.Path = path.Join(manifestsDir, f.Addon, f.Name)
	var err error
	if f.SHA256, f.Size, err = w.add(ctx, f.Name, f.Path, 0o644, r); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manifest.Manifests = append(w.manifest.Manifests, f)
	return nil
}

// Downloaded records the sha256 of downloaded files, by their URL.
func (w *Writer) Downloaded(files map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.manifest.Downloads == nil {
		w.manifest.Downloads = map[string]string{}
	}
	maps.Copy(w.manifest.Downloads, files)
}

// add validates the path before put.
func (w *Writer) add(ctx context.Context, name, slashPath string, mode fs.FileMode, r io.Reader) (sum string, size int64, err error) {
	if err := checkPath(slashPath); err != nil {
		return "", 0, fmt.Errorf("add %s: %q %w", name, slashPath, err)
	}
	if sum, size, err = w.put(ctx, slashPath, mode, r); err != nil {
		return "", 0, fmt.Errorf("add %s: %w", name, err)
	}
	return sum, size, nil
}

// put writes a new file and returns its sha256 and size. The error wraps fs.ErrExist if the file exists.
func (w *Writer) put(ctx context.Context, slashPath string, mode fs.FileMode, r io.Reader) (sum string, size int64, err error) {
	file := filepath.Join(w.dir, filepath.FromSlash(slashPath))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", 0, err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(out, h), contextio.NewReader(ctx, r))
	// Chmod, because the umask applies to the mode of a new file.
	if err := errors.Join(err, out.Chmod(mode), out.Close()); err != nil {
		return "", 0, errors.Join(err, os.Remove(file))
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// Commit writes bundle.yaml, verifies the bundle and moves it to the target, where it replaces an existing bundle.
func (w *Writer) Commit(ctx context.Context) (*Bundle, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.finish(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("write bundle: %w", err), os.RemoveAll(w.dir))
	}
	return Open(w.target)
}

func (w *Writer) finish(ctx context.Context) error {
	slices.SortFunc(w.manifest.Files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	slices.SortFunc(w.manifest.Images, func(x, y Image) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Arch, y.Arch))
	})
	slices.SortFunc(w.manifest.Manifests, func(x, y AddonFile) int { return strings.Compare(x.Path, y.Path) })
	index, err := indexJSON(w.manifest.Images, w.manifests)
	if err != nil {
		return err
	}
	text, err := w.manifest.encode()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		imagesDir + "/" + layoutFile: []byte(layoutText),
		imagesDir + "/" + indexFile:  index,
		manifestName:                 text,
	} {
		if _, _, err := w.put(ctx, name, 0o644, bytes.NewReader(data)); err != nil {
			return err
		}
	}
	written, err := Open(w.dir)
	if err != nil {
		return err
	}
	if err := written.Verify(ctx); err != nil {
		return err
	}
	return w.swap()
}

// swap moves the finished directory to the target. An existing bundle is moved aside first and deleted last.
func (w *Writer) swap() error {
	if err := replaceable(w.target); err != nil {
		return err
	}
	old := w.dir + ".old"
	err := os.Rename(w.target, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(w.dir, w.target); err != nil {
		return errors.Join(err, os.Rename(old, w.target))
	}
	return os.RemoveAll(old)
}

// Abort deletes the temporary directory. After Commit it does nothing.
func (w *Writer) Abort() error { return os.RemoveAll(w.dir) }
