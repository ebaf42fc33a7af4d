package standin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const file = "dl.k8s.io/file"

// started is a stand-in with one file, and a client that uses its proxy.
func started(t *testing.T, password string) (*Server, *http.Client) {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.Serve(file, []byte("0123456789"))
	address, err := s.Proxy(t.Context(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CA())
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: address, User: url.UserPassword(s.Username, password)}),
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return s, &http.Client{Transport: transport}
}

func fetch(ctx context.Context, c *http.Client, address, byteRange string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address, nil)
	if err != nil {
		return 0, "", err
	}
	if byteRange != "" {
		r.Header.Set("Range", byteRange)
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func TestFaultsComeInOrderAndEnd(t *testing.T) {
	t.Parallel()
	s, client := started(t, "proxy/p@ss'word")
	s.Inject(
		Fault{URL: file, Kind: Truncate, After: 3, Times: 1},
		Fault{URL: file, Kind: Reset, After: 4, Times: 1},
		Fault{URL: file, Kind: Status, Code: http.StatusTooManyRequests, RetryAfter: 2, Times: 1},
		Fault{URL: file, Kind: Stall, After: 5, Times: 1},
	)
	if _, body, err := fetch(t.Context(), client, file, ""); body != "012" || err == nil {
		t.Errorf("truncated: %q, %v", body, err)
	}
	if _, _, err := fetch(t.Context(), client, file, ""); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("reset: %v", err)
	}
	if status, _, err := fetch(t.Context(), client, file, ""); status != http.StatusTooManyRequests || err != nil {
		t.Errorf("busy: %d, %v", status, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, body, err := fetch(ctx, client, file, ""); body != "01234" || ctx.Err() == nil || err == nil {
		t.Errorf("stalled: %q, %v", body, err)
	}
	if pending := s.Pending(); len(pending) > 0 {
		t.Errorf("pending: %q", pending)
	}
	if status, body, err := fetch(t.Context(), client, file, "bytes=5-"); status != http.StatusPartialContent || body != "56789" || err != nil {
		t.Errorf("healed: %d %q, %v", status, body, err)
	}
	if requests := s.Requests(); len(requests) != 5 || requests[3].Fault != Stall || requests[4].Range != "bytes=5-" {
		t.Errorf("requests: %+v", requests)
	}
}

func TestTheProxyDemandsItsCredentials(t *testing.T) {
	t.Parallel()
	s, client := started(t, "wrong")
	if _, _, err := fetch(t.Context(), client, file, ""); err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Error(err)
	}
	if connected, refused := s.Connections(); connected != 0 || refused != 1 || len(s.Requests()) != 0 {
		t.Errorf("%d connections, %d refused", connected, refused)
	}
}

func TestRequestsOfUnknownServersAndFilesAreRecorded(t *testing.T) {
	t.Parallel()
	s, client := started(t, "proxy/p@ss'word")
	if _, _, err := fetch(t.Context(), client, "elsewhere.example/", ""); err == nil {
		t.Error("an unknown server answered")
	}
	if status, _, err := fetch(t.Context(), client, "dl.k8s.io/unknown", ""); status != http.StatusNotFound || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if strays := s.Strays(); len(strays) != 2 || !strings.Contains(strays[0], "elsewhere.example:443") || !strings.Contains(strays[1], "dl.k8s.io/unknown") {
		t.Errorf("%q", strays)
	}
}
