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

// magic is the prefix of everything that agents send to each other.
const magic = "slipway-probe "

// greeting is what an agent answers to a connection: its name, and the source
// address that it sees.
func greeting(name string, seen netip.Addr) string {
	return magic + name + " " + seen.String() + "\n"
}

// parseGreeting returns the name and the address in a greeting. The name is
// empty if the text is not a greeting.
func parseGreeting(text []byte) (name string, seen netip.Addr) {
	rest, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok {
		return "", netip.Addr{}
	}
	fields := strings.Fields(string(rest))
	if len(fields) < 2 {
		return "", netip.Addr{}
	}
	seen, err := netip.ParseAddr(fields[1])
	if err != nil {
		return "", netip.Addr{}
	}
	return fields[0], seen.Unmap()
}

type closers []io.Closer

func (c closers) close() {
	for _, closer := range c {
		_ = closer.Close()
	}
}

// listen opens all ports on the node's own address, so that answers carry it as
// their source.
func listen(hello wire.Hello) (closers, wire.Ready) {
	var open closers
	var ready wire.Ready
	for _, port := range hello.Listen {
		var listener io.Closer
		var err error
		at := netip.AddrPortFrom(hello.IP, uint16(port.Number))
		if port.Protocol == "tcp" {
			listener, err = serveTCP(hello.Name, at)
		} else {
			listener, err = serveUDP(hello.Name, at)
		}
		switch {
		case err == nil:
			open = append(open, listener)
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
		// Let the client close first: the side that does keeps TIME_WAIT.
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1))
	}
}

// serveUDP answers each datagram of an agent with a greeting that ends with the
// length of the datagram's payload in bytes.
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
			answer := fmt.Sprintf("%s %d\n", strings.TrimSpace(greeting(name, from.Addr().Unmap())), n)
			_, _ = conn.WriteToUDPAddrPort([]byte(answer), from)
		}
	}()
	return conn, nil
}
