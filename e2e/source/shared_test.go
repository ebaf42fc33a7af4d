package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/modfile"
)

// slipway and the components that use client-go require the same versions of it and of its dependencies, so that the
// compiler's cache serves all of them. This saves a quarter of a cold build.
func TestClientGoIsCompiledOnce(t *testing.T) {
	t.Parallel()
	shared := []string{
		"github.com/emicklei/go-restful/v3", "github.com/fxamacker/cbor/v2", "github.com/go-logr/logr",
		"github.com/go-openapi/jsonpointer", "github.com/go-openapi/jsonreference", "github.com/go-openapi/swag",
		"github.com/google/gnostic-models", "github.com/json-iterator/go", "github.com/mailru/easyjson", "github.com/modern-go/reflect2",
		"github.com/spf13/pflag", "go.yaml.in/yaml/v2", "go.yaml.in/yaml/v3",
		"golang.org/x/net", "golang.org/x/oauth2", "golang.org/x/sys", "golang.org/x/term", "golang.org/x/text",
		"golang.org/x/time", "google.golang.org/protobuf", "gopkg.in/evanphx/json-patch.v4",
		"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "k8s.io/klog/v2", "k8s.io/kube-openapi", "k8s.io/utils",
		"sigs.k8s.io/json", "sigs.k8s.io/structured-merge-diff/v6", "sigs.k8s.io/yaml",
	}
	for _, c := range components() {
		if slices.Contains(c.tags, "notest") {
			t.Errorf("%s is built with the tag notest, by which apimachinery, and so client-go, is another than slipway's", c.name)
		}
	}
	own := required(t, filepath.Join("..", "..", "go.mod"))
	for _, component := range []string{"kubernetes", "coredns", "flannel", "local-path-provisioner"} {
		file := filepath.Join("modules", component, "go.mod")
		theirs := required(t, file)
		for _, module := range shared {
			if theirs[module] != "" && own[module] != theirs[module] {
				t.Errorf("%s: %s %s, slipway has %s: go get one of them", file, module, theirs[module], own[module])
			}
		}
		if theirs["k8s.io/client-go"] == "" {
			t.Errorf("%s does not require client-go", file)
		}
	}
}

// required are the versions that a go.mod requires, by module.
func required(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse(file, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Mod.Path] = r.Mod.Version
	}
	return versions
}
