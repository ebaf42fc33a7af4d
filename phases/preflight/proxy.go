package preflight

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/sources"
)

// proxyCheck is about the proxy that programs on the host use.
func proxyCheck() Check {
	return Check{
		Description: check.Description{
			Name: "proxy", Title: "the proxy does not handle cluster traffic", Kind: check.Host, Severity: check.Error,
			Examines: "http_proxy, https_proxy and no_proxy in /etc/environment and in systemd's environment.",
			Why: "With a proxy for the cluster's own addresses, kubeadm init hangs and webhooks fail. A proxy that only logins have does " +
				"not reach containerd: the inventory needs it too.",
			Manual: []string{"systemctl show-environment; cat /etc/environment", "echo 'NO_PROXY=...' >> /etc/environment"},
		},
		run: proxy,
	}
}

// proxy: traffic to nodes, pods and Services must not go through a proxy, and containerd
// needs the one that the host has.
func proxy(cc *checkContext) []check.Finding {
	needed := cc.noProxy()
	return eachHost(func(_ config.Host, f *facts.Facts) []check.Finding {
		settings := f.Software.Proxy
		used := settings["https_proxy"]
		if used == "" {
			used = settings["http_proxy"]
		}
		if used == "" {
			return nil
		}
		found := otherProxy(cc.cluster, used)
		var missing []string
		for _, want := range needed {
			if !exempt(settings["no_proxy"], want) {
				missing = append(missing, want)
			}
		}
		if len(missing) == 0 {
			return found
		}
		all := strings.Join(append(nonEmpty(settings["no_proxy"]), missing...), ",")
		return append([]check.Finding{{
			Evidence: fmt.Sprintf("the proxy %s is also used for %s", withoutPassword(used), names(missing)),
			Fix:      "set in /etc/environment: NO_PROXY=" + all,
		}}, found...)
	})(cc)
}

// otherProxy reports that a host has a proxy which the inventory does not have.
func otherProxy(c *config.Cluster, used string) []check.Finding {
	switch {
	case sources.SameProxy(used, c.Proxy.HTTPProxy) || sources.SameProxy(used, c.Proxy.HTTPSProxy):
		return nil
	case c.Proxy.Used():
		return []check.Finding{{
			Severity: check.Warning,
			Evidence: fmt.Sprintf("the host has the proxy %s, and containerd gets %s", withoutPassword(used), c.Proxy.HTTPSProxy),
			Fix:      "correct proxy.httpProxy in the inventory, or the proxy in /etc/environment of the host",
		}}
	}
	return []check.Finding{{
		Severity: check.Warning,
		Evidence: fmt.Sprintf("the host has the proxy %s, and the inventory has none: containerd does not read /etc/environment", withoutPassword(used)),
		Fix:      "set in the inventory: proxy: {httpProxy: '" + sources.WithoutLogin(used) + "'}",
	}}
}

// withoutPassword returns the address of a proxy without its password.
func withoutPassword(proxy string) string {
	if u, err := url.Parse(proxy); err == nil {
		return u.Redacted()
	}
	if i := strings.LastIndex(proxy, "@"); i >= 0 {
		return "..." + proxy[i:]
	}
	return proxy
}

// noProxy lists the addresses and ranges that must not go through a proxy.
func (cc *checkContext) noProxy() []string {
	all := []string{"127.0.0.1", cc.cluster.Network.PodSubnet, cc.cluster.Network.ServiceSubnet}
	if endpoint := cc.cluster.EndpointHost(); endpoint != "" {
		all = append(all, endpoint)
	}
	for _, h := range cc.reachable() {
		if addr, err := h.NodeIP(); err == nil {
			all = append(all, addr.String())
		}
	}
	return all
}

// exempt reports whether a no_proxy list has an address, name or range, or a range
// that contains it.
func exempt(noProxy, want string) bool {
	for _, entry := range strings.Split(noProxy, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "*" || entry == want {
			return true
		}
		whole, err := netip.ParsePrefix(entry)
		if err != nil {
			continue
		}
		if a, err := netip.ParseAddr(want); err == nil && whole.Contains(a) {
			return true
		}
		if p, err := netip.ParsePrefix(want); err == nil && whole.Bits() <= p.Bits() && whole.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
