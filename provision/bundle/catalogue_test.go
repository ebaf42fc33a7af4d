package bundle

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalogueHasEverythingForItsReleases(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1.36.4", "v1.36.3", "v1.35.8"}, c.versions()); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	for _, version := range c.versions() {
		r, err := c.Release(strings.TrimPrefix(version, "v"))
		if err != nil {
			t.Fatal(err)
		}
		tasks, err := plan(c, r, nil, []string{"amd64", "arm64"})
		if err != nil {
			t.Error(err)
		}
		if len(tasks) != 2*(len(r.Components)+len(r.Images)) {
			t.Errorf("%s: %d downloads for two architectures", version, len(tasks))
		}
		var files []string
		for name := range r.Components {
			component, err := c.Component(name)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, component.Files()...)
		}
		for _, must := range []string{
			"kubeadm", "kubelet", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "runc",
			"cni/bridge", "cni/loopback", "cni/host-local", "cni/portmap",
		} {
			if !slices.Contains(files, must) {
				t.Errorf("%s has no %s", version, must)
			}
		}
		for _, image := range r.Images {
			for _, own := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
				if strings.Contains(image.Name, "/"+own+":") && !strings.HasSuffix(image.Name, ":"+version) {
					t.Errorf("%s goes with %s", version, image.Name)
				}
			}
		}
	}
}

func TestCatalogueURLs(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ version, arch, want string }{
		"kubelet":     {"v1.36.4", "amd64", "https://dl.k8s.io/release/v1.36.4/bin/linux/amd64/kubelet"},
		"containerd":  {"v2.3.4", "arm64", "https://github.com/containerd/containerd/releases/download/v2.3.4/containerd-static-2.3.4-linux-arm64.tar.gz"},
		"runc":        {"v1.4.3", "amd64", "https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.amd64"},
		"cni-plugins": {"v1.9.1", "amd64", "https://github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			component, err := c.Component(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := component.url(test.version, test.arch); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestCatalogueRejects(t *testing.T) {
	t.Parallel()
	const good = `components:
- name: runc
  url: https://example.test/{version}/{arch}
  sha256:
    v1.4.3: {amd64: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
releases:
- kubernetes: v1.36.4
  components: {runc: v1.4.3}
  images:
  - name: registry.k8s.io/pause:3.10.2
`
	if _, err := parseCatalogue([]byte(good)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ old, replacement, want string }{
		"an unknown field":            {"  url:", "  uri: x\n  url:", "uri"},
		"a url without encryption":    {"https:", "http:", "does not use https"},
		"an empty sum":                {"aaaa}", "}", "sha256 of v1.4.3 for amd64"},
		"a release without sums":      {"runc: v1.4.3", "runc: v1.5.2", "no sha256 for runc v1.5.2"},
		"an image without a tag":      {":3.10.2", "", "registry.k8s.io/pause"},
		"an extraction out of a path": {"  sha256:", "  extract: {bin/runc: ../runc}\n  sha256:", "leads out of the bundle"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseCatalogue([]byte(strings.Replace(good, test.old, test.replacement, 1)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
}

func TestAnUnknownVersionListsTheKnownOnes(t *testing.T) {
	t.Parallel()
	_, err := Create(t.Context(), CreateOptions{Dir: t.TempDir(), Kubernetes: "v1.20.0"})
	if err == nil || !strings.Contains(err.Error(), "v1.36.4") {
		t.Errorf("got %v", err)
	}
}
