//go:build linux

package main

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"slipway.io/slipway/provision/probe/netprobe/wire"
)

// maxParallel limits how many ports are probed at the same time.
const maxParallel = 128

// measure runs all parts of a task in parallel.
func measure(task wire.Task) wire.Outcome {
	var (
		outcome = wire.Outcome{Paths: make([]wire.Path, len(task.Peers))}
		mu      sync.Mutex
		wait    sync.WaitGroup
	)
	slots := make(chan struct{}, maxParallel)
	start := func(work func()) {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			work()
		})
	}
	if task.Disk != "" {
		wait.Go(func() { outcome.Disk = timeDisk(task.Disk) })
	}
	if len(task.Ask) > 0 {
		wait.Go(func() { outcome.Neighbours = resolve(task.Ask) })
	}
	if task.Routers.IsValid() {
		wait.Go(func() { outcome.Routers = hearRouters(task.Routers) })
	}
	for i, peer := range task.Peers {
		path := &outcome.Paths[i]
		path.Peer = peer.Name
		for _, port := range peer.Ports {
			start(func() {
				link, roundTrip := connect(peer, port, task.Timeout)
				mu.Lock()
				defer mu.Unlock()
				outcome.Links = append(outcome.Links, link)
				if roundTrip > 0 && (path.RoundTrip == 0 || roundTrip < path.RoundTrip) {
					path.RoundTrip = roundTrip
				}
			})
		}
		if peer.MTUPort != 0 {
			start(func() {
				path.MTU = pathMTU(netip.AddrPortFrom(peer.IP, uint16(peer.MTUPort)), peer.MTU, task.Timeout)
			})
		}
	}
	wait.Wait()
	return outcome
}

// connect connects to one port of a peer, and returns the result and the round
// trip time (0 without an answer).
func connect(peer wire.Peer, port wire.Port, timeout time.Duration) (wire.Link, time.Duration) {
	at := netip.AddrPortFrom(peer.IP, uint16(port.Number))
	link := wire.Link{Peer: peer.Name, Port: port}
	dial := dialUDP
	if port.Protocol == "tcp" {
		dial = dialTCP
	}
	name, seen, roundTrip, err := dial(at, timeout)
	link.Answered, link.SeenAs = name, seen
	switch {
	case err == nil:
		link.Status = wire.Reached
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		link.Status = wire.TimedOut
	default:
		// A RST, or an ICMP message such as "port unreachable".
		link.Status, link.Detail = wire.Refused, err.Error()
	}
	return link, roundTrip
}

// dialTCP connects and reads the greeting. Name and seen are empty if the
// server is not an agent.
func dialTCP(at netip.AddrPort, timeout time.Duration) (name string, seen netip.Addr, roundTrip time.Duration, err error) {
	before := time.Now()
	conn, err := net.DialTimeout("tcp4", at.String(), timeout)
	if err != nil {
		return "", netip.Addr{}, 0, timedOut(err)
	}
	roundTrip = time.Since(before)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(timeout))
	line, _ := bufio.NewReader(conn).ReadBytes('\n')
	name, seen = parseGreeting(line)
	return name, seen, roundTrip, nil
}

// udpTries is how often a datagram is sent, because the network may lose it.
const udpTries = 3

// dialUDP sends a datagram and waits for the answer, like dialTCP.
func dialUDP(at netip.AddrPort, timeout time.Duration) (name string, seen netip.Addr, roundTrip time.Duration, err error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return "", netip.Addr{}, 0, err
	}
	defer conn.Close()
	answer := make([]byte, 512)
	for range udpTries {
		before := time.Now()
		if _, err = conn.Write([]byte(magic + "?")); err != nil {
			continue // the ICMP answer to the datagram before
		}
		_ = conn.SetReadDeadline(before.Add(timeout / udpTries))
		var n int
		if n, err = conn.Read(answer); err == nil {
			name, seen = parseGreeting(answer[:n])
			return name, seen, time.Since(before), nil
		}
	}
	return "", netip.Addr{}, 0, err
}

// timedOut maps the timeout of a dial to os.ErrDeadlineExceeded.
func timedOut(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return os.ErrDeadlineExceeded
	}
	return err
}
