package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/facts"
	"slipway.io/slipway/provision/workflow"
)

// look is what checks look at.
type look struct {
	cluster *config.Cluster
	fleet   *workflow.Fleet
	version string
}

// check is a named question about the machines.
type check struct {
	name string
	look func(*look) []Finding
}

// checks are those that protect an installation, one host's first.
func checks() []check {
	return []check{
		{"init-system", eachHost(initSystem)},
		{"architecture", eachHost(architecture)},
		{"cgroup-v1", cgroupV1},
		{"resources", eachHost(resources)},
		{"disk-space", eachHost(diskSpace)},
		{"kernel", eachHost(kernel)},
		{"node-address", nodeAddress},
		{"leftovers", eachHost(leftovers)},
		{"cri-sockets", eachHost(criSockets)},
		{"version", version},
		{"control-planes", controlPlanes},
		{"clock-skew", clockSkew},
		{"duplicate-hostname", duplicates("hostname", "hostnamectl set-hostname NAME", func(f *facts.Facts) []string { return []string{f.Hostname} })},
		{"duplicate-machine-id", duplicates("machine-id", "rm /etc/machine-id && systemd-machine-id-setup, then restart it", func(f *facts.Facts) []string { return []string{f.MachineID} })},
		{"duplicate-uuid", duplicates("product_uuid", "give each virtual machine an identity of its own", func(f *facts.Facts) []string { return []string{f.ProductUUID} })},
		{"duplicate-mac", duplicates("MAC address", "give each virtual machine a MAC address of its own", func(f *facts.Facts) []string { return f.MACs })},
		{"cidr-overlap", cidrOverlap},
	}
}

// eachHost makes a check of one host a check of all.
func eachHost(one func(config.Host, *facts.Facts) []Finding) func(*look) []Finding {
	return func(l *look) []Finding {
		var all []Finding
		for _, m := range l.fleet.Machines {
			for _, f := range one(m.Spec, m.Facts()) {
				f.Host = m.Spec.Name
				all = append(all, f)
			}
		}
		return all
	}
}

func initSystem(_ config.Host, f *facts.Facts) []Finding {
	if f.Init == "systemd" {
		return nil
	}
	return []Finding{{Evidence: fmt.Sprintf("process 1 is %q", f.Init), Fix: "slipway needs a distribution that runs systemd"}}
}

func architecture(_ config.Host, f *facts.Facts) []Finding {
	if f.Arch == "amd64" || f.Arch == "arm64" {
		return nil
	}
	return []Finding{{Evidence: "the machine is " + f.Arch, Fix: "use amd64 or arm64 machines"}}
}

// cgroupV1: kubelet refuses to start on cgroup v1 since 1.35 unless told
// otherwise (kubelet.config.k8s.io/v1beta1, failCgroupV1).
func cgroupV1(l *look) []Finding {
	if allowed, set := l.cluster.Kubernetes.KubeletConfiguration["failCgroupV1"].(bool); set && !allowed {
		return nil
	}
	return eachHost(func(_ config.Host, f *facts.Facts) []Finding {
		if f.CgroupVersion == 2 {
			return nil
		}
		return []Finding{{
			Evidence: "/sys/fs/cgroup is cgroup v1, with which kubelet refuses to start",
			Fix:      "boot with systemd.unified_cgroup_hierarchy=1, or set kubernetes.kubeletConfiguration.failCgroupV1: false",
		}}
	})(l)
}

// resources are kubeadm's own minimums: 2 CPUs and 1700 MB for a control plane.
func resources(h config.Host, f *facts.Facts) []Finding {
	cpus, memory := 1, 900
	if h.Has(config.RoleControlPlane) {
		cpus, memory = 2, 1700
	}
	var found []Finding
	if f.CPUs < cpus {
		found = append(found, Finding{Evidence: fmt.Sprintf("%d CPU, %d needed", f.CPUs, cpus), Fix: "give the machine more CPUs"})
	}
	if f.MemoryMiB < memory {
		found = append(found, Finding{Evidence: fmt.Sprintf("%d MiB of memory, %d needed", f.MemoryMiB, memory), Fix: "give the machine more memory"})
	}
	return found
}

// needMiB is the free space that an installation needs below each path: the
// binaries are 300 MB, the images of a control plane unpack to 1 GB.
var needMiB = map[string]int{
	"/usr/local/bin": 400, "/var/lib/containerd": 2000, "/var/lib/etcd": 500, "/var/lib/kubelet": 200,
}

func diskSpace(_ config.Host, f *facts.Facts) []Finding {
	// What is installed already needs no room any more.
	if f.Exists("/var/lib/kubelet/config.yaml") {
		return nil
	}
	needed := map[string]int{}
	for _, d := range f.Disks {
		needed[d.MountPoint] += needMiB[d.Path]
	}
	var found []Finding
	said := map[string]bool{}
	for _, d := range f.Disks {
		if need := needed[d.MountPoint]; d.FreeMiB < need && !said[d.MountPoint] {
			said[d.MountPoint] = true
			found = append(found, Finding{
				Evidence: fmt.Sprintf("%d MiB free on %s, %d needed", d.FreeMiB, d.MountPoint, need),
				Fix:      "free some space there",
			})
		}
	}
	return found
}

