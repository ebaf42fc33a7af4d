package container

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
)

// subnets are the candidates, in order. None overlaps kubeadm's service subnet
// (10.96.0.0/12) or Flannel's pod subnet (10.244.0.0/16).
func subnets() []netip.Prefix {
	var all []netip.Prefix
	for third := 77; third < 87; third++ {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, byte(third), 0}), 24))
	}
	return append(all,
		netip.MustParsePrefix("172.29.77.0/24"),
		netip.MustParsePrefix("192.168.177.0/24"))
}

// route is a part of the output of `ip -json route`.
type route struct {
	Destination string `json:"dst"`
	Device      string `json:"dev"`
}

// chooseSubnet returns the requested subnet, or else the first free one.
// Default routes do not count.
func chooseSubnet(wanted netip.Prefix, routes []route) (netip.Prefix, error) {
	candidates := subnets()
	if wanted.IsValid() {
		candidates = []netip.Prefix{wanted.Masked()}
	}
	var taken []string
	for _, candidate := range candidates {
		r, found := overlap(candidate, routes)
		if !found {
			return candidate, nil
		}
		taken = append(taken, fmt.Sprintf("%s (route to %s on %s)", candidate, r.Destination, r.Device))
	}
	return netip.Prefix{}, fmt.Errorf("no free subnet: %s are in use; choose another one with --range", strings.Join(taken, ", "))
}

func overlap(subnet netip.Prefix, routes []route) (route, bool) {
	for _, r := range routes {
		dst, err := netip.ParsePrefix(r.Destination)
		if err != nil {
			addr, err := netip.ParseAddr(r.Destination)
			if err != nil {
				continue // "default", or not an address
			}
			dst = netip.PrefixFrom(addr, addr.BitLen())
		}
		if dst.Bits() > 0 && dst.Overlaps(subnet) {
			return r, true
		}
	}
	return route{}, false
}

func readRoutes(ctx context.Context) ([]route, error) {
	out, err := localhost.Run(ctx, "ip", "-json", "-4", "route", "show", "table", "all")
	if err != nil {
		return nil, fmt.Errorf("read the routes: %w", err)
	}
	var routes []route
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("read the routes: %w", err)
	}
	return routes, nil
}

// otherSubnets are the subnets of all other labs. A lab that is off, or not up yet,
// has no route.
func (s *session) otherSubnets() []route {
	paths, _ := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "*", "lab.json")) // the pattern is valid
	var taken []route
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		other := session{name: name, dir: filepath.Dir(path)}
		if name != s.name && other.load() == nil {
			taken = append(taken, route{Destination: other.state.Subnet.String(), Device: "lab " + name})
		}
	}
	return taken
}

// digest distinguishes labs of the same name in different directories.
func (s *session) digest() [sha256.Size]byte { return sha256.Sum256([]byte(s.dir)) }

// bridgeName has 11 characters; Linux allows an interface 15.
func (s *session) bridgeName() string {
	sum := s.digest()
	return fmt.Sprintf("slw%x", sum[:4])
}

// bridgeAlias marks the bridge as this lab's.
func (s *session) bridgeAlias() string { return "slipway lab " + s.dir }

// ensureBridge creates the bridge, with an address of localhost. There is no
// forwarding and no address translation.
func (s *session) ensureBridge(ctx context.Context) error {
	name := s.state.Bridge
	exists, err := s.ownsBridge()
	if err != nil {
		return err
	}
	if !exists {
		// A VPN may have added a route since the subnet was chosen.
		routes, err := readRoutes(ctx)
		if err != nil {
			return err
		}
		if r, found := overlap(s.state.Subnet, routes); found {
			return fmt.Errorf("its subnet %s overlaps the route to %s on %s", s.state.Subnet, r.Destination, r.Device)
		}
		// Without a fixed address, a bridge has that of one of its ports, and changes
		// it with them. The first byte means locally administered.
		sum := s.digest()
		mac := fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", sum[4], sum[5], sum[6], sum[7], sum[8])
		s.Logf("", "creates the bridge %s, %s", name, s.state.Subnet)
		if _, err := localhost.Run(ctx, "ip", "link", "add", "name", name, "address", mac, "type", "bridge", "stp_state", "0"); err != nil {
			return err
		}
	}
	if _, err := localhost.Run(ctx, "ip", "link", "set", "dev", name, "alias", s.bridgeAlias()); err != nil {
		return err
	}
	// A kernel without IPv6 does not have the file.
	ipv6 := filepath.Join("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
	if err := os.WriteFile(ipv6, []byte("1\n"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	address := fmt.Sprintf("%s/%d", lab.Nth(s.state.Subnet, 1), s.state.Subnet.Bits())
	if _, err := localhost.Run(ctx, "ip", "address", "replace", address, "dev", name); err != nil {
		return err
	}
	_, err = localhost.Run(ctx, "ip", "link", "set", "dev", name, "up")
	return err
}

// ownsBridge reports whether the bridge exists. An interface of that name with
// another alias is an error. One without an alias is the lab's: a crash came between
// its creation and its alias.
func (s *session) ownsBridge() (bool, error) {
	if s.state.Bridge == "" {
		return false, nil
	}
	alias, err := os.ReadFile(filepath.Join("/sys/class/net", s.state.Bridge, "ifalias"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if got := strings.TrimSpace(string(alias)); got != "" && got != s.bridgeAlias() {
		return false, fmt.Errorf("the interface of that name belongs to %q", got)
	}
	return true, nil
}

func (s *session) removeBridge(ctx context.Context) error {
	exists, err := s.ownsBridge()
	if err != nil || !exists {
		return err
	}
	s.Logf("", "deletes the bridge %s", s.state.Bridge)
	_, err = localhost.Run(ctx, "ip", "link", "delete", "dev", s.state.Bridge, "type", "bridge")
	return err
}
