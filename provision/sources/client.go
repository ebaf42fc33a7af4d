package sources

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"slipway.io/slipway/provision/config"
)

// handshakeTimeout bounds a TLS handshake. A stall elsewhere ends by Watch.
const handshakeTimeout = 30 * time.Second

// Client returns the client for slipway's own downloads and pulls. It uses the proxy of
// the inventory, or else those of the environment, and trusts artifacts.caFile in addition
// to the CAs of the system.
func (c Credentials) Client(cluster *config.Cluster) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = c.proxyFunc(cluster)
	transport.OnProxyConnectResponse = proxyAnswer
	transport.TLSHandshakeTimeout = handshakeTimeout
	if path := cluster.Artifacts.CAFile; path != "" {
		authorities, err := ReadCAs(path)
		if err != nil {
			return nil, fmt.Errorf("artifacts.caFile: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil { // not on Linux, Darwin and Windows
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(authorities)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}

// proxyFunc returns the proxy for a request.
func (c Credentials) proxyFunc(cluster *config.Cluster) func(*http.Request) (*url.URL, error) {
	used := c.Proxy(cluster)
	if !used.Used() {
		used.HTTP = c.withLogin(c.env("HTTP_PROXY", "http_proxy"), &used.passwords)
		used.HTTPS = c.withLogin(c.env("HTTPS_PROXY", "https_proxy"), &used.passwords)
		used.NoProxy = []string{c.env("NO_PROXY", "no_proxy")}
	}
	settings := httpproxy.Config{HTTPProxy: used.HTTP, HTTPSProxy: used.HTTPS, NoProxy: strings.Join(used.NoProxy, ",")}
	choose := settings.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}

// proxyAnswer returns why the proxy does not connect to a server.
func proxyAnswer(_ context.Context, proxy *url.URL, connect *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{
		Proxy: proxy.Host, Server: connect.Host, Status: answer.StatusCode,
		LoggedIn: connect.Header.Get("Proxy-Authorization") != "",
	}
}

// ProxyError reports that a proxy refused a request.
type ProxyError struct {
	// Proxy and Server are a host with its port. Proxy is empty if it is not known.
	Proxy, Server string
	Status        int
	// LoggedIn: slipway has sent credentials.
	LoggedIn bool
}

func (e *ProxyError) Error() string {
	proxy := "the proxy"
	if e.Proxy != "" {
		proxy += " " + e.Proxy
	}
	switch {
	case e.Status != http.StatusProxyAuthRequired:
		return fmt.Sprintf("%s does not connect to %s: %s", proxy, e.Server, status(e.Status))
	case e.LoggedIn:
		return proxy + " refuses the credentials: " + status(e.Status)
	}
	return proxy + " demands credentials: " + status(e.Status)
}

// Remedy says what to do about it.
func (e *ProxyError) Remedy() string {
	if e.Status == http.StatusProxyAuthRequired {
		return fmt.Sprintf("set %s and %s in the environment of slipway", UsernameVariable, PasswordVariable)
	}
	return "allow the server in the proxy, or add it to proxy.noProxy if it is reached directly"
}

func status(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// ReadCAs returns the certificates in a file, in PEM. A file with anything else, such as
// a private key, is an error: it may be copied to hosts.
func ReadCAs(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return nil, fmt.Errorf("%s: %w", path, failed.Err)
	}
	count := 0
	for rest := data; ; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: unexpected %s: only certificates are allowed", path, block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", path, count+1, err)
		}
	}
	if count == 0 {
		return nil, fmt.Errorf("%s: no certificate in PEM", path)
	}
	return append(bytes.TrimSpace(data), '\n'), nil
}
