package kube

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	clientexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"

	"slipway.io/slipway/provision/cluster/kubetest"
)

const (
	success = `{"metadata":{},"status":"Success"}`
	exit3   = `{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"exit code 3",` +
		`"details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`
)

// tunnelled is a client with a kubeconfig that names a port where nothing listens,
// so that only its dial reaches the server.
func tunnelled(t *testing.T, server *kubetest.Server) (*Client, *atomic.Int32) {
	t.Helper()
	target, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int32
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "127.0.0.1:1" {
			return nil, errors.New("unexpected address " + addr)
		}
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, target.Host)
	}
	client, err := New(server.Kubeconfig("https://127.0.0.1:1"), dial)
	if err != nil {
		t.Fatal(err)
	}
	return client, &dials
}

func isExec(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/pods/probe/exec") }

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// overWebSocket answers exec as an API server does: a byte with the channel's
// number before each message.
func overWebSocket(t *testing.T, status string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !isExec(r) || !isWebSocket(r) {
			return false
		}
		if r.Header.Get("Authorization") != "Bearer test-token" {
			t.Error("exec carries no token")
		}
		upgrader := gorilla.Upgrader{Subprotocols: []string{remotecommand.StreamProtocolV5Name}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return true
		}
		defer conn.Close()
		for channel, text := range map[byte]string{1: strings.Join(r.URL.Query()["command"], " "), 2: "warned"} {
			if err := conn.WriteMessage(gorilla.BinaryMessage, append([]byte{channel}, text...)); err != nil {
				t.Error(err)
			}
		}
		if err := conn.WriteMessage(gorilla.BinaryMessage, append([]byte{3}, status...)); err != nil {
			t.Error(err)
		}
		_ = conn.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, ""), time.Now().Add(time.Second))
		return true
	}
}

// overSPDY refuses WebSockets and answers SPDY.
func overSPDY(t *testing.T) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !isExec(r) {
			return false
		}
		if isWebSocket(r) {
			http.Error(w, "no web sockets here", http.StatusBadRequest)
			return true
		}
		if _, err := httpstream.Handshake(r, w, []string{remotecommand.StreamProtocolV4Name}); err != nil {
			t.Error(err)
			return true
		}
		streams := make(chan httpstream.Stream, 3)
		conn := streamspdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		if conn == nil {
			t.Error("no SPDY connection")
			return true
		}
		defer conn.Close()
		texts := map[string]string{"error": success, "stdout": "over SPDY"}
		for range 3 {
			stream := <-streams
			if _, err := io.WriteString(stream, texts[stream.Headers().Get("streamType")]); err != nil {
				t.Error(err)
			}
			stream.Close()
		}
		<-conn.CloseChan()
		return true
	}
}

func TestExecGoesThroughTheDialAndReturnsTheOutput(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Intercept(overWebSocket(t, success))
	client, dials := tunnelled(t, server)
	stdout, stderr, err := client.Exec(t.Context(), "default", "probe", "main", []string{"echo", "a b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(stdout) != "echo a b" || string(stderr) != "warned" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	if dials.Load() == 0 {
		t.Error("the dial was not used")
	}
}

func TestExecWithoutDialReachesTheServerDirectly(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Intercept(overWebSocket(t, success))
	stdout, _, err := testClient(t, server).Exec(t.Context(), "default", "probe", "main", []string{"id"}, nil)
	if err != nil || string(stdout) != "id" {
		t.Errorf("stdout %q, error %v", stdout, err)
	}
}

func TestExecReturnsTheExitCodeAndStderr(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Intercept(overWebSocket(t, exit3))
	client, _ := tunnelled(t, server)
	_, stderr, err := client.Exec(t.Context(), "default", "probe", "main", []string{"false"}, nil)
	var exit clientexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("error %v has no exit code 3", err)
	}
	if string(stderr) != "warned" {
		t.Errorf("stderr %q", stderr)
	}
}

func TestExecFallsBackToSPDYThroughTheDial(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Intercept(overSPDY(t))
	client, dials := tunnelled(t, server)
	stdout, _, err := client.Exec(t.Context(), "default", "probe", "main", []string{"id"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(stdout) != "over SPDY" {
		t.Errorf("stdout %q", stdout)
	}
	if dials.Load() != 2 {
		t.Errorf("%d dials, want one for each protocol", dials.Load())
	}
}

func TestExecEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if isExec(r) {
			<-r.Context().Done() // never answers
		}
		return isExec(r)
	})
	client, _ := tunnelled(t, server)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := client.Exec(ctx, "default", "probe", "main", []string{"sleep"}, nil); err == nil {
		t.Error("no error although the context ended")
	}
}
