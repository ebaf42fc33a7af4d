// Package wire is what slipway and its probe say to each other: JSON, a line a
// message, over the standard input and output of the probe.
//
//	slipway: Hello, and the probe listens
//	probe:   Ready
//	slipway: Task, once all probes are ready
//	probe:   Outcome, and the probe listens until its input ends
package wire

import (
	"net/netip"
	"time"
)

// Port is a TCP or UDP port.
type Port struct {
	// Protocol is tcp or udp.
	Protocol string `json:"p"`
	Number   int    `json:"n"`
}

// Hello says who the probe is, and where it listens.
type Hello struct {
	Name   string     `json:"name"`
	IP     netip.Addr `json:"ip"`
	Listen []Port     `json:"listen"`
}

// Ready says on which ports the probe could not listen.
type Ready struct {
	Busy []Port `json:"busy,omitempty"`
	// Error: it cannot listen at all.
	Error string `json:"error,omitempty"`
}

// Task is what a probe has to test.
type Task struct {
	Peers []Peer `json:"peers"`
	// Timeout bounds each try.
	Timeout time.Duration `json:"timeout"`
	// Ask are addresses to ask for by ARP.
	Ask []netip.Addr `json:"ask,omitempty"`
	// Disk is a folder in which fdatasync is timed; empty for none.
	Disk string `json:"disk,omitempty"`
}

// Peer is another probe.
type Peer struct {
	Name  string     `json:"name"`
	IP    netip.Addr `json:"ip"`
	Ports []Port     `json:"ports"`
	// MTU is the size in bytes of the IP packets that should pass; MTUPort the
	// UDP port to send them to, 0 for not at all.
	MTU     int `json:"mtu,omitempty"`
	MTUPort int `json:"mtuPort,omitempty"`
}

// The statuses of a Link.
const (
	Reached  = "reached"
	Refused  = "refused"
	TimedOut = "timed out"
)

// Outcome is what a probe saw.
type Outcome struct {
	Links      []Link      `json:"links"`
	Paths      []Path      `json:"paths"`
	Neighbours []Neighbour `json:"neighbours,omitempty"`
	Disk       *Disk       `json:"disk,omitempty"`
}

// Link is what became of a try to reach a port.
type Link struct {
	Peer   string `json:"peer"`
	Port   Port   `json:"port"`
	Status string `json:"status"`
	// Detail is the error.
	Detail string `json:"detail,omitempty"`
	// Answered is the name of the probe that answered; empty if something else
	// did, or nothing. SeenAs is the source address that it saw.
	Answered string     `json:"answered,omitempty"`
	SeenAs   netip.Addr `json:"seenAs,omitzero"`
}

// Path is what passes to a peer.
type Path struct {
	Peer string `json:"peer"`
	// MTU is the largest IP packet in bytes that passed; 0 if none was sent.
	MTU int `json:"mtu,omitempty"`
	// RoundTrip is the shortest; 0 if nothing came back.
	RoundTrip time.Duration `json:"roundTrip,omitempty"`
}

// Neighbour is a machine that answered for an address.
type Neighbour struct {
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`
}

// Disk is the time that fdatasync takes.
type Disk struct {
	P99    time.Duration `json:"p99"`
	Writes int           `json:"writes"`
	Error  string        `json:"error,omitempty"`
}
