package endpoint

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"slipway.io/slipway/templates"
)

const (
	ownAddress     = "192.0.2.11"
	virtualAddress = "192.0.2.100"
)

// namespace is a network namespace with an interface that has ownAddress and
// virtualAddress, and a server that listens on all addresses.
type namespace struct {
	t        *testing.T
	listener net.Listener
}

// newNamespace moves the thread of the test to a network namespace of its own. Both end
// with the test.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("CI") != "" && os.Geteuid() == 0 {
		skip = t.Fatalf
	}
	for _, program := range []string{"ip", "ss"} {
		if _, err := exec.LookPath(program); err != nil {
			skip("%v", err)
		}
	}
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		skip("network namespaces need root: %v", err)
	}
	n := &namespace{t: t}
	n.ip("link", "set", "lo", "up")
	n.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
	n.ip("link", "set", "eth1", "up")
	n.ip("link", "set", "eth0", "up")
	n.ip("address", "add", ownAddress+"/24", "dev", "eth0")
	n.ip("address", "add", virtualAddress+"/32", "dev", "eth0")
	var err error
	if n.listener, err = net.Listen("tcp4", "0.0.0.0:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.listener.Close() })
	return n
}

func (n *namespace) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.CommandContext(n.t.Context(), "ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %q: %s", args, out)
	}
}

// connect returns both ends of a connection to the server. from is "" for the address that
// the kernel chooses.
func (n *namespace) connect(from, to string) (client, server net.Conn) {
	n.t.Helper()
	dialer := net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	_, port, _ := net.SplitHostPort(n.listener.Addr().String())
	client, err := dialer.DialContext(n.t.Context(), "tcp4", net.JoinHostPort(to, port))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = client.Close() })
	if server, err = n.listener.Accept(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = server.Close() })
	return client, server
}

// disconnect runs disconnect.sh as keepalived does.
func (n *namespace) disconnect(env ...string) {
	n.t.Helper()
	script := filepath.Join(n.t.TempDir(), "disconnect")
	if err := os.WriteFile(script, templates.Script("endpoint/disconnect.sh"), 0o600); err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.CommandContext(n.t.Context(), "/bin/sh", script, virtualAddress, "INSTANCE", "slipway", "BACKUP", "100")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		n.t.Fatalf("%v: %s", err, out)
	}
}

// waits reports whether a reader of the connection still waits for data. It returns at
// once if the connection has ended.
func waits(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestConnectionsThatTheAddressLeavesBehindAreClosed(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	client, server := n.connect("", virtualAddress)
	other, otherServer := n.connect("", ownAddress)
	n.ip("address", "delete", virtualAddress+"/32", "dev", "eth0")
	if _, err := client.Write([]byte("x")); err != nil || !waits(client) {
		t.Fatalf("the client notices without the script: %v", err)
	}
	n.disconnect()
	for name, end := range map[string]net.Conn{"client": client, "server": server} {
		for range 2 { // the server reads what the client has sent before
			if waits(end) {
				t.Errorf("the %s still waits", name)
			}
		}
	}
	if _, err := other.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if got, err := otherServer.Read(make([]byte, 1)); got != 1 {
		t.Errorf("the connection to another address: %v", err)
	}
	if !waits(other) {
		t.Error("the connection to another address has ended")
	}
}

// They came after the address.
func TestConnectionsToAnAddressThatTheHostHasStay(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	client, server := n.connect("", virtualAddress)
	n.disconnect()
	if !waits(client) || !waits(server) {
		t.Error("the connection has ended")
	}
}

// The client connected to the host that had the address before.
func TestConnectionsToThePreviousHolderAreClosed(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	client, _ := n.connect(ownAddress, virtualAddress)
	n.disconnect()
	if waits(client) {
		t.Error("the client still waits")
	}
}

func TestAHostWithoutSSKeepsItsConnections(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	client, _ := n.connect("", virtualAddress)
	n.ip("address", "delete", virtualAddress+"/32", "dev", "eth0")
	n.disconnect("PATH=" + t.TempDir())
	if !waits(client) {
		t.Error("the client was disconnected")
	}
}
