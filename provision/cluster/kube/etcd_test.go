package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// dialingHost is a fake host on whose 127.0.0.1:2379 something listens.
type dialingHost struct {
	*hosttest.Fake
	address string
}

func (h dialingHost) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr != "127.0.0.1:2379" {
		return nil, net.UnknownNetworkError(addr)
	}
	return new(net.Dialer).DialContext(ctx, network, h.address)
}

var _ host.Dialer = dialingHost{}

// etcd is a fake gateway of etcd, and a host through which it is reached.
func etcd(t *testing.T, answer func(path, body string) (status int, content string)) dialingHost {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status, content := http.StatusTeapot, ""
		if r.Method == http.MethodPost {
			status, content = answer(r.URL.Path, string(body))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, content)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)

	host := dialingHost{hosttest.NewFake(t, "cp-1"), strings.TrimPrefix(server.URL, "https://")}
	// The server's own certificate is its CA and the client's too.
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	host.Put("/etc/kubernetes/pki/etcd/ca.crt", certificate)
	host.Put("/etc/kubernetes/pki/etcd/healthcheck-client.crt", certificate)
	host.Put("/etc/kubernetes/pki/etcd/healthcheck-client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return host
}

func TestEtcdMembers(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	host := etcd(t, func(path, body string) (int, string) {
		if path != "/v3/cluster/member/list" || body != "{}" {
			return http.StatusTeapot, ""
		}
		return status, `{"header":{},"members":[{"ID":"9372538179322589801","name":"cp-1","peerURLs":["https://192.0.2.11:2380"]},{"ID":"2748","peerURLs":["https://192.0.2.12:2380"],"isLearner":true}]}`
	})
	members, err := EtcdMembers(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	want := []EtcdMember{
		{ID: 9372538179322589801, Name: "cp-1", PeerURLs: []string{"https://192.0.2.11:2380"}},
		{ID: 0xabc, PeerURLs: []string{Peer(netip.MustParseAddr("192.0.2.12"))}, Learner: true},
	}
	if diff := cmp.Diff(want, members); diff != "" {
		t.Error(diff)
	}
	status = http.StatusServiceUnavailable
	if _, err := EtcdMembers(t.Context(), host); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	if _, err := EtcdMembers(t.Context(), host.Fake); err == nil {
		t.Error("a host through which nothing can be dialed gave members")
	}
}

func TestRemoveEtcdMember(t *testing.T) {
	t.Parallel()
	const refusal = "etcdserver: unhealthy cluster"
	host := etcd(t, func(path, body string) (int, string) {
		switch {
		case path != "/v3/cluster/member/remove":
			return http.StatusTeapot, ""
		case body == `{"ID":"9372538179322589801"}`:
			return http.StatusOK, `{"header":{},"members":[]}`
		default:
			return http.StatusServiceUnavailable, `{"error":"x","code":14,"message":"` + refusal + `"}`
		}
	})
	if err := RemoveEtcdMember(t.Context(), host, 9372538179322589801); err != nil {
		t.Error(err)
	}
	if err := RemoveEtcdMember(t.Context(), host, 0xabc); err == nil || !strings.Contains(err.Error(), "remove member abc: 503 Service Unavailable "+refusal) {
		t.Errorf("got %v", err)
	}
}
