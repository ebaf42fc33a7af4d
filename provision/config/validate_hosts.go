package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// noBastion connects without the default bastion, as `ProxyJump none` in
// ssh_config.
const noBastion = "none"

func (v *validator) hosts() {
	first := map[string]string{}
	unique := func(at, kind, value, remedy string) {
		if other, taken := first[kind+value]; taken {
			v.report(at, remedy, "duplicate %s%s; first defined in %s", kind, value, other)
			return
		}
		first[kind+value] = at
	}
	for i, h := range v.c.Hosts {
		at := item("hosts", i)
		v.label(at+".name", h.Name)
		v.address(at+".address", h)
		v.nodeIP(at+".nodeIP", h)
		v.ssh(at+".ssh", h.SSH)
		v.labels(at+".labels", h.Labels)
		v.taints(at+".taints", h.Taints)
		for j, role := range h.Roles {
			if slices.Contains(h.Roles[:j], role) {
				v.report(item(at+".roles", j), "keep one of them", "duplicate role %s", role)
			}
		}
		if h.Name != "" {
			unique(at+".name", "name ", h.Name, "give each host its own name")
		}
		if h.State == StateLost {
			continue // another host may have its address
		}
		if h.Address != "" {
			port := cmp.Or(h.SSH.Port, v.c.SSH.Port, 22)
			unique(at+".address", "address ", net.JoinHostPort(strings.ToLower(h.Address), strconv.Itoa(port)),
				"give each host its own address, or its own ssh.port")
		}
		if ip, err := netip.ParseAddr(h.NodeIP); err == nil {
			unique(at+".nodeIP", "node IP ", ip.String(), "give each host its own nodeIP")
		}
	}
}

func (v *validator) address(at string, h Host) {
	if h.Address == "" {
		return
	}
	if ip, err := netip.ParseAddr(h.Address); err == nil {
		switch {
		case ip.IsUnspecified() || ip.IsMulticast():
			v.report(at, "write the host's own address", "%s is not the address of a host", ip)
		case !ip.Is4() && h.NodeIP == "":
			v.report(at, "add nodeIP with an IPv4 address of the host", "IPv6 is not supported in the cluster")
		}
		return
	}
	host, port, err := net.SplitHostPort(h.Address)
	switch user, rest, isUser := strings.Cut(h.Address, "@"); {
	case isUser:
		v.report(at, fmt.Sprintf("write address: %s and ssh: {user: %s}", rest, user), "%q is not an address", h.Address)
	case err == nil:
		v.report(at, fmt.Sprintf("write address: %s and ssh: {port: %s}", host, port), "%q is not an address", h.Address)
	case !isName(h.Address):
		v.report(at, "write an IP address or a lower-case DNS name", "%q is neither an IP address nor a DNS name", h.Address)
	}
}

func (v *validator) nodeIP(at string, h Host) {
	if h.NodeIP == "" {
		return
	}
	ip, err := netip.ParseAddr(h.NodeIP)
	switch {
	case err != nil:
		v.report(at, "write an IPv4 address of the host, without a prefix length", "%q is not an IP address", h.NodeIP)
	case !ip.Is4():
		v.report(at, "write an IPv4 address of the host", "IPv6 is not supported")
	case !ip.IsGlobalUnicast():
		v.report(at, "write an address that the other hosts can reach", "%s is not reachable from other hosts", ip)
	}
}

func (v *validator) ssh(at string, s SSH) {
	if strings.ContainsAny(s.User, " \t\n@:") || strings.HasPrefix(s.User, "-") {
		v.report(at+".user", "write only the name", "%q is not a user name", s.User)
	}
	if s.Bastion == "" || s.Bastion == noBastion {
		return
	}
	for hop := range strings.SplitSeq(s.Bastion, ",") {
		_, host, isUser := strings.Cut(hop, "@")
		if !isUser {
			host = hop
		}
		if !isHostPort(host) || strings.HasPrefix(hop, "@") {
			v.report(at+".bastion", "write [user@]host[:port]", "%q is not a jump host", hop)
		}
	}
}

func (v *validator) labels(at string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if bad := validation.IsQualifiedName(key); len(bad) > 0 {
			v.report(child(at, key), "write [domain/]name, such as example.com/rack", "%q is not a label key", key)
		}
		if bad := validation.IsValidLabelValue(labels[key]); len(bad) > 0 {
			v.report(child(at, key), "use at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or a digit",
				"%q is not a label value", labels[key])
		}
	}
}

func (v *validator) taints(at string, taints []Taint) {
	for i, t := range taints {
		at := item(at, i)
		if t.Key != "" && len(validation.IsQualifiedName(t.Key)) > 0 {
			v.report(at+".key", "write [domain/]name, such as example.com/dedicated", "%q is not a taint key", t.Key)
		}
		if len(validation.IsValidLabelValue(t.Value)) > 0 {
			v.report(at+".value", "use at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or a digit",
				"%q is not a taint value", t.Value)
		}
		same := func(o Taint) bool { return o.Key == t.Key && o.Effect == t.Effect }
		if t.Key != "" && slices.ContainsFunc(taints[:i], same) {
			v.report(at+".key", "keep one of them", "duplicate taint %s:%s", t.Key, t.Effect)
		}
	}
}

// isName returns whether s is a lower-case DNS name, as kubeadm requires.
func isName(s string) bool {
	// Only digits and dots are a mistyped address.
	return len(validation.IsDNS1123Subdomain(s)) == 0 && strings.Trim(s, "0123456789.") != ""
}

// isHostPort returns whether s is "host" or "host:port" with an IP address or a
// DNS name. An IPv6 address with a port is in brackets.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "22"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	_, notIP := netip.ParseAddr(host)
	return err == nil && n > 0 && (notIP == nil || isName(host))
}
