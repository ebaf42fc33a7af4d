// Package httpprobe sends HTTP requests to the Services of a cluster from outside
// the cluster.
package httpprobe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// timeout limits one request.
	timeout = 4 * time.Second
	// bodyLimit is how much of a response body is read, in bytes.
	bodyLimit = 4 << 10
)

// Client sends requests from one place. The zero value sends them from
// localhost.
type Client struct {
	// Dial opens connections; nil dials from localhost.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Place describes where Dial opens connections, such as "cp-1, over SSH".
	Place string
}

// From returns the place for messages.
func (c Client) From() string {
	if c.Place == "" {
		return "localhost"
	}
	return c.Place
}

// Response is the answer to a request.
type Response struct {
	// Status is the HTTP status code.
	Status int
	// Body is the beginning of the body, without surrounding space.
	Body string
}

// Get requests a URL from an address ("host:port"), whatever host the URL names.
// An HTTPS server must present a certificate that trust (PEM) verifies.
// Redirects are not followed.
func (c Client) Get(ctx context.Context, url, at string, trust []byte) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trust)
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dial(ctx, network, at)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Response{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return Response{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	return Response{Status: response.StatusCode, Body: strings.TrimSpace(string(text))}, err
}