func kernel(_ config.Host, f *facts.Facts) []Finding {
	var found []Finding
	for _, module := range []string{"overlay", "br_netfilter", "nf_conntrack"} {
		if f.Module(module) || slices.Contains(f.Loadable, module) {
			continue
		}
		found = append(found, Finding{
			Evidence: fmt.Sprintf("kernel %s has no module %s", f.Kernel, module),
			Fix:      "install the distribution's full kernel package (on Ubuntu: linux-modules-extra)",
		})
	}
	return found
}

func nodeAddress(l *look) []Finding {
	var found []Finding
	for _, m := range l.fleet.Machines {
		addr, err := m.NodeIP()
		switch {
		case err != nil:
			found = append(found, Finding{Host: m.Spec.Name, Evidence: strings.TrimPrefix(err.Error(), m.Spec.Name+": "), Fix: workflow.Hint(err)})
		case !m.Facts().HasAddress(addr):
			found = append(found, Finding{
				Host:     m.Spec.Name,
				Evidence: fmt.Sprintf("nodeIP %s is on none of the machine's interfaces (%s)", addr, addresses(m.Facts())),
				Fix:      "set nodeIP to one of them",
			})
		}
	}
	return found
}

func addresses(f *facts.Facts) string {
	var all []string
	for _, a := range f.Addresses {
		if a.Prefix.Addr().Is4() {
			all = append(all, a.Prefix.Addr().String())
		}
	}
	return strings.Join(all, ", ")
}

// leftovers: what another installation left, or runs. One of ours is known by
// its journal, and is gone on with.
func leftovers(h config.Host, f *facts.Facts) []Finding {
	if f.Exists(workflow.JournalDir) {
		return nil
	}
	var found []Finding
	for _, path := range []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/var/lib/etcd/member"} {
		if f.Exists(path) {
			found = append(found, Finding{
				Evidence: path + " is there, and slipway did not put it there",
				Fix:      "take the other cluster's node down first: kubeadm reset",
			})
		}
	}
	ports := []int{10250, 10256}
	if h.Has(config.RoleControlPlane) {
		ports = append(ports, 6443, 2379, 2380, 10257, 10259)
	}
	for _, l := range f.Listeners {
		for _, port := range ports {
			if l.Port == port {
				found = append(found, Finding{
					Evidence: strings.TrimSpace(fmt.Sprintf("port %d is taken by %s", port, l.Process)),
					Fix:      "stop what listens there",
				})
			}
		}
	}
	return found
}

func criSockets(_ config.Host, f *facts.Facts) []Finding {
	var found []Finding
	for _, socket := range f.CRISockets {
		if socket == "/run/containerd/containerd.sock" && f.Exists(workflow.JournalDir) {
			continue
		}
		found = append(found, Finding{
			Severity: Warning,
			Evidence: socket + " is there: another container runtime runs on the machine",
			Fix:      "slipway installs its own containerd and passes its socket explicitly; remove the other if nothing needs it",
		})
	}
	return found
}

// cidrOverlap: a range of the cluster that meets a route or a resolver of a
// machine loses traffic to one of the two.
func cidrOverlap(l *look) []Finding {
	ranges := []struct{ field, cidr string }{
		{"network.podSubnet", l.cluster.Network.PodSubnet},
		{"network.serviceSubnet", l.cluster.Network.ServiceSubnet},
	}
	var found []Finding
	for _, r := range ranges {
		prefix, err := netip.ParsePrefix(r.cidr)
		if err != nil {
			continue // the inventory's validation has said so
		}
		for _, m := range l.fleet.Machines {
			for _, what := range meets(prefix, m.Facts(), l.cluster.Network.CNI.Backend) {
				found = append(found, Finding{
					Host:     m.Spec.Name,
					Evidence: fmt.Sprintf("%s %s overlaps %s", r.field, prefix, what),
					Fix:      "choose another " + r.field + " in the inventory",
				})
			}
		}
	}
	return found
}

// meets says what of a machine lies in a range.
func meets(prefix netip.Prefix, f *facts.Facts, backend string) []string {
	var all []string
	for _, r := range f.Routes {
		if r.Destination.Bits() > 0 && r.Destination.Overlaps(prefix) && !ours(r, prefix, f, backend) {
			all = append(all, fmt.Sprintf("the route to %s over %s", r.Destination, r.Interface))
		}
	}
	for _, a := range f.Resolvers {
		if prefix.Contains(a) {
			all = append(all, "the name server "+a.String())
		}
	}
	return all
}

// ours says whether a cluster of ours made the route: one over the CNI's
// interfaces, or host-gw's to another node's part of the range.
func ours(r facts.Route, prefix netip.Prefix, f *facts.Facts, backend string) bool {
	for _, name := range []string{"cni", "flannel", "cali"} {
		if strings.HasPrefix(r.Interface, name) {
			return true
		}
	}
	within := prefix.Contains(r.Destination.Addr()) && r.Destination.Bits() > prefix.Bits()
	return backend == config.BackendHostGW && within && f.Exists(workflow.JournalDir)
}
