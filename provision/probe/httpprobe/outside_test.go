package httpprobe

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// echo answers with the host and the path that it was asked for.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/moved" {
		http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound)
		return
	}
	_, _ = w.Write([]byte(r.Host + r.URL.Path + "\n"))
}

func TestGetAsksTheAddressForTheHost(t *testing.T) {
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

func TestGetTrustsOneCertificate(t *testing.T) {
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
		t.Error("a certificate that nobody named is accepted")
	}
	if _, err := (Client{}).Get(t.Context(), "https://shop.test/goods", u.Host, trust); err == nil {
		t.Error("a certificate for another name is accepted")
	}
}
