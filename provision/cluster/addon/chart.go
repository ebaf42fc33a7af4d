package addon

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/registry"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// hook marks objects that Helm creates at certain points of a release's life.
const hook = "helm.sh/hook"

// Chart is a loaded chart.
type Chart = helmchart.Chart

// Release is the input of a chart's templates.
type Release struct {
	// Name and Namespace are those of the release.
	Name, Namespace string
	// Kubernetes is the cluster's version, with its v.
	Kubernetes string
	// APIs is what the cluster serves, "networking.k8s.io/v1" and
	// "networking.k8s.io/v1/Ingress".
	APIs []string
	// Values differ from the chart's defaults.
	Values map[string]any
}

// Rendered are a chart's objects.
type Rendered struct {
	Objects []*unstructured.Unstructured
	// Hooks names the objects that were left out: slipway does not run hooks.
	Hooks []string
}

// LoadChart reads a chart from a directory or an archive on localhost.
func LoadChart(file string) (*Chart, error) {
	c, err := loader.Load(file)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", file, err)
	}
	return c, nil
}

// LoadChartArchive reads the content of a chart's archive (.tgz).
func LoadChartArchive(name string, archive []byte) (*Chart, error) {
	c, err := loader.LoadArchive(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", name, err)
	}
	return c, nil
}

// PullChart fetches a chart's archive from a registry, by a reference
// "oci://host/path" and a version. The credentials are those of `helm registry
// login`. A registry on localhost is reached without TLS.
func PullChart(s *workflow.Step, reference, version string) ([]byte, error) {
	client, err := s.Credentials().Client(s.Cluster())
	if err != nil {
		return nil, err
	}
	return pullChart(client, reference, version)
}

func pullChart(web *http.Client, reference, version string) ([]byte, error) {
	bare := strings.TrimPrefix(reference, "oci://")
	options := []registry.ClientOption{registry.ClientOptHTTPClient(web)}
	if local(bare) {
		options = append(options, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", reference, err)
	}
	pulled, err := client.Pull(bare+":"+version, registry.PullOptWithChart(true))
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", reference, err)
	}
	return pulled.Chart.Data, nil
}

// local reports whether the registry is on localhost.
func local(reference string) bool {
	host, _, _ := strings.Cut(reference, "/")
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// RenderChart renders a chart's templates.
func RenderChart(c *Chart, r Release) (Rendered, error) {
	texts, err := render(c, r)
	if err != nil {
		return Rendered{}, fmt.Errorf("chart %s %s: %w", c.Name(), c.Metadata.Version, err)
	}
	var out Rendered
	for _, text := range texts {
		objects, err := kube.Decode([]byte(text.content))
		if err != nil {
			return Rendered{}, fmt.Errorf("chart %s: %s: %w", c.Name(), text.name, err)
		}
		for _, o := range objects {
			if o.GetAnnotations()[hook] != "" {
				out.Hooks = append(out.Hooks, fmt.Sprintf("%s %s (%s)", o.GetKind(), o.GetName(), o.GetAnnotations()[hook]))
				continue
			}
			out.Objects = append(out.Objects, o)
		}
	}
	if len(out.Objects) == 0 {
		return Rendered{}, fmt.Errorf("chart %s: it renders no objects with these values", c.Name())
	}
	return out, nil
}

// text is a rendered file.
type text struct{ name, content string }

func render(c *Chart, r Release) ([]text, error) {
	if kind := c.Metadata.Type; kind == "library" {
		return nil, errors.New("a library chart cannot be installed")
	}
	if err := chartutil.ProcessDependencies(c, r.Values); err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	version, err := common.ParseKubeVersion(r.Kubernetes)
	if err != nil {
		return nil, err
	}
	capabilities.KubeVersion = *version
	capabilities.APIVersions = append(capabilities.APIVersions, r.APIs...)
	if wanted := c.Metadata.KubeVersion; wanted != "" && !chartutil.IsCompatibleRange(wanted, version.String()) {
		return nil, fmt.Errorf("it requires Kubernetes %s, the cluster has %s", wanted, version)
	}
	release := common.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	values, err := util.ToRenderValues(c, r.Values, release, capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, values)
	if err != nil {
		return nil, err
	}
	var texts []text
	for _, crd := range c.CRDObjects() {
		texts = append(texts, text{crd.Filename, string(crd.File.Data)})
	}
	for name, content := range files {
		if path.Base(name) != "NOTES.txt" && !strings.HasPrefix(path.Base(name), "_") {
			texts = append(texts, text{name, content})
		}
	}
	slices.SortStableFunc(texts, func(a, b text) int { return strings.Compare(a.name, b.name) })
	return texts, nil
}
