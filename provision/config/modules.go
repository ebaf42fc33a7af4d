package config

// KernelModules returns the modules of the kernel that a host needs. One of each list is
// enough.
func (c *Cluster) KernelModules(h Host) [][]string {
	needed := each("overlay", "nf_conntrack")
	if h.Has(RoleEtcd) {
		return needed
	}
	needed = append(needed, []string{"br_netfilter"})
	if c.Expects(AddonLonghorn) {
		needed = append(needed, []string{"iscsi_tcp"})
	}
	needed = append(needed, c.networkModules()...)
	return append(needed, c.proxyModules()...)
}

// networkModules are those of the pod network. Flannel and Calico set up rules of
// iptables in each mode of kube-proxy, and so does the CNI plugin portmap.
func (c *Cluster) networkModules() [][]string {
	cni := c.Network.CNI
	var needed [][]string
	switch {
	case cni.Name == CNIFlannel && cni.Backend == BackendVXLAN:
		needed = each("vxlan")
	case cni.Name == CNICalico:
		needed = each("ip_set")
	}
	if cni.Name == CNIFlannel || cni.Name == CNICalico {
		needed = append(needed, iptables()...)
		needed = append(needed, []string{"xt_multiport"})
	}
	return needed
}

// proxyModules are those of kube-proxy, by its mode.
func (c *Cluster) proxyModules() [][]string {
	proxy := c.Kubernetes.KubeProxyConfiguration
	mode, _ := proxy["mode"].(string)
	switch mode {
	case "nftables":
		return each("nf_tables", "nft_ct", "nft_fib_ipv4", "nft_masq", "nft_nat", "nft_numgen", "nft_reject_ipv4")
	case "ipvs":
		scheduler := "rr"
		settings, _ := proxy["ipvs"].(map[string]any)
		if set, _ := settings["scheduler"].(string); set != "" {
			scheduler = set
		}
		return append(iptables(), each("ip_set", "ip_vs", "ip_vs_"+scheduler)...)
	}
	return append(iptables(), []string{"xt_statistic"})
}

// iptables are the modules behind the rules of kube-proxy and of pod networks. With
// nf_tables, the program iptables reaches them through nft_compat.
func iptables() [][]string {
	return append([][]string{{"nft_compat", "ip_tables"}},
		each("xt_addrtype", "xt_comment", "xt_conntrack", "xt_mark", "xt_nat", "xt_MASQUERADE")...)
}

func each(modules ...string) [][]string {
	var needed [][]string
	for _, module := range modules {
		needed = append(needed, []string{module})
	}
	return needed
}
