package main

import (
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"slipway.io/slipway/provision/bundle"
)

// pinned reads the versions that the committed modules require, and what a bundle from them declares.
func pinned(t *testing.T) (map[string]string, pins) {
	t.Helper()
	versions := map[string]string{}
	for _, c := range components() {
		v, err := moduleVersion(filepath.Join("modules", c.name), c.module)
		if err != nil {
			t.Fatal(err)
		}
		versions[c.name] = v
	}
	declared, err := loadPins()
	if err != nil {
		t.Fatal(err)
	}
	return versions, declared
}

func TestABundleDeclaresWhatTheModulesRequire(t *testing.T) {
	t.Parallel()
	versions, declared := pinned(t)
	if err := checkPins(declared.Release, declared.Addons, versions); err != nil {
		t.Error(err)
	}
	if got, want := declared.Release.Kubernetes, versions["kubernetes"]; got != want {
		t.Errorf("the release is %s, want %s", got, want)
	}
	var names []string
	for _, addon := range declared.Addons {
		names = append(names, addon.Name)
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(buildable())); !slices.Equal(names, want) {
		t.Errorf("pins.yaml has the addons %q, want %q", names, want)
	}
}

func TestCheckPinsNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	for component, says := range map[string]string{
		"kubernetes": "kubelet", "containerd": "containerd", "etcd": "registry.k8s.io/etcd",
		"coredns": "registry.k8s.io/coredns/coredns", "flannel": "ghcr.io/flannel-io/flannel",
		"metallb": "quay.io/metallb/speaker", "traefik": "docker.io/library/traefik",
	} {
		t.Run("another "+component, func(t *testing.T) {
			t.Parallel()
			versions, declared := pinned(t)
			versions[component] = "v0.0.1"
			if err := checkPins(declared.Release, declared.Addons, versions); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want it to say %q", err, says)
			}
		})
	}
}

func TestEveryFileAndImageOfTheReleaseIsBuilt(t *testing.T) {
	t.Parallel()
	_, declared := pinned(t)
	release := declared.Release
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]bool{"pause/pause": true}
	for _, name := range runitPrograms() {
		commands["runit/"+name] = true
	}
	for _, c := range components() {
		for _, p := range c.packages {
			commands[c.name+"/"+commandName(p)] = true
		}
	}
	for name := range release.Components {
		component, err := catalogue.Component(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range component.Files() {
			if built := builtFrom(name) + "/" + filepath.Base(file); !commands[built] {
				t.Errorf("%s is not built", built)
			}
		}
	}
	specs := imageSpecs()
	images := release.Images
	for _, addon := range declared.Addons {
		images = append(images, addon.Images...)
	}
	for _, image := range images {
		spec, ok := specFor(specs, image.Name)
		if !ok {
			t.Errorf("%s has no spec", image.Name)
		}
		for _, program := range spec.files {
			if !commands[program] {
				t.Errorf("%s needs %s, which is not built", image.Name, program)
			}
		}
		if len(spec.entrypoint) > 0 {
			if _, there := spec.files[strings.TrimPrefix(spec.entrypoint[0], "/")]; !there {
				t.Errorf("%s has no file for its entrypoint %s", image.Name, spec.entrypoint[0])
			}
		}
	}
}

func TestModulesArePinnedCompletely(t *testing.T) {
	t.Parallel()
	for _, c := range components() {
		dir := filepath.Join("modules", c.name)
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		mod, err := modfile.Parse("go.mod", data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range mod.Replace {
			if r.New.Version == "" {
				t.Errorf("%s replaces %s by a local directory", c.name, r.Old.Path)
			}
		}
		if mod.Module.Mod.Path != modulesPath+c.name {
			t.Errorf("%s calls itself %s", c.name, mod.Module.Mod.Path)
		}
		if _, err := os.Stat(filepath.Join(dir, "go.sum")); err != nil {
			t.Error(err)
		}
		if args := strings.Join(c.arguments("v1.0.0"), " "); !strings.Contains(args, "-mod=readonly") || !strings.Contains(args, "-trimpath") {
			t.Errorf("%s is built with %s", c.name, args)
		}
	}
}

func TestKubernetesFlagsSetTheVersionEverywhere(t *testing.T) {
	t.Parallel()
	flags := strings.Join(kubernetesFlags("v1.36.4"), " ")
	for _, want := range []string{
		"k8s.io/component-base/version.gitVersion=v1.36.4", "k8s.io/client-go/pkg/version.gitVersion=v1.36.4",
		"version.gitMajor=1 ", "version.gitMinor=36 ", "version.gitTreeState=clean", "version.buildDate=" + kubernetesDate,
	} {
		if !strings.Contains(flags, want) {
			t.Errorf("%q has no %s", flags, want)
		}
	}
}

func TestCompareImagesFailsWhenKubeadmWantsAnother(t *testing.T) {
	t.Parallel()
	_, declared := pinned(t)
	release := declared.Release
	wanted := []string{"registry.k8s.io/kube-apiserver:v1.36.4", "registry.k8s.io/pause:3.10.2", "registry.k8s.io/etcd:3.6.8-0"}
	if err := compareImages(wanted, release); err != nil {
		t.Error(err)
	}
	if err := compareImages(append(wanted, "registry.k8s.io/etcd:3.7.0-0"), release); err == nil || !strings.Contains(err.Error(), "etcd:3.7.0-0") {
		t.Errorf("got %v", err)
	}
	if err := compareImages(nil, release); err == nil {
		t.Error("an empty list must be an error")
	}
}

func TestOSRelease(t *testing.T) {
	t.Parallel()
	if got := osRelease("PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nID=debian\n"); got != "debian 12" {
		t.Errorf("got %q", got)
	}
}

func TestMissingErrorNamesPackages(t *testing.T) {
	t.Parallel()
	err := &MissingError{Packages: []string{"gcc", "libseccomp-dev"}}
	if !strings.Contains(err.Error(), "apt-get install gcc libseccomp-dev") || !strings.Contains(err.Error(), "-install") {
		t.Errorf("got %v", err)
	}
}

func TestOutputCarriesWhatTheProgramSaid(t *testing.T) {
	t.Parallel()
	_, err := output(context.Background(), "sh", "-c", "echo no space left >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "no space left") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

func TestParseRefusesUnknownFlagsAndArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-nonsense"}, {"stray"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	o, err := parse([]string{"-out", "x", "-cache", "y", "-install"}, io.Discard)
	if err != nil || o.out != "x" || !filepath.IsAbs(o.cache) || !o.install {
		t.Errorf("got %+v, %v", o, err)
	}
}

// commandName returns the name that "go build" gives the command of an import path: its last element that is not a major
// version.
func commandName(pkg string) string {
	name := path.Base(pkg)
	if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(pkg))
	}
	return name
}
