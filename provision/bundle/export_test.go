package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// untar writes a tar archive into a new directory and returns it with the names in their order.
func untar(t *testing.T, data []byte) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return dir, names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		file := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteImagesKeepsTheDigests(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	images := b.Images("control-plane", "amd64")
	var archive bytes.Buffer
	if err := b.WriteImages(t.Context(), &archive, images); err != nil {
		t.Fatal(err)
	}
	dir, names := untar(t, archive.Bytes())
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the archive has duplicates: %q", names)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]string{}, map[string]string{}
	for _, image := range images {
		want[image.Name] = image.Digest
	}
	for _, d := range manifest.Manifests {
		got[d.Annotations["io.containerd.image.name"]] = d.Digest.String()
		if d.Annotations["org.opencontainers.image.ref.name"] != d.Annotations["io.containerd.image.name"] {
			t.Errorf("the annotations differ: %v", d.Annotations)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images in the archive (-want +got):\n%s", diff)
	}
}

func TestWriteImagesWritesOnlyTheseImages(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var archive bytes.Buffer
	if err := b.WriteImages(t.Context(), &archive, b.Images("worker", "amd64")); err != nil {
		t.Fatal(err)
	}
	_, names := untar(t, archive.Bytes())
	want := []string{"oci-layout", "index.json"}
	var blobs []string
	for _, p := range blobsOf(t, b, "registry.k8s.io/pause") {
		blobs = append(blobs, p[len("images/"):])
	}
	slices.Sort(blobs)
	if diff := cmp.Diff(append(want, blobs...), names); diff != "" {
		t.Errorf("names in the archive (-want +got):\n%s", diff)
	}
}

func TestWriteImagesDoesNotDependOnTheOrder(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	images := b.Images("", "amd64")
	var forth, back bytes.Buffer
	if err := b.WriteImages(t.Context(), &forth, images); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(images)
	if err := b.WriteImages(t.Context(), &back, images); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(forth.Bytes(), back.Bytes()) {
		t.Error("the archives differ")
	}
}

func TestWriteImagesRejectsACorruptBlob(t *testing.T) {
	t.Parallel()
	for _, kind := range []int{0, 1, 2} {
		b := newBundle(t)
		p := blobsOf(t, b, "registry.k8s.io/etcd")[kind]
		corruptFile(t, b, p)
		err := b.WriteImages(t.Context(), io.Discard, b.Images("control-plane", "amd64"))
		if diff := cmp.Diff(map[string]bool{p: true}, paths(corrupted(err))); diff != "" {
			t.Errorf("reported blobs (-want +got):\n%s", diff)
		}
	}
}

func TestWriteImagesReturnsTheErrorOfItsReader(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r, w := io.Pipe()
	gone := errors.New("connection lost")
	go func() {
		_, _ = io.CopyN(io.Discard, r, 700)
		r.CloseWithError(gone)
	}()
	if err := b.WriteImages(t.Context(), w, b.Images("", "amd64")); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
