package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The files and directories of an OCI image layout.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
const (
	imagesDir  = "images"
	layoutFile = "oci-layout"
	layoutText = `{"imageLayoutVersion":"1.0.0"}`
	indexFile  = "index.json"
	blobsDir   = "blobs/sha256"
)

// manifestsDir has a directory for each addon.
const manifestsDir = "manifests"

// Both annotations carry the full reference: the first is OCI's, the second is the one that containerd's importer reads
// (containerd's images.AnnotationImageName).
const (
	annotationRefName   = "org.opencontainers.image.ref.name"
	annotationImageName = "io.containerd.image.name"
)

// maxManifest is the largest image manifest in bytes, as in registries.
const maxManifest = 4 << 20

// blobPath returns the slash-separated path of a blob in the bundle.
func blobPath(digest string) string {
	return path.Join(imagesDir, blobsDir, digest[len("sha256:"):])
}

// openItem opens a file of the bundle and compares its size. A symbolic link cannot lead out of the bundle.
func (b *Bundle) openItem(it item) (*os.File, fs.FileInfo, error) {
	f, err := b.open(it.path, it.sha256)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != it.size {
		err = corrupt(it.path, fmt.Sprintf("%d bytes", it.size), fmt.Sprintf("%d bytes", info.Size()))
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// readFile reads at most limit bytes of a file of the bundle and verifies its sha256.
func (b *Bundle) readFile(slashPath, sum string, limit int64) ([]byte, error) {
	f, err := b.open(slashPath, sum)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, err
	}
	got := sha256.Sum256(data)
	return data, checkSum(slashPath, sum, got[:])
}

// open opens a file of the bundle. A missing file is a *CorruptError.
func (b *Bundle) open(slashPath, sum string) (*os.File, error) {
	f, err := os.OpenInRoot(b.dir, filepath.FromSlash(slashPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corrupt(slashPath, "sha256:"+sum, Absent)
	}
	return f, err
}

// blobs lists the blobs of an image: its manifest, its configuration, its layers.
func (b *Bundle) blobs(image Image) ([]v1.Descriptor, error) {
	digest, err := v1.NewHash(image.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", image.Name, err)
	}
	// Verified first, because the manifest names the other blobs.
	raw, err := b.readFile(blobPath(image.Digest), digest.Hex, maxManifest)
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
			return nil, fmt.Errorf("image %s: manifest %s: blob %q is not a sha256", image.Name, image.Digest, d.Digest)
		}
		list = append(list, d)
	}
	return list, nil
}

// manifestType returns the media type of an image manifest, which is optional in OCI manifests.
func manifestType(m *v1.Manifest) types.MediaType {
	if m.MediaType == "" {
		return types.OCIManifestSchema1
	}
	return m.MediaType
}

// indexJSON returns the index.json of these images, in this order.
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
