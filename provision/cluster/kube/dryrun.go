package kube

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/host"
)

// dryRunTransport keeps a client from changing the cluster: the API server
// only tries what would change it. Requests that cannot be tried fail with
// host.ErrPlanned.
func dryRunTransport(next http.RoundTripper) http.RoundTripper {
	return roundTripper{next: next, roundTrip: func(request *http.Request) (*http.Response, error) {
		if hasEffect(request.URL.Path) {
			return nil, fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, host.ErrPlanned)
		}
		switch request.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			return next.RoundTrip(request)
		}
		request = request.Clone(request.Context())
		query := request.URL.Query()
		query.Set("dryRun", metav1.DryRunAll)
		request.URL.RawQuery = query.Encode()
		if request.Method == http.MethodDelete {
			// The server ignores the query of a DELETE that has a body
			// (apiserver's handlers.DeleteResource).
			if request.Body != nil {
				request.Body.Close()
			}
			request.Body, request.GetBody, request.ContentLength = nil, nil, 0
			request.Header.Del("Content-Type")
		}
		return next.RoundTrip(request)
	}}
}

type roundTripper struct {
	next      http.RoundTripper
	roundTrip func(*http.Request) (*http.Response, error)
}

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	return r.roundTrip(request)
}

// WrappedRoundTripper lets client-go find the transport whose connections it closes.
func (r roundTripper) WrappedRoundTripper() http.RoundTripper { return r.next }

// effects are the subresources that act although their storage is not written:
// a dry run of them does the same. The API server can dry-run evictions and
// bindings.
var effects = []string{"attach", "exec", "portforward", "proxy", "token"}

// hasEffect says whether the path names such a subresource:
// /api/v1/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE, without the namespace
// for Nodes, with more after it for a proxy.
func hasEffect(path string) bool {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	prefix := 2 // api/v1
	if parts[0] == "apis" {
		prefix = 3 // apis/GROUP/VERSION
	}
	if len(parts) > prefix && parts[prefix] == "namespaces" {
		prefix += 2
	}
	subresource := prefix + 2
	return len(parts) > subresource && slices.Contains(effects, parts[subresource])
}
