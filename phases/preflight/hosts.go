package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
)

// maxSkew is how far a clock may be from the median of all: certificates and
// tokens created on one host are not yet valid on another beyond that.
const maxSkew = 30 * time.Second

// hostsChecks compare all hosts with each other and with the inventory.
func hostsChecks() []Check {
	return append([]Check{
		{
			Description: check.Description{
				Name: "version", Title: "the bundle has the Kubernetes version of the inventory", Kind: check.AllHosts, Severity: check.Error,
				Examines: "kubernetes.version in the inventory, and the bundle.",
				Why:      "slipway would install another version than the inventory says.",
				Manual:   []string{"slipway bundle list"},
			},
			run: version,
		},
		{
			Description: check.Description{
				Name: "bundle-architecture", Title: "the bundle has the architecture of each host", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The architecture of each host, and those for which the bundle has Kubernetes.",
				Why:      "The host would have no binaries or images, and the run would fail after other hosts have changed.",
				Manual:   []string{"uname -m; slipway bundle list BUNDLE"},
			},
			run: bundleArchitecture,
		},
		{
			Description: check.Description{
				Name: config.CheckEvenEtcd, Title: "the number of members of etcd is odd", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The number of hosts with the role etcd; without any, of those with the role control-plane that stay in the cluster.",
				Why: "etcd needs a majority: an even number tolerates no more failures than the odd number below it. A cluster that " +
					"exists with etcd on its control planes gets a warning: a control plane less is better than a dead one.",
				Manual: []string{"grep -c -e control-plane -e etcd inventory.yaml"},
			},
			run: evenEtcd,
		},
		{
			Description: check.Description{
				Name: "clock-skew", Title: "the clocks are in sync", Kind: check.AllHosts, Severity: check.Error,
				Examines: "Each clock against the median of all, less the time of the round trip; and whether a time service runs.",
				Why:      "A certificate or token is not valid yet on a host whose clock is behind.",
				Manual:   []string{"date -u; timedatectl", "timedatectl set-ntp true"},
			},
			run: clockSkew,
		},
		{
			Description: check.Description{
				Name: "os-mix", Title: "all hosts have the same distribution and architecture", Kind: check.AllHosts, Severity: check.Info,
				Examines: "The distribution, its version and the architecture of each host.",
				Why:      "A mix works, but the bundle needs the images of every architecture.",
				Manual:   []string{"cat /etc/os-release; uname -m"},
			},
			run: osMix,
		},
		{
			Description: check.Description{
				Name: "cidr-overlap", Title: "podSubnet and serviceSubnet are not in use", Kind: check.AllHosts, Severity: check.Error,
				Examines: "podSubnet and serviceSubnet against the routes and name servers of every host.",
				Why:      "Packets for overlapping ranges are lost, or reach the wrong host.",
				Manual:   []string{"ip route; cat /etc/resolv.conf"},
			},
			run: cidrOverlap,
		},
		{
			Description: check.Description{
				Name: "node-address", Title: "the node address belongs to the host", Kind: check.AllHosts, Severity: check.Error,
				Examines: "nodeIP or the address that slipway would choose, and the interfaces of the host.",
				Why:      "With an address of another host, logs and exec fail, and etcd does not start.",
				Manual:   []string{"ip -4 addr"},
			},
			run: nodeAddress,
		},
		{
			Description: check.Description{
				Name: "nat-address", Title: "node addresses are unique", Kind: check.AllHosts, Severity: check.Error,
				Examines: "The node addresses of all hosts against each other.",
				Why:      "Behind VirtualBox's NAT, every virtual machine has the address 10.0.2.15.",
				Manual:   []string{"ip -4 addr; ip route get 1    # the source address on the default route"},
			},
			run: natAddress,
		},
		{
			Description: check.Description{
				Name: "serving-certificate", Title: "the inventory sets the address of each kubelet", Kind: check.AllHosts, Severity: check.Error,
				Examines: "nodeIP, or address if it is an IP address, against the node address, the API server, Services and the other hosts.",
				Why: "The cluster signs the serving certificate of a kubelet only for the name and the address in the inventory. " +
					"A host controls its hostname and its routes, and could otherwise get a certificate of the API server.",
				Manual: []string{"ip -4 addr    # set nodeIP of the host in the inventory to one of these"},
			},
			applies: servingCertificates,
			run:     servingCertificate,
		},
		{
			Description: check.Description{
				Name: "flannel-interface", Title: "the pod network uses the interface of the node address", Kind: check.AllHosts, Severity: check.Info,
				Examines: "The address on the default route of each host, and its node address.",
				Why:      "A CNI that uses the interface of the default route sends pod traffic into the NAT.",
				Manual:   []string{"ip route show default; ip -4 addr"},
			},
			run: flannelInterface,
		},
	}, duplicateChecks()...)
}

