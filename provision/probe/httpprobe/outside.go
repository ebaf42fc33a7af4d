// Package outside asks over HTTP what a cluster serves, as somebody outside of
// it does.
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
	// timeout bounds one request.
	timeout = 4 * time.Second
	// mostRead is what is read of an answer, in bytes.
	mostRead = 4 << 10
)

// Client asks from one place. The zero value asks from this computer.
type Client struct {
	// Dial makes connections; nil is a dial from here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Place says from where, in words: "this computer", "cp-1".
	Place string
}

// From is the place in words.
func (c Client) From() string {
	if c.Place == "" {
		return "this computer"
	}
	return c.Place
}

// Answer is what came back.
type Answer struct {
	// Status is HTTP's.
	Status int
	// Body is the beginning of the answer, without the space around it.
	Body string
}

// Get asks for a URL at an address ("host:port"), whatever host the URL names.
// Of a server of HTTPS only the certificate in trust (PEM) is accepted. A
// redirect is an answer like others.
func (c Client) Get(ctx context.Context, url, at string, trust []byte) (Answer, error) {
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
		return Answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostRead))
	return Answer{Status: response.StatusCode, Body: strings.TrimSpace(string(text))}, err
}
