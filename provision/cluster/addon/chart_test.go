package addon

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v4/pkg/registry"
)

// files are a chart with everything that rendering treats specially.
var files = map[string]string{
	"Chart.yaml":  "apiVersion: v2\nname: shop\nversion: 1.2.3\nkubeVersion: '>=1.30.0-0'\n",
	"values.yaml": "replicas: 1\nname: goods\n",
	"crds/crd.yaml": `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: goods.example.org}
`,
	"templates/_helpers.tpl": `{{- define "shop.name" -}}{{ .Release.Name }}-{{ .Values.name }}{{- end }}`,
	"templates/NOTES.txt":    "thank you",
	"templates/config.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: {{ include "shop.name" . }}}
data:
  namespace: {{ .Release.Namespace }}
  kubernetes: {{ .Capabilities.KubeVersion.Version }}
  replicas: {{ .Values.replicas | quote }}
  gateways: {{ .Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1/Gateway" | quote }}
`,
	"templates/test.yaml": `apiVersion: v1
kind: Pod
metadata: {name: try, annotations: {helm.sh/hook: test}}
`,
}

func directory(t *testing.T, changed map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	for name, content := range files {
		if other, ok := changed[name]; ok {
			content = other
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// archive is the chart as `helm package` makes it.
func archive(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	tw := tar.NewWriter(gz)
	for name, content := range files {
		if err := tw.WriteHeader(&tar.Header{Name: "shop/" + name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func release() Release {
	return Release{
		Name: "market", Namespace: "square", Kubernetes: "v1.36.4", Values: map[string]any{"replicas": int64(3)},
		APIs: []string{"gateway.networking.k8s.io/v1/Gateway"},
	}
}

// asWanted looks at what was rendered.
func asWanted(t *testing.T, got Rendered) {
	t.Helper()
	var kinds []string
	for _, o := range got.Objects {
		kinds = append(kinds, o.GetKind()+" "+o.GetName())
	}
	if want := []string{"CustomResourceDefinition goods.example.org", "ConfigMap market-goods"}; !slices.Equal(kinds, want) {
		t.Fatalf("got %q, want %q", kinds, want)
	}
	data, _ := got.Objects[1].Object["data"].(map[string]any)
	for key, want := range map[string]any{"namespace": "square", "kubernetes": "v1.36.4", "replicas": "3", "gateways": "true"} {
		if data[key] != want {
			t.Errorf("%s is %v, want %v", key, data[key], want)
		}
	}
	if want := []string{"Pod try (test)"}; !slices.Equal(got.Hooks, want) {
		t.Errorf("hooks %q, want %q", got.Hooks, want)
	}
}

func TestAChartFromADirectoryIsRendered(t *testing.T) {
	t.Parallel()
	c, err := LoadChart(directory(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := RenderChart(c, release())
	if err != nil {
		t.Fatal(err)
	}
	asWanted(t, got)
}

func TestAChartFromARegistryIsRendered(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(ggcr.New())
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	client, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(archive(t), host+"/charts/shop:1.2.3"); err != nil {
		t.Fatal(err)
	}
	data, err := pullChart(http.DefaultClient, "oci://"+host+"/charts/shop", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	c, err := LoadChartArchive("shop", data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := RenderChart(c, release())
	if err != nil {
		t.Fatal(err)
	}
	asWanted(t, got)
	if _, err := pullChart(http.DefaultClient, "oci://"+host+"/charts/shop", "9.9.9"); err == nil {
		t.Error("a version that is not there is pulled")
	}
}

func TestInvalidChartsAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		changed map[string]string
		want    string
	}{
		"for another Kubernetes": {map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.2.3\nkubeVersion: '<1.30'\n"}, "requires Kubernetes <1.30"},
		"a library":              {map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.2.3\ntype: library\n"}, "library"},
		"a template that breaks": {map[string]string{"templates/config.yaml": "{{ fail \"give it a name\" }}"}, "give it a name"},
		"no YAML":                {map[string]string{"templates/config.yaml": "a: b: c"}, "config.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := LoadChart(directory(t, test.changed))
			if err == nil {
				_, err = RenderChart(c, release())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
	if _, err := LoadChart(t.TempDir()); err == nil {
		t.Error("an empty directory is a chart")
	}
}