// duplicateChecks compare values that must be unique to each host.
func duplicateChecks() []Check {
	one := func(name, title, what, manual, fix string, values func(*facts.Facts) []string) Check {
		return Check{
			Description: check.Description{
				Name: name, Title: title, Kind: check.AllHosts, Severity: check.Error,
				Examines: "The " + what + " of each host against all others.",
				Why:      "Cloned hosts appear as one Node, or conflict in the network.",
				Manual:   []string{manual, fix},
			},
			run: duplicates(what, fix, values),
		}
	}
	return []Check{
		one("duplicate-hostname", "host names differ", "hostname", "hostname", "hostnamectl set-hostname NAME",
			func(f *facts.Facts) []string { return []string{f.Hostname} }),
		one("duplicate-machine-id", "machine IDs differ", "machine-id", "cat /etc/machine-id",
			"rm /etc/machine-id && systemd-machine-id-setup && reboot",
			func(f *facts.Facts) []string { return []string{f.MachineID} }),
		one("duplicate-uuid", "product UUIDs differ", "product_uuid", "cat /sys/class/dmi/id/product_uuid",
			"give each virtual machine an identity of its own in its hypervisor",
			func(f *facts.Facts) []string { return []string{f.ProductUUID} }),
		one("duplicate-mac", "MAC addresses differ", "MAC address", "ip -o link",
			"give each virtual machine a MAC address of its own in its hypervisor",
			func(f *facts.Facts) []string { return f.MACs }),
	}
}

// version: the bundle must have the version of the inventory.
func version(cc *checkContext) []check.Finding {
	if cc.bundleErr != nil {
		return []check.Finding{{
			Evidence: "cannot open the bundle: " + cc.bundleErr.Error(),
			Fix:      "create it with slipway bundle create, or correct artifacts.bundle in the inventory",
		}}
	}
	wanted := cc.hosts.Version(cc.cluster)
	switch {
	case cc.version == "" || cc.version == wanted:
		return nil
	case cc.configured() && cc.target == "":
		return []check.Finding{{
			Evidence: fmt.Sprintf("the cluster runs %s, but the bundle has %s", wanted, cc.version),
			Fix:      "to upgrade the cluster, set kubernetes.version: " + cc.version + "; to keep its version, create a bundle of it: slipway bundle create --kubernetes " + wanted,
		}}
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("the inventory sets Kubernetes %s, but the bundle has %s", wanted, cc.version),
		Fix:      "set kubernetes.version: " + cc.version + ", or create a bundle of the other version: slipway bundle create",
	}}
}

func evenEtcd(cc *checkContext) []check.Finding {
	n, what := len(cc.members()), "control planes"
	if cc.cluster.ExternalEtcd() {
		what = "hosts with the role etcd"
	}
	if n == 0 || n%2 == 1 {
		return nil
	}
	if !cc.cluster.ExternalEtcd() && cc.state != nil && cc.state.Exists {
		return []check.Finding{{Severity: check.Warning, Evidence: cc.cluster.EvenControlPlanes(), Fix: "add a control plane"}}
	}
	return []check.Finding{{
		Evidence: fmt.Sprintf("%d %s: etcd tolerates no more failures than with %d", n, what, n-1),
		Fix:      fmt.Sprintf("use %d or %d %s", n-1, n+1, what),
	}}
}

