package addon_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const noReplicas = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: controller}, spec: {selector: {}}}"

// bundleOf is a bundle with that manifest of MetalLB.
func bundleOf(t *testing.T, manifest string) *bundle.Bundle {
	t.Helper()
	w, err := bundle.NewWriter(filepath.Join(t.TempDir(), "bundle"), workflowtest.Kubernetes, bundle.OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	file := bundle.AddonFile{Addon: config.AddonMetalLB, Name: "metallb-native.yaml", Version: "v1.0.0"}
	if err := w.AddManifest(t.Context(), file, strings.NewReader(manifest)); err != nil {
		t.Fatal(err)
	}
	b, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inStep runs a function in a step on the control plane.
func inStep(fixture *workflowtest.Fixture, do func(context.Context, *workflow.Step) error) error {
	return fixture.Apply(workflow.Phase{Name: "test", On: workflow.Seed, Do: do})
}

func TestPublishedReadsTheBundle(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Bundle = bundleOf(t, noReplicas)
	err := inStep(fixture, func(ctx context.Context, s *workflow.Step) error {
		published, err := addon.Published(ctx, s, config.AddonMetalLB, "metallb-native.yaml")
		if err != nil {
			return err
		}
		controller, err := published.Find("Deployment", "controller")
		if err != nil {
			return err
		}
		// A Deployment that was scaled to zero differs from it.
		if n, _, _ := unstructured.NestedInt64(controller.Object, "spec", "replicas"); n != 1 {
			t.Errorf("replicas %d", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPublishedNamesAFileThatIsNotAManifest(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Bundle = bundleOf(t, "a: b\na: c\n")
	err := inStep(fixture, func(ctx context.Context, s *workflow.Step) error {
		_, err := addon.Published(ctx, s, config.AddonMetalLB, "metallb-native.yaml")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "metallb-native.yaml: manifest: document 1") {
		t.Errorf("got %v", err)
	}
}

// mirror serves that text for every URL, and returns its address and the paths
// that were requested.
func mirror(t *testing.T, text string) (address string, paths func() []string) {
	t.Helper()
	requested := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requested <- r.URL.Path
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		var all []string
		for len(requested) > 0 {
			all = append(all, <-requested)
		}
		return all
	}
}

func TestPublishedDownloadsWhatTheBundleLacks(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	metallb, err := catalogue.Addon(config.AddonMetalLB)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := metallb.Manifest("metallb-native.yaml")
	if err != nil {
		t.Fatal(err)
	}
	origin, err := url.Parse(manifest.URL)
	if err != nil {
		t.Fatal(err)
	}
	address, paths := mirror(t, noReplicas) // its sum differs
	fixture := workflowtest.New(t, one+"artifacts: {rewrites: {\"https://"+origin.Host+"/\": \""+address+"/\"}}\n")
	fixture.Bundle = workflowtest.NewBundle(t)
	err = inStep(fixture, func(ctx context.Context, s *workflow.Step) error {
		_, err := addon.Published(ctx, s, config.AddonMetalLB, "metallb-native.yaml")
		return err
	})
	if err == nil || !strings.Contains(workflow.Hint(err), "slipway bundle create --addons metallb") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
	if got := paths(); len(got) == 0 || got[0] != origin.Path {
		t.Errorf("requested %q, want %s", got, origin.Path)
	}
}

func TestFetchVerifiesTheSum(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	address, _ := mirror(t, noReplicas)
	fixture := workflowtest.New(t, one)
	sum := sha256.Sum256([]byte(noReplicas))
	err := inStep(fixture, func(ctx context.Context, s *workflow.Step) error {
		text, err := addon.Fetch(ctx, s, address+"/a.yaml", hex.EncodeToString(sum[:]))
		if string(text) != noReplicas {
			t.Errorf("got %q", text)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = inStep(fixture, func(ctx context.Context, s *workflow.Step) error {
		_, err := addon.Fetch(ctx, s, address+"/a.yaml", strings.Repeat("0", 64))
		return err
	})
	if err == nil {
		t.Error("a file with another sum is accepted")
	}
}

func TestImageIsThatOfTheBundleOrOfTheCatalogue(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Bundle = workflowtest.NewBundle(t)
	err := inStep(fixture, func(_ context.Context, s *workflow.Step) error {
		if got, err := addon.Image(s, config.AddonTraefik, "docker.io/library/traefik"); err != nil || got != workflowtest.TraefikImage {
			t.Errorf("in the bundle: %q, %v", got, err)
		}
		if got, err := addon.Image(s, config.AddonHeadlamp, "ghcr.io/headlamp-k8s/headlamp"); err != nil || !strings.HasPrefix(got, "ghcr.io/headlamp-k8s/headlamp:") {
			t.Errorf("in the catalogue: %q, %v", got, err)
		}
		if _, err := addon.Image(s, config.AddonTraefik, "example.org/none"); err == nil || !strings.Contains(err.Error(), "example.org/none") {
			t.Errorf("nowhere: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
