package kube

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	gorilla "github.com/gorilla/websocket"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// maxRefusal bounds what an error quotes of the server's answer, in bytes.
const maxRefusal = 4096

// tunnelWebSocket sends remotecommand's WebSocket through dial.
//
// client-go's websocket.RoundTripper (v0.36) ignores rest.Config.Dial. The
// config's transport wrapper receives that RoundTripper, and the executor uses
// the connection in its Conn.
func tunnelWebSocket(dial dialFunc) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		upgrade, ok := next.(*websocket.RoundTripper)
		if !ok {
			return next
		}
		return &tunnel{upgrade: upgrade, dial: dial}
	}
}

type tunnel struct {
	upgrade *websocket.RoundTripper
	dial    dialFunc
}

// RoundTrip does as websocket.RoundTripper does, over the tunnel.
func (t *tunnel) RoundTrip(request *http.Request) (*http.Response, error) {
	protocols := request.Header[wsstream.WebSocketProtocolHeader]
	header := request.Header.Clone()
	delete(header, wsstream.WebSocketProtocolHeader)
	size := t.upgrade.DataBufferSize() + 1024 // each frame begins with the channel's number
	dialer := gorilla.Dialer{
		NetDialContext:  t.dial,
		TLSClientConfig: t.upgrade.TLSConfig,
		Subprotocols:    protocols,
		ReadBufferSize:  size,
		WriteBufferSize: size,
	}
	address := *request.URL
	address.Scheme = strings.Replace(address.Scheme, "http", "ws", 1)
	conn, response, err := dialer.DialContext(request.Context(), address.String(), header)
	if errors.Is(err, gorilla.ErrBadHandshake) && response != nil {
		// The executor falls back to SPDY on this kind of error.
		return nil, &httpstream.UpgradeFailureError{Cause: refusal(err, response)}
	}
	if err != nil {
		return nil, err
	}
	t.upgrade.Conn = conn
	return response, nil
}

func refusal(err error, response *http.Response) error {
	defer response.Body.Close()
	body, readErr := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if readErr != nil || len(body) == 0 {
		return fmt.Errorf("%w (%s)", err, response.Status)
	}
	return fmt.Errorf("%w (%s): %s", err, response.Status, strings.TrimSpace(string(body)))
}
