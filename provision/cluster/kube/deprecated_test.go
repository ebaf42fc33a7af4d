package kube

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/hosttest"
)

const metrics = `# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="ipaddresses",subresource="",version="v1beta1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1"} 3
`

func TestDeprecatedAPIsAreThoseOfTheMetrics(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	code := http.StatusOK
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/metrics" {
			return false
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(metrics))
		return true
	})
	client, address := testClient(t, server), strings.TrimPrefix(server.URL(), "https://")
	got, err := client.DeprecatedAPIs(t.Context(), hosttest.NewFake(t, "cp-1"), address)
	if err != nil {
		t.Fatal(err)
	}
	want := []DeprecatedAPI{
		{Version: "v1", Resource: "componentstatuses"},
		{Group: "networking.k8s.io", Version: "v1beta1", Resource: "ipaddresses", RemovedIn: "1.37"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if text := got[1].String(); text != "ipaddresses of networking.k8s.io/v1beta1" {
		t.Errorf("shown as %q", text)
	}
	code = http.StatusForbidden
	if _, err := client.DeprecatedAPIs(t.Context(), hosttest.NewFake(t, "cp-1"), address); err == nil || !strings.Contains(err.Error(), "/metrics: 403 Forbidden") {
		t.Errorf("got %v", err)
	}
}

func TestRemovedInIsWhatTheTypesAnnounce(t *testing.T) {
	t.Parallel()
	for kind, want := range map[schema.GroupVersionKind]string{
		{Group: "policy", Version: "v1beta1", Kind: "PodDisruptionBudget"}:  "1.25",
		{Group: "networking.k8s.io", Version: "v1beta1", Kind: "IPAddress"}: "1.37",
		{Group: "apps", Version: "v1", Kind: "Deployment"}:                  "",
		{Group: "example.com", Version: "v1beta1", Kind: "Boat"}:            "",
	} {
		if got := RemovedIn(kind); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}

func TestMinorOfVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"v1.36.4": 36, "1.37": 37, "v1.37.0-rc.1": 37} {
		if got, ok := Minor(version); !ok || got != want {
			t.Errorf("%s: %d, %v", version, got, ok)
		}
	}
	for _, version := range []string{"", "v2.1.0", "v1", "v1.x.0"} {
		if _, ok := Minor(version); ok {
			t.Errorf("%q has a minor version", version)
		}
	}
}
