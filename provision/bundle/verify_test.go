package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// corrupted collects the paths of all CorruptErrors in err, and what was found there.
func corrupted(err error) map[string]string {
	found := map[string]string{}
	var walk func(error)
	walk = func(err error) {
		if c, ok := err.(*CorruptError); ok {
			found[c.Path] = c.Got
		}
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	return found
}

func paths(found map[string]string) map[string]bool {
	names := map[string]bool{}
	for p := range found {
		names[p] = true
	}
	return names
}

// corruptFile changes one byte of a file.
func corruptFile(t *testing.T, b *Bundle, slashPath string) {
	t.Helper()
	file := filepath.Join(b.Dir(), filepath.FromSlash(slashPath))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// blobsOf are the paths of an image's manifest, configuration and layers.
func blobsOf(t *testing.T, b *Bundle, repository string) []string {
	t.Helper()
	image, err := b.Image(repository, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.blobs(image)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		names = append(names, blobPath(d.Digest.String()))
	}
	return names
}

func TestVerifyAcceptsANewBundle(t *testing.T) {
	t.Parallel()
	if err := newBundle(t).Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestVerifyReportsEveryCorruptAndMissingFile(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	pause := blobsOf(t, b, "registry.k8s.io/pause")
	config, layer := pause[1], pause[2]
	corruptFile(t, b, "bin/linux-amd64/kubelet")
	corruptFile(t, b, config)
	for _, gone := range []string{"bin/linux-amd64/cni/bridge", layer} {
		if err := os.Remove(filepath.Join(b.Dir(), filepath.FromSlash(gone))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(b.Dir(), "bin", "linux-arm64", "kubelet"), 3); err != nil {
		t.Fatal(err)
	}
	found := corrupted(b.Verify(t.Context()))
	want := map[string]bool{
		"bin/linux-amd64/kubelet": true, "bin/linux-amd64/cni/bridge": true, "bin/linux-arm64/kubelet": true,
		config: true, layer: true,
	}
	if diff := cmp.Diff(want, paths(found)); diff != "" {
		t.Errorf("reported files (-want +got):\n%s", diff)
	}
	if got := found[layer]; got != Absent {
		t.Errorf("a missing layer is reported as %q", got)
	}
	if got := found["bin/linux-arm64/kubelet"]; got != "3 bytes" {
		t.Errorf("a truncated file is reported as %q", got)
	}
}

func TestVerifyDetects(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, b *Bundle) string{
		"a corrupt image manifest": func(t *testing.T, b *Bundle) string {
			p := blobsOf(t, b, "registry.k8s.io/etcd")[0]
			corruptFile(t, b, p)
			return p
		},
		"a missing image manifest": func(t *testing.T, b *Bundle) string {
			p := blobsOf(t, b, "registry.k8s.io/etcd")[0]
			if err := os.Remove(filepath.Join(b.Dir(), filepath.FromSlash(p))); err != nil {
				t.Fatal(err)
			}
			return p
		},
		"an index with other image names": func(t *testing.T, b *Bundle) string {
			corruptFile(t, b, "images/index.json")
			return "images/index.json"
		},
		"a missing layout file": func(t *testing.T, b *Bundle) string {
			if err := os.Remove(filepath.Join(b.Dir(), "images", "oci-layout")); err != nil {
				t.Fatal(err)
			}
			return "images/oci-layout"
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			want := spoil(t, b)
			if diff := cmp.Diff(map[string]bool{want: true}, paths(corrupted(b.Verify(t.Context())))); diff != "" {
				t.Errorf("reported files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerifyDoesNotFollowALinkOutOfTheBundle(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f, err := b.File("kubelet", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "kubelet")
	if err := os.Rename(b.Path(f), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, b.Path(f)); err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("got %v, want an error for the link", err)
	}
}

func TestVerifyStopsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newBundle(t).Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
