package bundle

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
)

func TestCatalogueHasEverythingForItsReleases(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	var minors []string
	for _, v := range c.versions() {
		minors = append(minors, strings.Join(strings.Split(strings.TrimPrefix(v, "v"), ".")[:2], "."))
	}
	slices.Sort(minors)
	if diff := cmp.Diff(config.SupportedMinors(), slices.Compact(minors)); diff != "" {
		t.Errorf("minor versions (-supported +listed):\n%s", diff)
	}
	for _, version := range c.versions() {
		r, err := c.Release(strings.TrimPrefix(version, "v"))
		if err != nil {
			t.Fatal(err)
		}
		published(c, r)
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

// published fills in the sums that a bundle takes from the release server.
func published(c Catalogue, r Release) {
	for name, version := range r.Components {
		for i := range c.Components {
			if comp := &c.Components[i]; comp.Name == name && comp.Checksums != "" && comp.SHA256[version] == nil {
				comp.SHA256[version] = map[string]string{"amd64": strings.Repeat("0", 64), "arm64": strings.Repeat("0", 64)}
			}
		}
	}
}

func TestTheDefaultVersionNeedsNoSumsOfAServer(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Release(config.DefaultKubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan(c, r, nil, Arches()); err != nil {
		t.Error(err)
	}
}

func TestCatalogueURLs(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ version, arch, want, sums string }{
		"kubelet": {
			"v1.36.4", "amd64", "https://dl.k8s.io/release/v1.36.4/bin/linux/amd64/kubelet",
			"https://dl.k8s.io/release/v1.36.4/bin/linux/amd64/kubelet.sha256",
		},
		"containerd": {
			"v2.3.4", "arm64", "https://github.com/containerd/containerd/releases/download/v2.3.4/containerd-static-2.3.4-linux-arm64.tar.gz",
			"https://github.com/containerd/containerd/releases/download/v2.3.4/containerd-static-2.3.4-linux-arm64.tar.gz.sha256sum",
		},
		"runc": {
			"v1.4.3", "amd64", "https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.amd64",
			"https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum",
		},
		"cni-plugins": {
			"v1.9.1", "amd64", "https://github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz",
			"https://github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256",
		},
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
			if got := expand(component.Checksums, test.version, test.arch); got != test.sums {
				t.Errorf("sums: got %s, want %s", got, test.sums)
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
		"an unknown field":            {"  url:", "  uri: x\n  url:", "line 3: field uri not found"},
		"no releases":                 {"- kubernetes: v1.36.4\n  components: {runc: v1.4.3}\n  images:\n  - name: registry.k8s.io/pause:3.10.2\n", "", "releases: must not be empty"},
		"a component twice":           {"components:\n- name: runc", "components:\n- {name: runc, url: \"https://a.test\"}\n- name: runc", "components[1].name: duplicate component runc"},
		"a release of no version":     {"v1.36.4", "latest", "releases[0].kubernetes: is \"latest\""},
		"a digest that is none":       {":3.10.2\n", ":3.10.2\n    digests: {amd64: \"sha256:12\"}\n", "releases[0].images[0].digests"},
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

func TestACatalogueFileTakesTheBuiltInOnesPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(path, BuiltInCatalogue(), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := OpenCatalogue(path)
	if err != nil {
		t.Fatal(err)
	}
	builtIn, err := OpenCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(builtIn, own); diff != "" {
		t.Errorf("(-built in +file):\n%s", diff)
	}
	if err := os.WriteFile(path, []byte("components: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, path + ".none"} {
		if _, err := OpenCatalogue(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v", file, err)
		}
	}
}
