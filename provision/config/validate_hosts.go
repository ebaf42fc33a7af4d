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

// noBastion says that a host is reached without the bastion of the defaults,
// as `ProxyJump none` in ssh_config.
const noBastion = "none"

func (v *validator) hosts() {
	first := map[string]string{}
	unique := func(at, kind, value, remedy string) {
		if other, taken := first[kind+value]; taken {
			v.report(at, remedy, "%s is already that of %s", value, other)
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
				v.report(item(at+".roles", j), "keep one of them", "%s is there twice", role)
			}
		}
		if h.Name != "" {
			unique(at+".name", "name ", h.Name, "give each host its own name")
		}
		if h.Address != "" {
			port := cmp.Or(h.SSH.Port, v.c.SSH.Port, 22)
			unique(at+".address", "address ", net.JoinHostPort(strings.ToLower(h.Address), strconv.Itoa(port)),
				"each host has its own address, or its own ssh.port on a shared one")
		}
		if ip, err := netip.ParseAddr(h.NodeIP); err == nil {
			unique(at+".nodeIP", "node IP ", ip.String(), "each host has its own nodeIP")
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
			v.report(at, "write the machine's own address", "%s is not the address of one machine", ip)
		case !ip.Is4() && h.NodeIP == "":
			v.report(at, "add nodeIP with an IPv4 address of the machine", "the cluster's IPv6 is not supported yet")
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
		v.report(at, "write an IP address or a DNS name, in lower case", "%q is neither an IP address nor a DNS name", h.Address)
	}
}

func (v *validator) nodeIP(at string, h Host) {
	if h.NodeIP == "" {
		return
	}
	ip, err := netip.ParseAddr(h.NodeIP)
	switch {
	case err != nil:
		v.report(at, "write an IPv4 address of the machine, without bits", "%q is not an IP address", h.NodeIP)
	case !ip.Is4():
		v.report(at, "write an IPv4 address of the machine", "IPv6 is not supported yet")
	case !ip.IsGlobalUnicast():
		v.report(at, "write an address that the other hosts reach", "%s is of no use to other hosts", ip)
	}
}

func (v *validator) ssh(at string, s SSH) {
	if strings.ContainsAny(s.User, " \t\n@:") || strings.HasPrefix(s.User, "-") {
		v.report(at+".user", "write the name alone", "%q is not the name of a user", s.User)
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
			v.report(child(at, key), "write [domain/]name, such as example.com/rack", "%q is not the key of a label", key)
		}
		if bad := validation.IsValidLabelValue(labels[key]); len(bad) > 0 {
			v.report(child(at, key), "use at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or a digit",
				"%q is not the value of a label", labels[key])
		}
	}
}

func (v *validator) taints(at string, taints []Taint) {
	for i, t := range taints {
		at := item(at, i)
		if t.Key != "" && len(validation.IsQualifiedName(t.Key)) > 0 {
			v.report(at+".key", "write [domain/]name, such as example.com/dedicated", "%q is not the key of a taint", t.Key)
		}
		if len(validation.IsValidLabelValue(t.Value)) > 0 {
			v.report(at+".value", "use at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or a digit",
				"%q is not the value of a taint", t.Value)
		}
		same := func(o Taint) bool { return o.Key == t.Key && o.Effect == t.Effect }
		if t.Key != "" && slices.ContainsFunc(taints[:i], same) {
			v.report(at+".key", "keep one of them", "%s:%s is there twice", t.Key, t.Effect)
		}
	}
}

// isName says whether s is a DNS name, as kubeadm wants it: in lower case.
func isName(s string) bool {
	// Digits and dots alone are an address with a slip.
	return len(validation.IsDNS1123Subdomain(s)) == 0 && strings.Trim(s, "0123456789.") != ""
}

// isHostPort says whether s is "host" or "host:port" with an IP address or a
// DNS name; an IPv6 address with a port is in brackets.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "22"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	_, notIP := netip.ParseAddr(host)
	return err == nil && n > 0 && (notIP == nil || isName(host))
}
