package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/contextio"
)

// Absent is what CorruptError.Got says of a file that is not there.
const Absent = "no such file"

// CorruptError is a file of a bundle that is not what bundle.yaml or an image manifest says.
type CorruptError struct {
	// Path is the file, relative to the bundle, with slashes.
	Path string
	// Want and Got are sums (sha256:…) or sizes; Got is Absent where there is no file.
	Want, Got string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: want %s, got %s: copy the bundle again or make it again", e.Path, e.Want, e.Got)
}

// missing turns "no such file" into a CorruptError and leaves other errors as they are.
func missing(path, want string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &CorruptError{Path: path, Want: want, Got: Absent}
	}
	return err
}

// item is a file whose sum and size are known.
type item struct {
	path   string
	sha256 string
	size   int64
}

// Verify hashes every file and every blob of every image. The error joins all problems found: a *CorruptError for
// each file that differs or is missing.
func (b *Bundle) Verify(ctx context.Context) error { return b.verify(ctx, nil) }

// VerifyChanged is Verify, but for files that were verified before and that the file system says have not been
// written since: a run does not hash half a gigabyte to find that there is nothing to do.
func (b *Bundle) VerifyChanged(ctx context.Context) error {
	known := loadStamps(b.dir)
	defer known.save()
	return b.verify(ctx, known)
}

// verify hashes what known does not have; nil knows nothing.
func (b *Bundle) verify(ctx context.Context, known *stamps) error {
	items, problems := b.contents()
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, it := range items {
		g.Go(func() error {
			if err := b.check(gctx, it, known); err != nil {
				mu.Lock()
				defer mu.Unlock()
				problems = append(problems, err)
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("verify bundle %s: %w", b.dir, err)
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("verify bundle %s: %w", b.dir, err)
	}
	return nil
}

// contents lists what the bundle must hold, each file and blob once, and what is wrong with its index.
func (b *Bundle) contents() ([]item, []error) {
	var items []item
	var problems []error
	for _, f := range b.manifest.Files {
		items = append(items, item{path: f.Path, sha256: f.SHA256, size: f.Size})
	}
	for _, f := range b.manifest.Manifests {
		items = append(items, item{path: f.Path, sha256: f.SHA256, size: f.Size})
	}
	seen := map[string]bool{}
	manifests := map[string]v1.Descriptor{}
	for _, image := range b.manifest.Images {
		blobs, err := b.blobs(image)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		manifests[image.Digest] = blobs[0]
		for _, d := range blobs {
			if p := blobPath(d.Digest.String()); !seen[p] {
				seen[p] = true
				items = append(items, item{path: p, sha256: d.Digest.Hex, size: d.Size})
			}
		}
	}
	if len(problems) == 0 && len(b.manifest.Images) > 0 {
		// The layout's own two files follow from the rest.
		index, err := indexJSON(b.manifest.Images, manifests)
		if err != nil {
			return items, append(problems, err)
		}
		items = append(items,
			textItem(imagesDir+"/"+layoutFile, []byte(layoutText)), textItem(imagesDir+"/"+indexFile, index))
	}
	return items, problems
}

func textItem(path string, text []byte) item {
	sum := sha256.Sum256(text)
	return item{path: path, sha256: hex.EncodeToString(sum[:]), size: int64(len(text))}
}

func (b *Bundle) check(ctx context.Context, it item, known *stamps) error {
	f, err := b.open(it.path)
	if err != nil {
		return missing(it.path, "sha256:"+it.sha256, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != it.size {
		return &CorruptError{Path: it.path, Want: fmt.Sprintf("%d bytes", it.size), Got: fmt.Sprintf("%d bytes", info.Size())}
	}
	if known != nil && known.has(it, info) {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, contextio.NewReader(ctx, f)); err != nil {
		return fmt.Errorf("%s: %w", it.path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != it.sha256 {
		return &CorruptError{Path: it.path, Want: "sha256:" + it.sha256, Got: "sha256:" + got}
	}
	if known != nil {
		known.add(it, info)
	}
	return nil
}
