// Package wire is the protocol between slipway and the agents of package
// netprobe: one JSON message a line, over the agent's standard input and output.
//
//	slipway: Hello
//	agent:   Ready, once it listens
//	slipway: Task, once all agents are ready
//	agent:   Outcome; it listens until its input ends
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

// Hello gives an agent its name and the ports to listen on.
type Hello struct {
	Name   string     `json:"name"`
	IP     netip.Addr `json:"ip"`
	Listen []Port     `json:"listen"`
}

// Ready reports that the agent listens.
type Ready struct {
	// Busy are the ports that other programs use.
	Busy []Port `json:"busy,omitempty"`
	// Error is why the agent cannot listen on a port that is free.
	Error string `json:"error,omitempty"`
}

// Task is what an agent has to measure.
type Task struct {
	Peers []Peer `json:"peers"`
	// Timeout limits each attempt to reach a port.
	Timeout time.Duration `json:"timeout"`
	// Ask lists addresses to resolve by ARP.
	Ask []netip.Addr `json:"ask,omitempty"`
	// Disk is a directory in which fdatasync is timed; empty for none.
	Disk string `json:"disk,omitempty"`
	// Routers is the address of the interface at which to listen for VRRP
	// advertisements; invalid to listen for none.
	Routers netip.Addr `json:"routers,omitzero"`
}

// Peer is another agent.
type Peer struct {
	Name  string     `json:"name"`
	IP    netip.Addr `json:"ip"`
	Ports []Port     `json:"ports"`
	// MTU is the size of the IP packets that should pass, in bytes. MTUPort is the
	// UDP port to send them to; 0 sends none.
	MTU     int `json:"mtu,omitempty"`
	MTUPort int `json:"mtuPort,omitempty"`
}

// The statuses of a Link.
const (
	Reached  = "reached"
	Refused  = "refused"
	TimedOut = "timed out"
)

// Outcome is what an agent measured.
type Outcome struct {
	Links      []Link      `json:"links"`
	Paths      []Path      `json:"paths"`
	Neighbours []Neighbour `json:"neighbours,omitempty"`
	Disk       *Disk       `json:"disk,omitempty"`
	Routers    []Router    `json:"routers,omitempty"`
}

// Link is the result of an attempt to reach a port.
type Link struct {
	Peer   string `json:"peer"`
	Port   Port   `json:"port"`
	Status string `json:"status"`
	// Detail is the error.
	Detail string `json:"detail,omitempty"`
	// Answered is the name of the agent that answered; empty if another program
	// answered, or none. SeenAs is the source address that the agent saw.
	Answered string     `json:"answered,omitempty"`
	SeenAs   netip.Addr `json:"seenAs,omitzero"`
}

// Path is the route to a peer.
type Path struct {
	Peer string `json:"peer"`
	// MTU is the largest IP packet that passed, in bytes; 0 if none did.
	MTU int `json:"mtu,omitempty"`
	// RoundTrip is the shortest round trip; 0 if there was no answer.
	RoundTrip time.Duration `json:"roundTrip,omitempty"`
}

// Neighbour is an answer to an ARP request.
type Neighbour struct {
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`
}

// Router is a sender of VRRP advertisements, and its virtual router ID.
type Router struct {
	Address netip.Addr `json:"address"`
	ID      int        `json:"id"`
}

// Disk is the time that fdatasync takes.
type Disk struct {
	P99    time.Duration `json:"p99"`
	Writes int           `json:"writes"`
	Error  string        `json:"error,omitempty"`
}
