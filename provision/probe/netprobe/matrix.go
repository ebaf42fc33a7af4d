// Package netprobe measures the network between hosts with real packets. It
// copies a small static program (folder agent) to each host. The program listens
// on the ports that the cluster will use, connects to all others, and is removed.
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
	// IP is where the others reach it: the node's address.
	IP netip.Addr
	// MTU is that of the interface that has IP, in bytes.
	MTU int
	// DiskPath is a folder in whose file system the time of fdatasync is
	// measured; empty: not on this host.
	DiskPath string
}

// Protocol of a Need: tcp or udp.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Need is a port that must be reachable: by each of From on each of To, a node
// and itself left out.
type Need struct {
	Protocol Protocol `json:"protocol"`
	Port     int      `json:"port"`
	// Use says for what: "API server", "VXLAN of Flannel".
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
	// Neighbours answered ARP requests for the addresses in Options.Ask.
	Neighbours []Neighbour `json:"neighbours,omitempty"`
	// Absent are the nodes that could not take part, with the reason.
	Absent map[string]string `json:"absent,omitempty"`
}

// Status of a Link.
type Status string

// The statuses of a link.
const (
	// Reached: the other host answered, with its name.
	Reached Status = "reached"
	// Refused: something answered that nothing listens there (RST, ICMP), which
	// while the probe listens is a firewall's doing.
	Refused Status = "refused"
	// TimedOut: no answer.
	TimedOut Status = "timed out"
	// Elsewhere: another host answered.
	Elsewhere Status = "elsewhere"
	// Occupied: something else uses the port there, so that the probe could not
	// listen, and no answer proves anything (UDP).
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
	// SeenAs is the source address that To saw; another one than From's means
	// that addresses are translated between them.
	SeenAs netip.Addr `json:"seenAs,omitzero"`
}

// Path is what passes from one node to another.
type Path struct {
	From string `json:"from"`
	To   string `json:"to"`
	// MTU is the largest IP packet in bytes that passed with the
	// don't-fragment bit set; 0 if that was not measured. Wanted is the
	// smaller of the two interfaces' MTUs.
	MTU    int `json:"mtu,omitempty"`
	Wanted int `json:"wanted"`
	// RoundTrip is the shortest that was seen; 0 if nothing was.
	RoundTrip time.Duration `json:"roundTripNanoseconds"`
}

// Disk is how long a file system takes to make written data durable.
type Disk struct {
	Node string `json:"node"`
	Path string `json:"path"`
	// P99 is the time of fdatasync that 99 of 100 writes of 2300 bytes do not
	// exceed (as etcd recommends for testing a disk). Writes is their number.
	P99    time.Duration `json:"p99Nanoseconds"`
	Writes int           `json:"writes"`
	// Error says why nothing was measured.
	Error string `json:"error,omitempty"`
}

// Neighbour is the interface that answered a node's ARP request.
type Neighbour struct {
	Node    string     `json:"node"`
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`
}
