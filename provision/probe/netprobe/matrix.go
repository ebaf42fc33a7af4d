// Package netprobe measures the network between hosts with real packets. It
// uploads a small static program to each host, the agent. The agents listen on
// the ports that the cluster will use and connect to each other. They delete
// themselves.
package netprobe

import (
	"net/netip"
	"time"

	"slipway.io/slipway/provision/host"
)

// Node is a host that takes part in the measurement.
type Node struct {
	Name string
	Host host.Host
	// Arch is amd64 or arm64.
	Arch string
	// IP is the address at which the other nodes reach it.
	IP netip.Addr
	// MTU is the MTU of the interface that has IP, in bytes.
	MTU int
	// DiskPath is a directory. The time of fdatasync is measured in its file
	// system; empty: not on this host.
	DiskPath string
}

// Protocol of a Need: tcp or udp.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Need is a port that every node of From must reach on every other node of To.
type Need struct {
	Protocol Protocol `json:"protocol"`
	Port     int      `json:"port"`
	// Use is the purpose of the port: "API server", "VXLAN of Flannel".
	Use  string   `json:"use"`
	From []string `json:"from"`
	To   []string `json:"to"`
}

// Matrix is the result of a measurement.
type Matrix struct {
	Needs []Need `json:"needs"`
	Links []Link `json:"links"`
	Paths []Path `json:"paths"`
	Disks []Disk `json:"disks"`
	// Neighbours are the answers to ARP requests for the addresses in Options.Ask.
	Neighbours []Neighbour `json:"neighbours,omitempty"`
	// Routers are the senders of the VRRP advertisements that arrived at a node.
	Routers []Router `json:"routers,omitempty"`
	// Absent holds the reason for each node that could not take part.
	Absent map[string]string `json:"absent,omitempty"`
}

// Status of a Link.
type Status string

// The statuses of a link.
const (
	// Reached: the other host answered, with its name.
	Reached Status = "reached"
	// Refused: the connection was rejected (RST, ICMP). Since the agent listens
	// on the port, a firewall rejected it.
	Refused Status = "refused"
	// TimedOut: no answer.
	TimedOut Status = "timed out"
	// Elsewhere: another host answered.
	Elsewhere Status = "elsewhere"
	// Occupied: another program uses the UDP port, so that the agent could not
	// listen and nothing was measured.
	Occupied Status = "occupied"
)

// Link is the answer to a Need from one node to another.
type Link struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Protocol Protocol `json:"protocol"`
	Port     int      `json:"port"`
	Status   Status   `json:"status"`
	// Detail is the error, or who answered.
	Detail string `json:"detail,omitempty"`
	// SeenAs is the source address that To saw. If it is not an address of From,
	// there is NAT between them.
	SeenAs netip.Addr `json:"seenAs,omitzero"`
}

// Path is the route from one node to another.
type Path struct {
	From string `json:"from"`
	To   string `json:"to"`
	// MTU is the largest IP packet in bytes that passed with the
	// don't-fragment bit set; 0 if that was not measured. Wanted is the
	// smaller of the two interfaces' MTUs.
	MTU    int `json:"mtu,omitempty"`
	Wanted int `json:"wanted"`
	// RoundTrip is the shortest round trip; 0 if there was no answer.
	RoundTrip time.Duration `json:"roundTripNanoseconds"`
}

// Disk is how long a file system takes to make written data durable.
type Disk struct {
	Node string `json:"node"`
	Path string `json:"path"`
	// P99 is the 99th percentile of the time of fdatasync after writes of 2300
	// bytes, as etcd recommends for testing a disk. Writes is their number.
	P99    time.Duration `json:"p99Nanoseconds"`
	Writes int           `json:"writes"`
	// Error says why nothing was measured.
	Error string `json:"error,omitempty"`
}

// Router is a sender of VRRP advertisements that a node heard.
type Router struct {
	Node    string     `json:"node"`
	Address netip.Addr `json:"address"`
	// ID is its virtual router ID.
	ID int `json:"id"`
}

// Neighbour is the interface that answered a node's ARP request.
type Neighbour struct {
	Node    string     `json:"node"`
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`
}
