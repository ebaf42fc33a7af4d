package kube

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"slipway.io/slipway/provision/host"
)

const (
	// metricsTimeout bounds the read of the metrics of an API server.
	metricsTimeout = 20 * time.Second
	// maxMetrics bounds their size in bytes: those of a large cluster have some 20 MB.
	maxMetrics = 256 << 20
	// deprecatedMetric is 1 for each deprecated API that was requested since the API
	// server started. It is stable.
	deprecatedMetric = "apiserver_requested_deprecated_apis{"
)

// DeprecatedAPI is a deprecated API that clients use.
type DeprecatedAPI struct {
	Group       string `json:"group"`
	Version     string `json:"version"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	// RemovedIn is the minor release that does not serve it any more, "1.37"; empty if
	// none is planned.
	RemovedIn string `json:"removedIn,omitempty"`
}

func (a DeprecatedAPI) String() string {
	name := a.Resource
	if a.Subresource != "" {
		name += "/" + a.Subresource
	}
	return fmt.Sprintf("%s of %s", name, schema.GroupVersion{Group: a.Group, Version: a.Version})
}

// DeprecatedAPIs returns the deprecated APIs that clients have requested from the API
// server at an address ("host:port") since it started, through the connection of a host.
func (c *Client) DeprecatedAPIs(ctx context.Context, from host.Host, address string) ([]DeprecatedAPI, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	response, done, err := c.getAt(ctx, from, address, "/metrics")
	if err != nil {
		return nil, err
	}
	defer done()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("https://%s/metrics: %s", address, response.Status)
	}
	apis, err := parseDeprecated(io.LimitReader(response.Body, maxMetrics))
	if err != nil {
		return nil, fmt.Errorf("https://%s/metrics: %w", address, err)
	}
	return apis, nil
}

// metricLabel is one label in the text format of Prometheus. The values of these labels
// are names without quotes.
var metricLabel = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

func parseDeprecated(metrics io.Reader) ([]DeprecatedAPI, error) {
	var apis []DeprecatedAPI
	lines := bufio.NewScanner(metrics)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		labels, ok := strings.CutPrefix(lines.Text(), deprecatedMetric)
		if !ok {
			continue
		}
		var api DeprecatedAPI
		for _, label := range metricLabel.FindAllStringSubmatch(labels, -1) {
			switch label[1] {
			case "group":
				api.Group = label[2]
			case "version":
				api.Version = label[2]
			case "resource":
				api.Resource = label[2]
			case "subresource":
				api.Subresource = label[2]
			case "removed_release":
				api.RemovedIn = label[2]
			}
		}
		apis = append(apis, api)
	}
	return apis, lines.Err()
}

// RemovedIn returns the minor release that does not serve a kind of Kubernetes any more,
// "1.37"; empty if none is planned, or the kind is not one of Kubernetes.
func RemovedIn(kind schema.GroupVersionKind) string { return removals()[kind] }

// removals are those that the types of Kubernetes announce.
var removals = sync.OnceValue(func() map[schema.GroupVersionKind]string {
	removed := map[schema.GroupVersionKind]string{}
	for kind := range scheme.Scheme.AllKnownTypes() {
		object, err := scheme.Scheme.New(kind)
		if err != nil {
			continue
		}
		if announced, ok := object.(interface{ APILifecycleRemoved() (major, minor int) }); ok {
			major, minor := announced.APILifecycleRemoved()
			removed[kind] = fmt.Sprintf("%d.%d", major, minor)
		}
	}
	return removed
})

// Minor returns the minor version in "v1.36.4" or "1.36"; ok is false if there is none.
func Minor(version string) (minor int, ok bool) {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) < 2 || parts[0] != "1" {
		return 0, false
	}
	minor, err := strconv.Atoi(parts[1])
	return minor, err == nil
}

// Compare orders the APIs by the release that removes them, then by name.
func (a DeprecatedAPI) Compare(b DeprecatedAPI) int {
	x, _ := Minor(a.RemovedIn)
	y, _ := Minor(b.RemovedIn)
	if x != y {
		return x - y
	}
	return strings.Compare(a.String(), b.String())
}
