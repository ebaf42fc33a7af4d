package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"slipway.io/slipway/provision/host"
)

const (
	// readyTimeout bounds one request to an API server at a given address.
	readyTimeout = 5 * time.Second
	// maxReadyAnswer bounds what is read of the answer, in bytes.
	maxReadyAnswer = 16 << 10
)

// ReadyAt asks what serves the API at an address ("host:port") for /readyz, with the
// rights of c, through the connection of a host; one that is no host.Dialer is left
// out. What answers must have a certificate of the cluster that is valid for the host
// of the address; expiry is its end.
func (c *Client) ReadyAt(ctx context.Context, from host.Host, address string) (expiry time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	response, done, err := c.getAt(ctx, from, address, "/readyz")
	if err != nil {
		return expiry, err
	}
	defer done()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReadyAnswer))
	if err != nil {
		return expiry, fmt.Errorf("https://%s: %w", address, err)
	}
	if response.TLS != nil && len(response.TLS.PeerCertificates) > 0 {
		expiry = response.TLS.PeerCertificates[0].NotAfter
	}
	if response.StatusCode == http.StatusOK {
		return expiry, nil
	}
	if failed := failedChecks(string(body)); failed != "" {
		return expiry, fmt.Errorf("https://%s/readyz: not ready: %s", address, failed)
	}
	return expiry, fmt.Errorf("https://%s/readyz: %s", address, response.Status)
}

// getAt requests a path from what serves the API at an address, as ReadyAt does. done
// closes the response and its connection.
func (c *Client) getAt(ctx context.Context, from host.Host, address, path string) (response *http.Response, done func(), err error) {
	config := rest.CopyConfig(c.config)
	config.Host = "https://" + address
	// The certificate is compared with the address, whatever the kubeconfig says.
	config.ServerName = ""
	config.Dial = directDial
	if dialer, ok := from.(host.Dialer); ok {
		config.Dial = dialer.DialContext
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	idle := func() { utilnet.CloseIdleConnectionsFor(client.Transport) }
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	if response, err = client.Do(request); err != nil {
		idle()
		return nil, nil, err
	}
	return response, func() { response.Body.Close(); idle() }, nil
}
