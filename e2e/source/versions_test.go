package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"slipway.io/slipway/provision/bundle"
)

// other returns the components, versions and release of another version.
func other(t *testing.T, kubernetes string) ([]component, map[string]string, bundle.Release) {
	t.Helper()
	versions, declared := pinned(t)
	components := forVersion(components(), ".", kubernetes)
	for _, c := range components {
		if c.modfile == "" {
			continue
		}
		v, err := requiredVersion(c.modfile, c.module)
		if err != nil {
			t.Fatal(err)
		}
		versions[c.name] = v
	}
	release, err := otherVersions()[kubernetes].release(declared.Release, versions)
	if err != nil {
		t.Fatal(err)
	}
	return components, versions, release
}

func TestOtherVersionsArePinnedCompletely(t *testing.T) {
	t.Parallel()
	for kubernetes := range otherVersions() {
		components, versions, release := other(t, kubernetes)
		if versions["kubernetes"] != kubernetes || release.Kubernetes != kubernetes {
			t.Errorf("versions/%s has Kubernetes %s", kubernetes, versions["kubernetes"])
		}
		if err := checkPins(release, nil, versions); err != nil {
			t.Error(err)
		}
		var changed []string
		for _, c := range components {
			if c.modfile == "" {
				continue
			}
			changed = append(changed, c.name)
			data, err := os.ReadFile(c.modfile)
			if err != nil {
				t.Fatal(err)
			}
			mod, err := modfile.Parse(c.modfile, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range mod.Replace {
				if want := "v0" + strings.TrimPrefix(kubernetes, "v1"); r.New.Version != want {
					t.Errorf("%s replaces %s by %s %s, want %s", c.modfile, r.Old.Path, r.New.Path, r.New.Version, want)
				}
			}
			if mod.Module.Mod.Path != modulesPath+c.name {
				t.Errorf("%s calls itself %s", c.modfile, mod.Module.Mod.Path)
			}
			if _, err := os.Stat(sumfile(c.modfile)); err != nil {
				t.Error(err)
			}
		}
		if want := []string{"coredns", "etcd", "kubernetes"}; !slices.Equal(slices.Sorted(slices.Values(changed)), want) {
			t.Errorf("versions/%s has %v, want %v", kubernetes, changed, want)
		}
	}
}

// The images of a version that the catalogue lists are compared with it.
func TestImagesOfOtherVersionsAreThoseOfTheCatalogue(t *testing.T) {
	t.Parallel()
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for kubernetes := range otherVersions() {
		listed, err := catalogue.Release(kubernetes)
		if err != nil {
			continue
		}
		compared++
		_, _, release := other(t, kubernetes)
		for _, image := range listed.Images {
			if !slices.ContainsFunc(release.Images, func(i bundle.ReleaseImage) bool { return i.Name == image.Name && slices.Equal(i.Roles, image.Roles) }) {
				t.Errorf("%s lacks %s: %v", kubernetes, image.Name, release.Images)
			}
		}
	}
	if compared == 0 {
		t.Error("the catalogue lists none of the versions")
	}
}

func TestAnotherVersionNeedsEveryTag(t *testing.T) {
	t.Parallel()
	versions, declared := pinned(t)
	_, err := otherVersion{}.release(declared.Release, versions)
	if err == nil || !strings.Contains(err.Error(), "no tag of registry.k8s.io/pause") {
		t.Errorf("got %v", err)
	}
}

func TestTheKeyOfAComponentChangesWithTheFilesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := aModule(t)
	tc := toolchain{golang: "go1.26.8", arch: "amd64"}
	files := t.TempDir()
	write(t, files, "x.mod", "module x\n")
	write(t, files, "x.sum", "a\n")
	c := component{name: "x", packages: []string{"example.test/x"}}
	keys := map[string]bool{}
	key := func() {
		t.Helper()
		k, err := componentKey(c, dir, "v1.0.0", tc)
		if err != nil {
			t.Fatal(err)
		}
		if keys[k] {
			t.Error("the key has not changed")
		}
		keys[k] = true
	}
	key()
	c.modfile = filepath.Join(files, "x.mod")
	key()
	write(t, files, "x.mod", "module y\n")
	key()
	write(t, files, "x.sum", "b\n")
	key()
}

func TestAnUnknownVersionIsRefusedAndTheUsualIsNoOther(t *testing.T) {
	t.Parallel()
	own, _ := pinned(t)
	b := &builder{versions: own}
	if err := b.useVersion("v1.34.0"); err == nil || !strings.Contains(err.Error(), "v1.35.8, v1.37.2, "+own["kubernetes"]) {
		t.Errorf("got %v", err)
	}
	if err := b.useVersion(own["kubernetes"]); err != nil || b.other != "" {
		t.Errorf("the usual version is %q, %v", b.other, err)
	}
	if _, err := parse([]string{"-arch", "riscv64"}, io.Discard); err == nil {
		t.Error("an unknown architecture is accepted")
	}
}

func TestDebianSources(t *testing.T) {
	t.Parallel()
	got := debianSources("Debian http://deb.test/debian/ bookworm main\nDebian http://deb.test/debian/ bookworm main\n" +
		"Debian http://deb.test/debian/ bookworm contrib\nNodeSource http://node.test/ nodistro main\n")
	if want := "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.test/debian/ bookworm main\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
