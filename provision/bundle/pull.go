package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"slipway.io/slipway/provision/retry"
)

// addReleaseImage pulls an image for one architecture, from its registry or a mirror, and adds it under its own name.
// addon is empty for an image that every cluster needs.
func addReleaseImage(ctx context.Context, f *fetcher, w *Writer, image ReleaseImage, addon, arch string) error {
	pulled, err := f.pull(ctx, image.reference(arch), arch)
	if image.Digests[arch] != "" && unknownManifest(err) {
		pulled, err = f.pull(ctx, image.Name, arch) // to name the digest that the registry has
	}
	if err != nil {
		return fmt.Errorf("pull %s for %s: %w", image.Name, arch, err)
	}
	if want, pinned := image.Digests[arch]; pinned {
		got, err := pulled.Digest()
		if err != nil {
			return fmt.Errorf("pull %s for %s: %w", image.Name, arch, err)
		}
		if got.String() != want {
			return fmt.Errorf("pull %s for %s: %w", image.Name, arch, &CorruptError{Path: "image manifest", Want: want, Got: got.String()})
		}
	}
	return w.AddImage(ctx, Image{Name: image.Name, Arch: arch, Roles: image.Roles, Addon: addon}, pulled)
}

// pull finds the image in its registry or the registry's mirror. Layers are downloaded when they are read.
func (f *fetcher) pull(ctx context.Context, reference, arch string) (v1.Image, error) {
	ref, err := name.ParseReference(f.mirrored(reference))
	if err != nil {
		return nil, err
	}
	options := []remote.Option{
		remote.WithContext(ctx),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}),
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
	}
	if f.client.Transport != nil {
		options = append(options, remote.WithTransport(f.client.Transport))
	}
	image, err := remote.Image(ref, options...)
	if err != nil {
		return nil, err
	}
	// An image without an index may be for another platform.
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	if config.OS != "linux" || config.Architecture != arch {
		return nil, fmt.Errorf("no such platform in the registry: the image is for %s/%s", config.OS, config.Architecture)
	}
	return &cachedImage{Image: image, ctx: ctx, name: reference + " " + arch, fetcher: f}, nil
}

// mirrored replaces the registry of a reference with its mirror.
func (f *fetcher) mirrored(reference string) string {
	registry, rest, _ := strings.Cut(reference, "/")
	if mirror, ok := f.mirrors[registry]; ok {
		return strings.TrimSuffix(mirror, "/") + "/" + rest
	}
	return reference
}

// cachedImage reads layers from the fetcher's cache.
type cachedImage struct {
	v1.Image
	// The context of the call that pulled the image, because the methods of v1.Image take none.
	ctx     context.Context
	name    string
	fetcher *fetcher
}

// LayerByDigest returns a layer whose Compressed downloads at most once.
func (i *cachedImage) LayerByDigest(digest v1.Hash) (v1.Layer, error) {
	layer, err := i.Image.LayerByDigest(digest)
	if err != nil {
		return nil, err
	}
	return &cachedLayer{Layer: layer, image: i, digest: digest}, nil
}

type cachedLayer struct {
	v1.Layer
	image  *cachedImage
	digest v1.Hash
}

// Compressed opens the layer, and downloads it unless it is cached.
func (l *cachedLayer) Compressed() (io.ReadCloser, error) {
	f := l.image.fetcher
	label := l.image.name + " layer " + l.digest.Hex[:12]
	local, err := f.get(l.image.ctx, label, l.digest.Hex, func(ctx context.Context, part *os.File) error {
		// Registries need not support ranges: restart.
		if err := errors.Join(part.Truncate(0), seekStart(part)); err != nil {
			return err
		}
		size, err := l.Layer.Size()
		if err != nil {
			return err
		}
		r, err := l.Layer.Compressed()
		if err != nil {
			return permanent(err)
		}
		defer r.Close()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stop := context.AfterFunc(ctx, func() { r.Close() })
		defer stop()
		return f.copy(ctx, cancel, part, r, Progress{Name: label, Total: size})
	})
	if err != nil {
		return nil, err
	}
	return os.Open(local)
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// unknownManifest reports whether a registry does not have the image.
func unknownManifest(err error) bool {
	var response *transport.Error
	return errors.As(err, &response) && response.StatusCode == http.StatusNotFound
}

// permanent marks the errors of a registry that another attempt does not change.
func permanent(err error) error {
	var response *transport.Error
	if errors.As(err, &response) && response.StatusCode < 500 && response.StatusCode != http.StatusTooManyRequests {
		return retry.Stop(err)
	}
	return err
}
