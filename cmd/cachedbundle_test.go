package cmd

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestTheCacheDirectoryNamesWhatTheBundleDependsOn(t *testing.T) {
	alone(t)
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	dir := func(version string, arches, addons []string) string {
		t.Helper()
		dir, err := bundleDir(catalogue, version, arches, addons)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(dir)
	}
	key, err := catalogue.Key("v1.36.4", []string{"flannel", "traefik"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dir("v1.36.4", []string{"amd64", "arm64"}, []string{"traefik", "flannel"}), "v1.36.4-amd64+arm64-flannel+traefik-"+key; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if one, both := dir("v1.36.4", []string{"amd64"}, nil), dir("v1.36.4", []string{"arm64"}, nil); one == both {
		t.Errorf("both architectures have %s", one)
	}
	before := dir("v1.36.4", []string{"amd64"}, nil)
	catalogue.Components[0].URL = "https://mirror.example/{version}/{arch}"
	if after := dir("v1.36.4", []string{"amd64"}, nil); after == before {
		t.Error("another catalogue has the same bundle")
	}
}

func TestACachedBundleIsOpenedAndCreatedForTheHosts(t *testing.T) {
	home := alone(t)
	write(t, home+"/lab.yaml", single+"network: {cni: {name: none}}\n")
	cluster, err := config.Load(home + "/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := bundleDir(catalogue, workflowtest.Kubernetes, []string{"amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(workflowtest.NewBundle(t).Dir(), dir); err != nil {
		t.Fatal(err)
	}
	open := cachedBundleOf(&session{cluster: cluster, inventory: home + "/lab.yaml"})
	for _, arches := range [][]string{{"amd64"}, nil} { // nil: no host could be asked
		b, err := open(t.Context(), workflowtest.Kubernetes, arches, func(line string) { t.Errorf("for %v: %s", arches, line) })
		if err != nil || b.Dir() != dir {
			t.Errorf("for %v: %v", arches, err)
		}
	}
	// A bundle for other hosts is another one, and nothing can be downloaded here.
	ctx, cancel := context.WithCancel(t.Context())
	var said []string
	_, err = open(ctx, workflowtest.Kubernetes, []string{"amd64", "arm64"}, func(line string) {
		said = append(said, line)
		cancel()
	})
	if err == nil || len(said) == 0 || !strings.Contains(said[0], "creating a bundle of "+workflowtest.Kubernetes+" for amd64 and arm64") {
		t.Errorf("got %v, said %q", err, said)
	}
}

func TestACatalogueThatCannotBeReadIsRefusedBeforeAnyConnection(t *testing.T) {
	home := alone(t)
	write(t, home+"/bad.yaml", "components: []\nreleases: []\nextra: 1\n")
	for title, text := range map[string]string{
		"in the inventory": single + "artifacts: {catalogue: bad.yaml}\n",
		"with the flag":    single,
	} {
		write(t, home+"/inventory.yaml", text)
		for _, command := range [][]string{{"apply"}, {"plan"}, {"validate"}, {"bundle", "create", "b", "-i", "inventory.yaml"}} {
			if title == "with the flag" {
				command = append(slices.Clone(command), "--catalogue", home+"/bad.yaml")
			}
			_, complaints, code := slipway(t, command...)
			if code != exitUsage || !strings.Contains(complaints, home+"/bad.yaml") || !strings.Contains(complaints, "line 3: field extra not found") {
				t.Errorf("%s: %q: exit code %d, %q", title, command, code, complaints)
			}
		}
	}
}

func TestTheBuiltInCatalogueIsPrinted(t *testing.T) {
	alone(t)
	out, _, code := slipway(t, "bundle", "catalogue")
	if code != 0 || out != string(bundle.BuiltInCatalogue()) {
		t.Errorf("exit code %d, %d bytes", code, len(out))
	}
}

func TestADamagedLockFileStopsTheRun(t *testing.T) {
	home := alone(t)
	write(t, home+"/lab.yaml", single)
	write(t, home+"/lab.lock.yaml", "kind: Lock\n")
	cluster, err := config.Load(home + "/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	open := cachedBundleOf(&session{cluster: cluster, inventory: home + "/lab.yaml"})
	_, err = open(t.Context(), workflowtest.Kubernetes, nil, func(string) {})
	if exitCode(err) != exitBundle || !strings.Contains(err.Error(), home+"/lab.lock.yaml") {
		t.Errorf("exit code %d, %v", exitCode(err), err)
	}
}
