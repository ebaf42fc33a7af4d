package workflow

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
)

const (
	// lostTimeout bounds an attempt to connect to a lost host, lostAtOnce how many there
	// are at the same time: a machine that is gone answers none.
	lostTimeout = 3 * time.Second
	lostAtOnce  = 128

	sshPort     = 22
	peerPort    = 2380
	kubeletPort = 10250
)

// LostHost is a host whose state in the inventory is lost: no run works on it.
type LostHost struct {
	Config config.Host
	// ConnectSSH connects from localhost to the SSH port of the host, and does not log in.
	ConnectSSH func(context.Context) error
}

// AliveError: the machine of a lost host lives.
type AliveError struct {
	// Host is its name, Signs is what shows that it lives.
	Host  string
	Signs []string
}

func (e *AliveError) Error() string {
	return fmt.Sprintf("the machine of the lost host %s lives: %s", e.Host, strings.Join(e.Signs, "; "))
}

// Remedy is what to do instead.
func (e *AliveError) Remedy() string {
	return fmt.Sprintf("drain, remove and reset it with `slipway node remove %s`, which sets state: absent and needs SSH; or power the machine off first and wait a minute; "+
		"if another machine has its address now, add the check %s to preflight.ignore", e.Host, config.CheckLostHost)
}

// SignsOfLife returns what answers at the addresses of the lost hosts that the cluster
// still has, by the name of the host. It connects from localhost and from the control
// planes: after a partition, one of them may reach the machine, and the others not.
func (h *Hosts) SignsOfLife(ctx context.Context, c *config.Cluster) map[string][]string {
	var attempts []*attempt
	for _, lost := range h.Lost {
		if h.State().Node(lost.Config.Name) != nil || (&Host{Config: lost.Config}).HasMemberIn(h.State()) {
			attempts = append(attempts, h.attempts(c, lost)...)
		}
	}
	var group errgroup.Group
	group.SetLimit(lostAtOnce)
	for _, a := range attempts {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, lostTimeout)
			defer cancel()
			a.answered = a.connect(ctx) == nil
			return nil
		})
	}
	_ = group.Wait()

	signs := map[string][]string{}
	for i := 0; i < len(attempts); {
		// Those on one service follow each other.
		first, from := attempts[i], []string(nil)
		for ; i < len(attempts) && attempts[i].host == first.host && attempts[i].service == first.service; i++ {
			if attempts[i].answered {
				from = append(from, attempts[i].from)
			}
		}
		if len(from) > 0 {
			signs[first.host] = append(signs[first.host], fmt.Sprintf("%s answers %s", first.service, strings.Join(from, ", ")))
		}
	}
	return signs
}

// attempt is one to connect to a service of a lost host.
type attempt struct {
	host, service, from string
	connect             func(context.Context) error
	answered            bool
}

// attempts returns those on all services of a lost host. An address that another host of
// the inventory has tells nothing.
func (h *Hosts) attempts(c *config.Cluster, lost *LostHost) []*attempt {
	var all []*attempt
	spec := lost.Config
	from := func(service, address string) {
		for _, plane := range h.WithLeaving().ControlPlanes() {
			if dialer, dials := plane.Conn.(host.Dialer); dials && plane.Facts() != nil {
				all = append(all, &attempt{host: spec.Name, service: service, from: plane.Config.Name, connect: connectTo(dialer, address)})
			}
		}
	}
	if !h.has(spec.Address) {
		address := net.JoinHostPort(spec.Address, strconv.Itoa(cmp.Or(spec.SSH.Port, c.SSH.Port, sshPort)))
		service := "SSH (" + address + ")"
		if lost.ConnectSSH != nil {
			all = append(all, &attempt{host: spec.Name, service: service, from: "localhost", connect: lost.ConnectSSH})
		}
		from(service, address)
	}
	node := h.nodeAddress(spec)
	if h.has(node) {
		return all
	}
	on := func(use string, port int) {
		address := net.JoinHostPort(node, strconv.Itoa(port))
		from(use+" ("+address+")", address)
	}
	on("kubelet", kubeletPort)
	if spec.Has(config.RoleControlPlane) {
		if !c.ExternalEtcd() {
			on("etcd", peerPort)
		}
		on("the API server", c.ControlPlane.BindPort)
	}
	return all
}

func connectTo(dialer host.Dialer, address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
}

// nodeAddress returns the address that the cluster uses for a lost host.
func (h *Hosts) nodeAddress(lost config.Host) string {
	if node := h.State().Node(lost.Name); lost.NodeIP == "" && node != nil && len(node.Addresses) > 0 {
		return node.Addresses[0]
	}
	return cmp.Or(lost.NodeIP, lost.Address)
}

// has reports whether a host that is not lost has the address.
func (h *Hosts) has(address string) bool {
	return slices.ContainsFunc(h.all(), func(other *Host) bool {
		ip, err := other.NodeIP()
		return other.Config.Address == address || other.Config.NodeIP == address || err == nil && ip.String() == address
	})
}
