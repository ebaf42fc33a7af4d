package workflowtest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
)

// The version of Kubernetes and of containerd in the bundle of NewBundle.
const (
	Kubernetes = config.DefaultKubernetesVersion
	Containerd = "v2.3.4"
)

// Images of the bundle of NewBundle.
const (
	PauseImage         = "registry.k8s.io/pause:3.10.2"
	APIServerImage     = "registry.k8s.io/kube-apiserver:v1.36.4"
	FlannelImage       = "ghcr.io/flannel-io/flannel:v0.28.4"
	FlannelPluginImage = "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1"
	TraefikImage       = "docker.io/library/traefik:v3.6.12"
)

// NewBundle creates a small bundle whose files and images have the right names and
// no content.
func NewBundle(t testing.TB) *bundle.Bundle {
	t.Helper()
	w, err := bundle.NewWriter(filepath.Join(t.TempDir(), "bundle"), Kubernetes, bundle.OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	controlPlane := []string{string(config.RoleControlPlane)}
	for _, f := range []bundle.File{
		{Name: "containerd", Version: Containerd},
		{Name: "containerd-shim-runc-v2", Version: Containerd},
		{Name: "ctr", Version: Containerd},
		{Name: "runc", Version: "v1.4.0"},
		{Name: "kubelet", Version: Kubernetes},
		{Name: "kubeadm", Version: Kubernetes},
		{Name: "kubectl", Version: Kubernetes, Roles: controlPlane},
		{Name: "cni/bridge", Version: "v1.9.1"},
		{Name: "cni/portmap", Version: "v1.9.1"},
	} {
		f.OS, f.Arch, f.Path = "linux", "amd64", bundle.BinPath("linux", "amd64", f.Name)
		if err := w.AddFile(t.Context(), f, strings.NewReader("the program "+f.Name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, image := range []bundle.Image{
		{Name: PauseImage},
		{Name: APIServerImage, Roles: controlPlane},
		{Name: FlannelImage, Addon: config.CNIFlannel},
		{Name: FlannelPluginImage, Addon: config.CNIFlannel},
		{Name: TraefikImage, Addon: config.AddonTraefik},
	} {
		AddImage(t, w, image)
	}
	made, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// AddImage adds an image of random content to a bundle, for amd64.
func AddImage(t testing.TB, w *bundle.Writer, of bundle.Image) {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	of.Arch = "amd64"
	if err := w.AddImage(t.Context(), of, image); err != nil {
		t.Fatal(err)
	}
}
