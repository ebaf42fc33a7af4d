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

// atOnce bounds the tries at the same moment.
const atOnce = 128

// do does everything of a task at once.
func do(hello wire.Hello, task wire.Task) wire.Outcome {
	var (
		outcome wire.Outcome
		mu      sync.Mutex
		wait    sync.WaitGroup
	)
	slots := make(chan struct{}, atOnce)
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
		wait.Go(func() { outcome.Neighbours = ask(task.Ask) })
	}
	for _, peer := range task.Peers {
		path := wire.Path{Peer: peer.Name}
		for _, port := range peer.Ports {
			start(func() {
				link, roundTrip := try(peer, port, task.Timeout)
				mu.Lock()
				defer mu.Unlock()
				outcome.Links = append(outcome.Links, link)
				record(&outcome, peer.Name, roundTrip, 0)
			})
		}
		if peer.MTUPort != 0 {
			start(func() {
				size := largest(netip.AddrPortFrom(peer.IP, uint16(peer.MTUPort)), peer.MTU, task.Timeout)
				mu.Lock()
				defer mu.Unlock()
				record(&outcome, peer.Name, 0, size)
			})
		}
		mu.Lock()
		if !known(outcome.Paths, peer.Name) {
			outcome.Paths = append(outcome.Paths, path)
		}
		mu.Unlock()
	}
	wait.Wait()
	return outcome
}

func known(paths []wire.Path, peer string) bool {
	for _, p := range paths {
		if p.Peer == peer {
			return true
		}
	}
	return false
}

// record keeps the shortest round trip to a peer, and the MTU.
func record(outcome *wire.Outcome, peer string, roundTrip time.Duration, mtu int) {
	if !known(outcome.Paths, peer) {
		outcome.Paths = append(outcome.Paths, wire.Path{Peer: peer})
	}
	for i := range outcome.Paths {
		p := &outcome.Paths[i]
		if p.Peer != peer {
			continue
		}
		if roundTrip > 0 && (p.RoundTrip == 0 || roundTrip < p.RoundTrip) {
			p.RoundTrip = roundTrip
		}
		p.MTU = max(p.MTU, mtu)
	}
}

// try reaches one port of a peer.
func try(peer wire.Peer, port wire.Port, timeout time.Duration) (wire.Link, time.Duration) {
	at := netip.AddrPortFrom(peer.IP, uint16(port.Number))
	link := wire.Link{Peer: peer.Name, Port: port}
	reach := reachUDP
	if port.Protocol == "tcp" {
		reach = reachTCP
	}
	name, seen, roundTrip, err := reach(at, timeout)
	link.Answered, link.SeenAs = name, seen
	switch {
	case err == nil:
		link.Status = wire.Reached
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		link.Status = wire.TimedOut
	default:
		// A RST, or an ICMP message: unreachable, prohibited.
		link.Status, link.Detail = wire.Refused, err.Error()
	}
	return link, roundTrip
}

// reachTCP connects, and reads the greeting if there is one.
func reachTCP(at netip.AddrPort, timeout time.Duration) (name string, seen netip.Addr, roundTrip time.Duration, err error) {
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

// udpTries is how often a datagram is sent: one may be lost.
const udpTries = 3

func reachUDP(at netip.AddrPort, timeout time.Duration) (name string, seen netip.Addr, roundTrip time.Duration, err error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return "", netip.Addr{}, 0, err
	}
	defer conn.Close()
	answer := make([]byte, 512)
	for range udpTries {
		before := time.Now()
		if _, err = conn.Write([]byte(magic + "?")); err != nil {
			continue // the ICMP answer to the one before
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

// timedOut makes the time-out of a dial be os.ErrDeadlineExceeded.
func timedOut(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return os.ErrDeadlineExceeded
	}
	return err
}
