package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

const (
	pauseName = "registry.k8s.io/pause:3.10.2"
	etcdName  = "registry.k8s.io/etcd:3.6.8-0"
)

// randomImage is an image for an architecture, on the given layers or one of its own.
func randomImage(t *testing.T, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := random.Image(2048, 1)
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layers...); err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// newBundle writes a bundle with two binaries and two images that share a layer.
func newBundle(t *testing.T) *Bundle {
	t.Helper()
	w, err := NewWriter(filepath.Join(t.TempDir(), "bundle"), "v1.36.4", OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, f := range []File{
		{Name: "kubelet", Version: "v1.36.4", OS: "linux", Arch: "amd64", Path: BinPath("linux", "amd64", "kubelet")},
		{Name: "cni/bridge", Version: "v1.9.1", OS: "linux", Arch: "amd64", Path: BinPath("linux", "amd64", "cni/bridge")},
		{Name: "kubectl", Version: "v1.36.4", OS: "linux", Arch: "amd64", Path: BinPath("linux", "amd64", "kubectl"), Roles: []string{"control-plane"}},
		{Name: "kubelet", Version: "v1.36.4", OS: "linux", Arch: "arm64", Path: BinPath("linux", "arm64", "kubelet")},
	} {
		if err := w.AddFile(ctx, f, strings.NewReader(f.Name+" for "+f.Arch)); err != nil {
			t.Fatal(err)
		}
	}
	shared, err := random.Layer(4096, "application/vnd.oci.image.layer.v1.tar")
	if err != nil {
		t.Fatal(err)
	}
	for _, add := range []struct {
		name, arch string
		roles      []string
	}{{pauseName, "amd64", nil}, {etcdName, "amd64", []string{"control-plane"}}, {pauseName, "arm64", nil}} {
		if err := w.AddImage(ctx, Image{Name: add.name, Arch: add.arch, Roles: add.roles}, randomImage(t, add.arch, shared)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fileNames(files []File) []string {
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

func imageNames(images []Image) []string {
	var names []string
	for _, i := range images {
		names = append(names, i.Name)
	}
	return names
}

func TestSelection(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	tests := map[string]struct {
		role, arch    string
		files, images []string
	}{
		"a control plane gets everything of its architecture": {
			"control-plane", "amd64", []string{"cni/bridge", "kubectl", "kubelet"}, []string{etcdName, pauseName},
		},
		"a worker gets files and images without a role": {
			"worker", "amd64", []string{"cni/bridge", "kubelet"}, []string{pauseName},
		},
		"no role selects every role": {
			"", "amd64", []string{"cni/bridge", "kubectl", "kubelet"}, []string{etcdName, pauseName},
		},
		"another architecture gets its own files": {
			"worker", "arm64", []string{"kubelet"}, []string{pauseName},
		},
		"an architecture that is not in the bundle gets nothing": {"worker", "riscv64", nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.files, fileNames(b.Files(test.role, test.arch))); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.images, imageNames(b.Images(test.role, test.arch))); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookups(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f, err := b.File("kubelet", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(b.Path(f)); err != nil || string(got) != "kubelet for arm64" {
		t.Errorf("the file at its path is %q, %v", got, err)
	}
	if got := b.Version("cni/bridge"); got != "v1.9.1" {
		t.Errorf("version of cni/bridge is %q", got)
	}
	if got := b.Version("crictl"); got != "" {
		t.Errorf("version of a missing component is %q", got)
	}
	for _, ask := range []string{"registry.k8s.io/pause", pauseName} {
		if image, err := b.Image(ask, "amd64"); err != nil || image.Name != pauseName {
			t.Errorf("image %s is %q, %v", ask, image.Name, err)
		}
	}
	var notFound *NotFoundError
	if _, err := b.File("crictl", "amd64"); !errors.As(err, &notFound) {
		t.Errorf("a missing file gives %v", err)
	}
	if _, err := b.Image("registry.k8s.io/pau", "amd64"); !errors.As(err, &notFound) {
		t.Errorf("a prefix of a repository gives %v", err)
	}
	if _, err := b.Image(etcdName, "arm64"); !errors.As(err, &notFound) {
		t.Errorf("an image of another architecture gives %v", err)
	}
}

func TestManifestIsACopy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.Manifest().Files[0].Name = "changed"
	if got := b.Manifest().Files[0].Name; got == "changed" {
		t.Error("a caller changed the bundle through the manifest")
	}
}

func TestCommitReplacesOnlyABundle(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	w, err := NewWriter(b.Dir(), "v1.36.3", OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Open(b.Dir()); err != nil || again.Manifest().Kubernetes != "v1.36.4" {
		t.Errorf("before Commit, the old bundle is gone: %v", err)
	}
	if _, err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(b.Dir()); err != nil || again.Manifest().Kubernetes != "v1.36.3" {
		t.Errorf("after Commit, the new bundle is missing: %v", err)
	}
	leftovers(t, filepath.Dir(b.Dir()), "bundle")

	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "thesis.tex"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewWriter(home, "v1.36.4", OriginSource); err == nil || !strings.Contains(err.Error(), "nor a bundle") {
		t.Errorf("want an error for a directory with other files, got %v", err)
	}
}

func TestACancelledCommitLeavesNothing(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	w, err := NewWriter(filepath.Join(parent, "bundle"), "v1.36.4", OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Commit(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	leftovers(t, parent)
}

// leftovers fails the test if the directory holds anything but the names.
func leftovers(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", dir, diff)
	}
}
