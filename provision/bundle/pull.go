package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
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
	ref, err := f.reference(reference)
	if err != nil {
		return nil, err
	}
	var found *cachedImage
	label := reference + " " + arch
	err = f.retry(ctx, label, nil, func(context.Context) error { // the image outlives the attempt
		image, client, err := f.image(ctx, ref, arch)
		if err != nil {
			return lasting(fmt.Errorf("%s: %w", ref.Context().RegistryStr(), unwrapURL("https://"+ref.Context().RegistryStr(), err)))
		}
		found = &cachedImage{Image: image, ctx: ctx, name: label, repository: ref.Context(), client: client, fetcher: f}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// An image without an index may be for another platform.
	config, err := found.ConfigFile()
	if err != nil {
		return nil, err
	}
	if config.OS != "linux" || config.Architecture != arch {
		return nil, fmt.Errorf("no such platform in the registry: the image is for %s/%s", config.OS, config.Architecture)
	}
	return found, nil
}

// image reads the manifest and the configuration of an image. The client has logged in
// to the registry.
func (f *fetcher) image(ctx context.Context, ref name.Reference, arch string) (v1.Image, *http.Client, error) {
	login, err := authn.Resolve(ctx, f.keychain, ref.Context())
	if err != nil {
		return nil, nil, fmt.Errorf("credentials: %w", err)
	}
	authorized, err := transport.NewWithContext(ctx, ref.Context().Registry, login, f.client.Transport, []string{ref.Scope(transport.PullScope)})
	if err != nil {
		return nil, nil, err
	}
	image, err := remote.Image(ref, remote.WithContext(ctx), remote.WithTransport(authorized),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
	if err != nil {
		return nil, nil, err
	}
	_, err = image.RawConfigFile() // once: it is kept
	return image, &http.Client{Transport: authorized}, err
}

// reference parses the reference of an image, with the mirror of its registry.
func (f *fetcher) reference(reference string) (name.Reference, error) {
	mirrored, insecure := strings.CutPrefix(f.mirrored(reference), "http://")
	if insecure {
		return name.ParseReference(mirrored, name.Insecure)
	}
	return name.ParseReference(mirrored)
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
	ctx        context.Context
	name       string
	repository name.Repository
	// client has logged in to the registry.
	client  *http.Client
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
	i := l.image
	size, err := l.Size()
	if err != nil {
		return nil, err
	}
	blob := url.URL{
		Scheme: i.repository.Scheme(), Host: i.repository.RegistryStr(),
		Path: fmt.Sprintf("/v2/%s/blobs/%s", i.repository.RepositoryStr(), l.digest),
	}
	label := i.name + " layer " + l.digest.Hex[:12]
	local, err := i.fetcher.get(i.ctx, label, l.digest.Hex, i.fetcher.downloadWith(i.client, label, blob.String(), size))
	if err != nil {
		return nil, err
	}
	return os.Open(local)
}

// unknownManifest reports whether a registry does not have the image.
func unknownManifest(err error) bool {
	var response *transport.Error
	return errors.As(err, &response) && response.StatusCode == http.StatusNotFound
}
