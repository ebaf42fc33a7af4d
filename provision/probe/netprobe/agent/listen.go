//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// magic begins everything that probes send to each other.
const magic = "slipway-probe "

// greeting is what a probe answers to who reaches it.
func greeting(name string, seen netip.Addr) string {
	return magic + name + " " + seen.String() + "\n"
}

// parseGreeting gives name and address; an empty name is none of a probe's.
func parseGreeting(text []byte) (name string, seen netip.Addr) {
	rest, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok {
		return "", netip.Addr{}
	}
	words := strings.Fields(string(rest))
	if len(words) < 2 {
		return "", netip.Addr{}
	}
	seen, err := netip.ParseAddr(words[1])
	if err != nil {
		return "", netip.Addr{}
	}
	return words[0], seen.Unmap()
}

type closers []io.Closer

func (c closers) close() {
	for _, one := range c {
		_ = one.Close()
	}
}

// listen opens all ports on the node's own address, from which it also
// answers.
func listen(hello wire.Hello) (closers, wire.Ready) {
	var open closers
	var ready wire.Ready
	for _, port := range hello.Listen {
		var one io.Closer
		var err error
		at := netip.AddrPortFrom(hello.IP, uint16(port.Number))
		if port.Protocol == "tcp" {
			one, err = serveTCP(hello.Name, at)
		} else {
			one, err = serveUDP(hello.Name, at)
		}
		switch {
		case err == nil:
			open = append(open, one)
		case errors.Is(err, syscall.EADDRINUSE):
			ready.Busy = append(ready.Busy, port)
		default:
			ready.Error = fmt.Sprintf("listen on %s %s: %v", port.Protocol, at, err)
		}
	}
	return open, ready
}

func serveTCP(name string, at netip.AddrPort) (io.Closer, error) {
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			go greet(name, conn)
		}
	}()
	return listener, nil
}

func greet(name string, conn *net.TCPConn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}
	if _, err := io.WriteString(conn, greeting(name, from.Addr())); err == nil {
		// The other side closes first, so that no port stays in TIME_WAIT here.
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1))
	}
}

// serveUDP answers each datagram of a probe with a short one that repeats the
// identifier and says how long it was.
func serveUDP(name string, at netip.AddrPort) (io.Closer, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || !bytes.HasPrefix(buffer[:n], []byte(magic)) {
				continue
			}
			_, _ = conn.WriteToUDPAddrPort([]byte(fmt.Sprintf("%s%d\n", strings.TrimSpace(greeting(name, from.Addr().Unmap()))+" ", n)), from)
		}
	}()
	return conn, nil
}
