package kube

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/hosttest"
)

// through is a host that dials a server in memory, whatever the address.
type through struct {
	*hosttest.Fake
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	dialed *string
}

func (h through) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	*h.dialed = addr
	return h.dial(ctx, network, addr)
}

func TestReadyAtAsksTheServerAtTheAddressThroughTheHost(t *testing.T) {
	t.Parallel()
	server := kubetest.NewInMemory(t)
	client, err := New(server.Kubeconfig("https://192.0.2.100:6443"), server.Dial)
	if err != nil {
		t.Fatal(err)
	}
	var dialed string
	host := through{hosttest.NewFake(t, "cp-1"), server.Dial, &dialed}
	// The certificates of httptest are valid for example.com and 127.0.0.1.
	expiry, err := client.ReadyAt(t.Context(), host, "example.com:6444")
	if err != nil || dialed != "example.com:6444" || !expiry.After(time.Now()) {
		t.Errorf("dialed %s, expiry %s, error %v", dialed, expiry, err)
	}
	if _, err := client.ReadyAt(t.Context(), host, "192.0.2.11:6444"); err == nil || !strings.Contains(err.Error(), "certificate is valid for 127.0.0.1") {
		t.Errorf("got %v", err)
	}
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/readyz" || r.Header.Get("Authorization") != "Bearer test-token" {
			t.Errorf("asked for %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("[+]ping ok\n[-]etcd failed: reason withheld\n"))
		return true
	})
	if _, err := client.ReadyAt(t.Context(), host, "example.com:6444"); err == nil || !strings.HasSuffix(err.Error(), "/readyz: not ready: etcd") {
		t.Errorf("got %v", err)
	}
}

func TestReadyAtDialsFromLocalhostIfTheHostCannot(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client, err := New(server.Kubeconfig(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ReadyAt(t.Context(), hosttest.NewFake(t, "cp-1"), strings.TrimPrefix(server.URL(), "https://")); err != nil {
		t.Error(err)
	}
}
