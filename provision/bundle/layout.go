package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The parts of an OCI image layout.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
const (
	imagesDir  = "images"
	layoutFile = "oci-layout"
	layoutText = `{"imageLayoutVersion":"1.0.0"}`
	indexFile  = "index.json"
	blobsDir   = "blobs/sha256"
)

// manifestsDir holds the files of addons, a folder each.
const manifestsDir = "manifests"

// Both annotations carry the full reference. containerd's importer takes the name from the second, which is its own
// (containerd's images.AnnotationImageName); other readers know the first, which is OCI's.
const (
	annotationRefName   = "org.opencontainers.image.ref.name"
	annotationImageName = "io.containerd.image.name"
)

// maxManifest bounds what is read into memory as an image manifest: the limit that registries have.
const maxManifest = 4 << 20

// blobPath is where the blob of this digest is in the bundle, with slashes.
func blobPath(digest string) string {
	return path.Join(imagesDir, blobsDir, digest[len("sha256:"):])
}

// open opens a file of the bundle for reading; a symbolic link cannot lead out of it.
func (b *Bundle) open(slashPath string) (*os.File, error) {
	return os.OpenInRoot(b.dir, filepath.FromSlash(slashPath))
}

// blobs lists what makes up an image: its manifest first, then its configuration and layers.
func (b *Bundle) blobs(image Image) ([]v1.Descriptor, error) {
	digest, err := v1.NewHash(image.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", image.Name, err)
	}
	raw, err := b.manifestBlob(image)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", image.Name, err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("image %s: manifest %s: %w", image.Name, image.Digest, err)
	}
	list := []v1.Descriptor{{MediaType: manifestType(m), Digest: digest, Size: int64(len(raw))}}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Digest.Algorithm != "sha256" || !hexSum.MatchString(d.Digest.Hex) {
			return nil, fmt.Errorf("image %s: manifest %s names the blob %q, which is no sha256", image.Name, image.Digest, d.Digest)
		}
		list = append(list, d)
	}
	return list, nil
}

// manifestType is the media type of an image manifest; OCI lets a manifest leave it out.
func manifestType(m *v1.Manifest) types.MediaType {
	if m.MediaType == "" {
		return types.OCIManifestSchema1
	}
	return m.MediaType
}

// manifestBlob reads an image manifest and checks its sum, because what it says decides which other blobs are read.
func (b *Bundle) manifestBlob(image Image) ([]byte, error) {
	p := blobPath(image.Digest)
	f, err := b.open(p)
	if err != nil {
		return nil, missing(p, image.Digest, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != image.Digest {
		return nil, &CorruptError{Path: p, Want: image.Digest, Got: got}
	}
	return raw, nil
}

// indexJSON is the index.json that names these images, in the order given.
func indexJSON(images []Image, manifests map[string]v1.Descriptor) ([]byte, error) {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, image := range images {
		d := manifests[image.Digest]
		d.Platform = &v1.Platform{OS: "linux", Architecture: image.Arch}
		d.Annotations = map[string]string{annotationRefName: image.Name, annotationImageName: image.Name}
		index.Manifests = append(index.Manifests, d)
	}
	return json.Marshal(index)
}
