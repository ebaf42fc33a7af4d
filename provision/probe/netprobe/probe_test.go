//go:build linux

package netprobe

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// built is the agent, built for localhost.
var built = sync.OnceValues(func() (program, error) {
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		return program{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-o", path, "./agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return program{}, errors.New(string(out))
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return program{}, err
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(content); err != nil {
		return program{}, err
	}
	if err := w.Close(); err != nil {
		return program{}, err
	}
	return newProgram(zipped.Bytes()), nil
})

// prefixHost runs commands on localhost, with a prefix before each command.
type prefixHost struct {
	hosttest.Local
	prefix []string
}

func (h prefixHost) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	cmd.Argv = slices.Concat(h.prefix, cmd.Argv)
	return h.Local.Query(ctx, cmd)
}

// loopback returns nodes with addresses of the loopback interface.
func loopback(t *testing.T, names ...string) []Node {
	t.Helper()
	var nodes []Node
	for i, name := range names {
		nodes = append(nodes, Node{
			Name: name, Host: hosttest.Local{}, Arch: runtime.GOARCH,
			IP: netip.AddrFrom4([4]byte{127, 0, 77, byte(i + 1)}), MTU: 1500,
		})
	}
	return nodes
}

// options returns options that use the agent built from source.
func options(t *testing.T) Options {
	t.Helper()
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Timeout: 600 * time.Millisecond, program: func(string) (program, error) { return p, nil }}
}

// freePort returns a port on which nothing listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.77.9:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func find(m *Matrix, from, to string, p Protocol) Link {
	for _, l := range m.Links {
		if l.From == from && l.To == to && l.Protocol == p {
			return l
		}
	}
	return Link{}
}

func TestAgentsReachEachOther(t *testing.T) {
	t.Parallel()
	nodes := loopback(t, "a", "b", "c")
	nodes[0].DiskPath = t.TempDir()
	all, port := []string{"a", "b", "c"}, freePort(t)
	needs := []Need{{Protocol: TCP, Port: port, Use: "x", From: all, To: []string{"a"}}, {Protocol: UDP, Port: port, Use: "y", From: all, To: all}}
	m, err := Probe(t.Context(), nodes, needs, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Absent) != 0 || len(m.Links) != 8 || len(m.Paths) != 6 {
		t.Fatalf("got %+v", m)
	}
	for _, l := range m.Links {
		if l.Status != Reached {
			t.Errorf("got %+v", l)
		}
	}
	for _, p := range m.Paths {
		if p.MTU != 1500 || p.Wanted != 1500 || p.RoundTrip <= 0 || p.RoundTrip > time.Second {
			t.Errorf("got %+v", p)
		}
	}
	if l := find(m, "b", "a", TCP); !l.SeenAs.IsLoopback() {
		t.Errorf("got %+v", l)
	}
	if len(m.Disks) != 1 || m.Disks[0].Node != "a" || m.Disks[0].Writes < 1 || m.Disks[0].P99 <= 0 || m.Disks[0].Error != "" {
		t.Errorf("got %+v", m.Disks)
	}
	if left, _ := filepath.Glob(nodes[0].DiskPath + "/.slipway*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAPortThatAnotherProgramUsesIsReported(t *testing.T) {
	t.Parallel()
	nodes := loopback(t, "a", "b")
	nodes[1].IP = netip.MustParseAddr("127.0.77.20")
	tcp, err := net.Listen("tcp4", "127.0.77.20:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	port := tcp.Addr().(*net.TCPAddr).Port
	udp, err := net.ListenPacket("udp4", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	needs := []Need{{Protocol: TCP, Port: port, From: []string{"a"}, To: []string{"b"}}, {Protocol: UDP, Port: port, From: []string{"a"}, To: []string{"b"}}}
	m, err := Probe(t.Context(), nodes, needs, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if l := find(m, "a", "b", TCP); l.Status != Reached || l.Detail != "something else listens there" {
		t.Errorf("got %+v", l)
	}
	if l := find(m, "a", "b", UDP); l.Status != Occupied {
		t.Errorf("got %+v", l)
	}
	if m.Paths[0].MTU != 0 {
		t.Errorf("an MTU was measured on a busy port: %+v", m.Paths[0])
	}
}

func TestAnAnswerOfAnotherHostIsDetected(t *testing.T) {
	t.Parallel()
	nodes := loopback(t, "a", "b", "c")
	for i := range nodes {
		nodes[i].IP = netip.AddrFrom4([4]byte{127, 0, 78, byte(i + 1)})
	}
	port := freePort(t)
	// b and c have the same address: the first one that listens answers for both.
	nodes[2].IP = nodes[1].IP
	m, err := Probe(t.Context(), nodes, []Need{{Protocol: TCP, Port: port, From: []string{"a"}, To: []string{"b", "c"}}}, options(t))
	if err != nil {
		t.Fatal(err)
	}
	statuses := []Status{find(m, "a", "b", TCP).Status, find(m, "a", "c", TCP).Status}
	if !slices.Contains(statuses, Reached) || !slices.Contains(statuses, Elsewhere) {
		t.Errorf("got %v", statuses)
	}
}

func TestANodeThatCannotTakePartIsAbsent(t *testing.T) {
	t.Parallel()
	nodes := loopback(t, "a", "b", "c")
	for i := range nodes {
		nodes[i].IP = netip.AddrFrom4([4]byte{127, 0, 79, byte(i + 1)})
	}
	nodes[2].Host = prefixHost{prefix: []string{"sh", "-c", "echo please wait >&2; echo permission denied >&2; exit 1"}}
	port := freePort(t)
	all := []string{"a", "b", "c"}
	m, err := Probe(t.Context(), nodes, []Need{{Protocol: TCP, Port: port, From: all, To: all}}, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if m.Absent["c"] != "exit code 1: permission denied" || len(m.Absent) != 1 {
		t.Errorf("got %v", m.Absent)
	}
	if len(m.Links) != 2 || find(m, "a", "b", TCP).Status != Reached {
		t.Errorf("got %+v", m.Links)
	}
}

func TestProbeStopsItsAgentsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	nodes := loopback(t, "a", "b")
	for i := range nodes {
		nodes[i].IP = netip.AddrFrom4([4]byte{127, 0, 80, byte(i + 1)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	port := freePort(t)
	if _, err := Probe(ctx, nodes, []Need{{Protocol: TCP, Port: port, From: []string{"a"}, To: []string{"b"}}}, options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if conn, err := net.DialTimeout("tcp4", netip.AddrPortFrom(nodes[1].IP, uint16(port)).String(), time.Second); err == nil {
		_ = conn.Close()
		t.Error("an agent still listens")
	}
}

func TestProbeFailsWithoutAnEmbeddedAgent(t *testing.T) {
	t.Parallel()
	if _, err := Probe(t.Context(), loopback(t, "a"), nil, Options{program: func(string) (program, error) { return program{}, ErrNoProbe }}); !errors.Is(err, ErrNoProbe) {
		t.Errorf("got %v", err)
	}
	if _, err := embeddedProgram("riscv64"); !errors.Is(err, ErrNoProbe) {
		t.Errorf("got %v", err)
	}
}