func bundleArchitecture(cc *checkContext) []check.Finding {
	if cc.arches == nil {
		return nil
	}
	var found []check.Finding
	for _, h := range cc.reachable() {
		arch := h.Facts().Arch
		if slices.Contains(cc.arches, arch) || !slices.Contains(bundle.Arches(), arch) { // the check architecture reports others
			continue
		}
		found = append(found, check.Finding{
			Host:     h.Config.Name,
			Evidence: fmt.Sprintf("the architecture is %s, and the bundle has %s only", arch, names(cc.arches)),
			Fix: fmt.Sprintf("slipway bundle create DIR -i INVENTORY --arch %s, and set artifacts.bundle: DIR",
				strings.Join(cc.hosts.Architectures(), ",")),
		})
	}
	return found
}

func clockSkew(cc *checkContext) []check.Finding {
	hosts := cc.reachable()
	if len(hosts) == 0 {
		return nil
	}
	var skews []time.Duration
	for _, h := range hosts {
		skews = append(skews, h.Facts().Skew)
	}
	slices.Sort(skews)
	median := skews[len(skews)/2]
	var found []check.Finding
	for _, h := range hosts {
		if off := h.Facts().Skew - median; off.Abs() > maxSkew {
			found = append(found, check.Finding{
				Host:     h.Config.Name,
				Evidence: fmt.Sprintf("the clock is %s off the median of all hosts", off.Round(time.Second)),
				Fix:      "timedatectl set-ntp true",
			})
			continue
		}
		// A container uses the clock of its computer.
		if f := h.Facts(); !f.Active(timeSync...) && !f.Exists(facts.SystemdInContainer) {
			found = append(found, check.Finding{
				Host: h.Config.Name, Severity: check.Warning,
				Evidence: "no time service runs: neither systemd-timesyncd, chrony nor ntpd",
				Fix:      "timedatectl set-ntp true",
			})
		}
	}
	return found
}

// timeSync lists the units of time services; facts.sh reads their state.
var timeSync = []string{
	"systemd-timesyncd.service", "chrony.service", "chronyd.service", "ntp.service", "ntpd.service", "ntpsec.service",
}

func osMix(cc *checkContext) []check.Finding {
	kinds := map[string][]string{}
	var order []string
	for _, h := range cc.reachable() {
		f := h.Facts()
		kind := strings.TrimSpace(f.OS.ID+" "+f.OS.Version) + " on " + f.Arch
		if kinds[kind] == nil {
			order = append(order, kind)
		}
		kinds[kind] = append(kinds[kind], h.Config.Name)
	}
	if len(order) < 2 {
		return nil
	}
	var kindHosts []string
	for _, kind := range order {
		kindHosts = append(kindHosts, kind+": "+names(kinds[kind]))
	}
	return []check.Finding{{Evidence: strings.Join(kindHosts, "; "), Fix: "nothing, if this is intended"}}
}

// duplicates creates a check that a value is unique to each host.
func duplicates(what, fix string, values func(*facts.Facts) []string) func(*checkContext) []check.Finding {
	return func(cc *checkContext) []check.Finding {
		hosts := map[string][]string{}
		var order []string
		for _, h := range cc.reachable() {
			for _, value := range values(h.Facts()) {
				if value == "" {
					continue
				}
				if hosts[value] == nil {
					order = append(order, value)
				}
				// Bridges and VLANs share the MAC of the interface below them.
				if !slices.Contains(hosts[value], h.Config.Name) {
					hosts[value] = append(hosts[value], h.Config.Name)
				}
			}
		}
		var found []check.Finding
		for _, value := range order {
			if same := hosts[value]; len(same) > 1 {
				found = append(found, check.Finding{
					Evidence: fmt.Sprintf("%s have the same %s %s", names(same), what, value),
					Fix:      fix,
				})
			}
		}
		return found
	}
}
