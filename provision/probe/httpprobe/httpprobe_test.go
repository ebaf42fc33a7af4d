package httpprobe

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// echo answers with the host and the path of the request.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/moved" {
		http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound)
		return
	}
	_, _ = w.Write([]byte(r.Host + r.URL.Path + "\n"))
}

func TestGetRequestsTheHostFromTheAddress(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(server.Close)
	at := strings.TrimPrefix(server.URL, "http://")
	got, err := Client{}.Get(t.Context(), "http://shop.test/goods", at, nil)
	if err != nil || got.Status != http.StatusOK || got.Body != "shop.test/goods" {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = Client{}.Get(t.Context(), "http://shop.test/moved", at, nil)
	if err != nil || got.Status != http.StatusFound {
		t.Errorf("a redirect: got %+v, %v", got, err)
	}
}

func TestGetAcceptsOnlyTheTrustedCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	trust := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	// httptest's certificate is for example.com among others.
	got, err := Client{}.Get(t.Context(), "https://example.com/goods", u.Host, trust)
	if err != nil || got.Body != "example.com/goods" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := (Client{}).Get(t.Context(), "https://example.com/goods", u.Host, nil); err == nil {
		t.Error("an untrusted certificate is accepted")
	}
	if _, err := (Client{}).Get(t.Context(), "https://shop.test/goods", u.Host, trust); err == nil {
		t.Error("a certificate for another name is accepted")
	}
}

func TestGetDialsFromThePlace(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(server.Close)
	var dialed string
	c := Client{Place: "cp-1", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = address
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	got, err := c.Get(t.Context(), "http://shop.test/goods", "192.0.2.1:80", nil)
	if err != nil || got.Body != "shop.test/goods" || dialed != "192.0.2.1:80" {
		t.Errorf("got %+v, %v, from %s", got, err, dialed)
	}
	if c.From() != "cp-1" || (Client{}).From() != "localhost" {
		t.Errorf("the places are %q and %q", c.From(), Client{}.From())
	}
}

func TestGetReadsTheBeginningOfALongBody(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", 2*bodyLimit)))
	}))
	t.Cleanup(server.Close)
	got, err := Client{}.Get(t.Context(), server.URL, server.Listener.Addr().String(), nil)
	if err != nil || len(got.Body) != bodyLimit {
		t.Errorf("got %d bytes, %v", len(got.Body), err)
	}
}
