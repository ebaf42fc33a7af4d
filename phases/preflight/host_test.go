package preflight

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// fault changes the facts of w-1 or the inventory so that a check finds something.
type fault struct {
	name string
	// more is added to the inventory, with and without the fault.
	more  string
	plant func(*facts.Facts)
	// want are the findings of the check: "severity".
	want          []check.Severity
	evidence, fix string
}

// hostFaults has for each check of single hosts the faults that it finds. The
// facts without the fault are silent.
func hostFaults(t *testing.T) map[string][]fault {
	bad, warn, info, unknown := []check.Severity{check.Error}, []check.Severity{check.Warning}, []check.Severity{check.Info}, []check.Severity{check.Unknown}
	longhorn := "preflight: {expect: [{name: longhorn}]}\n"
	// ready sets up what Longhorn needs, and then makes a change.
	ready := func(change func(*facts.Facts)) func(*facts.Facts) {
		return func(f *facts.Facts) {
			f.Commands = append(f.Commands, "iscsiadm", "mount.nfs")
			f.ActiveUnits = append(f.ActiveUnits, "iscsid.service")
			f.Existing = append(f.Existing, "/etc/iscsi/initiatorname.iscsi")
			f.Modules = append(f.Modules, "iscsi_tcp")
			change(f)
		}
	}
	configured := func(text string, change func(*facts.Facts)) func(*facts.Facts) {
		return func(f *facts.Facts) {
			f.Software.Containerd, f.Software.ContainerdConfig = "2.3.4", text
			change(f)
		}
	}
	none := func(*facts.Facts) {}
	configs := func(names ...string) func(*facts.Facts) {
		return func(f *facts.Facts) { f.CNIConfigs = names }
	}
	running := func(names ...string) func(*facts.Facts) {
		return func(f *facts.Facts) {
			f.CNIConfigs, f.Existing = names, append(f.Existing, facts.KubeletConfig)
		}
	}
	const v3 = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = "
	const v2 = "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\nSystemdCgroup = "
	return map[string][]fault{
		"init-system":  {{"another init", "", func(f *facts.Facts) { f.Init = "runit" }, bad, `process 1 is "runit"`, "runs systemd"}},
		"distribution": {{"a distribution without a family", "", func(f *facts.Facts) { f.OS = facts.OS{ID: "alpine"} }, bad, `unsupported distribution "alpine": use one of debian, ubuntu, rhel`, "preflight.ignore"}},
		"selinux": {
			{"SELinux of Rocky", "", func(f *facts.Facts) {
				f.OS.ID, f.SELinux, f.Commands = "rocky", "enforcing", append(f.Commands, "restorecon")
			}, info, "SELinux is enforcing", "slipway sets the contexts"},
			{"SELinux without its programs", "", func(f *facts.Facts) { f.OS.ID, f.SELinux = "rocky", "permissive" }, warn, "SELinux is permissive, and restorecon", "dnf install -y policycoreutils"},
			{"SELinux that only reports", "", func(f *facts.Facts) {
				f.SELinux, f.Commands = "permissive", append(f.Commands, "restorecon")
			}, nil, "", ""},
		},
		"network-manager": {
			{"active", "", func(f *facts.Facts) { f.ActiveUnits = append(f.ActiveUnits, "NetworkManager.service") }, info, "NetworkManager is active", "/etc/NetworkManager/conf.d/slipway.conf"},
			{"active and configured", "", func(f *facts.Facts) {
				f.ActiveUnits, f.Existing = append(f.ActiveUnits, "NetworkManager.service"), append(f.Existing, facts.NetworkManagerConf)
			}, nil, "", ""},
		},
		"nm-cloud-setup": {{"on a cloud image", "", func(f *facts.Facts) { f.ActiveUnits = append(f.ActiveUnits, "nm-cloud-setup.timer") }, warn, "nm-cloud-setup is active", "systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer && reboot"}},
		"cgroup-controllers": {
			{"a Raspberry Pi", "", func(f *facts.Facts) {
				f.Controllers, f.Existing = []string{"cpuset", "cpu", "io", "pids"}, append(f.Existing, facts.FirmwareCmdline, facts.BootCmdline)
			}, bad, "no cgroup controller memory", "cgroup_memory=1/' /boot/firmware/cmdline.txt && reboot"},
			{"a Raspberry Pi before Debian 12", "", func(f *facts.Facts) {
				f.Controllers, f.Existing = []string{"cpuset", "cpu", "io", "pids"}, append(f.Existing, facts.BootCmdline)
			}, bad, "no cgroup controller memory", "' /boot/cmdline.txt && reboot"},
			{"another computer", "", func(f *facts.Facts) { f.Controllers = []string{"cpu", "memory"} }, bad, "cpuset and pids", "cgroup_enable=cpuset,pids"},
			{"nothing is known", "", func(f *facts.Facts) { f.Controllers = nil }, unknown, "cannot be read", "cat /sys/fs/cgroup"},
		},
		"architecture": {{"another architecture", "", func(f *facts.Facts) { f.Arch = "riscv64" }, bad, "riscv64", "amd64 or arm64"}},
		"tar": {
			{"not installed", "", func(f *facts.Facts) { f.Commands = nil }, bad, "tar is not installed", "apt-get install -y tar"},
			{"not installed on Rocky", "", func(f *facts.Facts) { f.OS.ID, f.Commands = "rocky", nil }, bad, "tar is not installed", "dnf install -y tar"},
		},
		"cgroup-v1": {
			{"cgroup v1", "", func(f *facts.Facts) { f.CgroupVersion = 1 }, bad, "cgroup v1", "failCgroupV1: false"},
			{"nothing is known", "", func(f *facts.Facts) { f.CgroupVersion = 0 }, unknown, "cannot be read", "stat -fc"},
			{"cgroup v1 that kubelet accepts", "kubernetes: {kubeletConfiguration: {failCgroupV1: false}}\n", func(f *facts.Facts) { f.CgroupVersion = 1 }, nil, "", ""},
		},
		"package-lock": {{"an upgrade that runs", "", func(f *facts.Facts) { f.Software.PackageLocks = []string{"apt-get (pid 7)"} }, warn, "apt-get (pid 7) holds", "systemctl stop unattended-upgrades"}},
		"package-hold": {
			{"a containerd of the distribution", "", func(f *facts.Facts) { f.Software.Packages = []facts.Package{{Name: "containerd"}} }, warn, "containerd", "apt-mark hold containerd"},
			{"one on Rocky", "", func(f *facts.Facts) { f.OS.ID, f.Software.Packages = "rocky", []facts.Package{{Name: "kubelet"}} }, warn, "kubelet", "dnf versionlock add kubelet"},
			{"one that is held, and a tool", "", func(f *facts.Facts) {
				f.Software.Packages = []facts.Package{{Name: "containerd", Held: true}, {Name: "kubectl"}}
			}, nil, "", ""},
		},
		"hostname-loopback": {{"a Vagrant box", "", func(f *facts.Facts) { f.Loopback = []string{"127.0.1.1 w-1"} }, info, "127.0.1.1 w-1", "/etc/hosts"}},
		"inotify":           {{"limits of a desktop", "", func(f *facts.Facts) { f.Sysctls["fs.inotify.max_user_instances"] = "128" }, info, "max_user_instances is 128", "8192"}},
		"proxy": {
			{"a proxy for everything", "proxy: {httpProxy: 'http://p:3128'}\n", func(f *facts.Facts) { f.Software.Proxy = map[string]string{"http_proxy": "http://p:3128"} }, bad, "http://p:3128", "NO_PROXY=127.0.0.1,10.244.0.0/16,10.96.0.0/12,192.0.2.11,192.0.2.21"},
			{"a proxy with a password", "proxy: {httpProxy: 'http://p:3128'}\n", func(f *facts.Facts) {
				f.Software.Proxy = map[string]string{"https_proxy": "http://me:secret@p:3128"}
			}, bad, "the proxy http://me:xxxxx@p:3128 is", "NO_PROXY="},
			{"a proxy that leaves some out", "proxy: {httpProxy: 'http://p:3128'}\n", func(f *facts.Facts) {
				f.Software.Proxy = map[string]string{"https_proxy": "http://p:3128", "no_proxy": "127.0.0.0/8,10.0.0.0/8,192.0.2.11"}
			}, bad, "also used for 192.0.2.21", "NO_PROXY=127.0.0.0/8,10.0.0.0/8,192.0.2.11,192.0.2.21"},
			{"a proxy that leaves all out", "proxy: {httpProxy: 'http://p:3128'}\n", func(f *facts.Facts) {
				f.Software.Proxy = map[string]string{"https_proxy": "http://p:3128", "no_proxy": "127.0.0.1, 10.0.0.0/8, 192.0.2.0/24"}
			}, nil, "", ""},
			{"a proxy that the inventory does not have", "", func(f *facts.Facts) {
				f.Software.Proxy = map[string]string{"https_proxy": "http://me:secret@p:3128", "no_proxy": "*"}
			}, warn, "the host has the proxy http://me:xxxxx@p:3128, and the inventory has none: containerd does not read /etc/environment", "set in the inventory: proxy: {httpProxy: 'http://p:3128'}"},
			{"another proxy than that of the inventory", "proxy: {httpProxy: 'http://q:3128'}\n", func(f *facts.Facts) {
				f.Software.Proxy = map[string]string{"https_proxy": "http://p:3128", "no_proxy": "*"}
			}, warn, "the host has the proxy http://p:3128, and containerd gets http://q:3128", "correct proxy.httpProxy"},
		},
		"resources": {
			{"little memory", "", func(f *facts.Facts) { f.MemoryMiB = 899 }, bad, "899 MiB of memory, 900 needed", "900 MiB"},
			{"no CPU", "", func(f *facts.Facts) { f.CPUs = 0 }, bad, "0 CPU, 1 needed", "1 CPU"},
		},
		"disk-space": {
			{"a file system that holds all and is full", "", func(f *facts.Facts) {
				for i := range f.Disks {
					f.Disks[i].SizeMiB, f.Disks[i].FreeMiB = 3300, 3199
				}
			}, bad, "3199 MiB free on /, 3200 needed", "free 1 MiB on /"},
			{"a file system that just holds all", "", func(f *facts.Facts) {
				for i := range f.Disks {
					f.Disks[i].SizeMiB, f.Disks[i].FreeMiB = 3300, 3200
				}
			}, nil, "", ""},
			{"a full one that is installed already", "", func(f *facts.Facts) {
				journaled(f)
				f.Existing = append(f.Existing, "/var/lib/kubelet/config.yaml")
				f.Disks = []facts.Disk{{Path: "/var/lib/etcd", MountPoint: "/", FreeMiB: 1}}
			}, nil, "", ""},
		},
		"disk-pressure": {
			{"a large disk, fairly full", "", func(f *facts.Facts) { disk(f, "/var/lib/kubelet").FreeMiB = 4999 }, bad, "4999 of 50000 MiB free on /: below kubelet's nodefs.available of 10% (5000)", "evictionHard: {nodefs.available: SIZE}"},
			{"few inodes", "", func(f *facts.Facts) { disk(f, "/var/lib/kubelet").FreeInodes = 49 }, bad, "49 of 1000 inodes", "nodefs.inodesFree"},
			{"few inodes for images", "", func(f *facts.Facts) { disk(f, "/var/lib/containerd").FreeInodes = 49 }, bad, "49 of 1000 inodes", "imagefs.inodesFree"},
			{"images that would be collected", "kubernetes: {kubeletConfiguration: {imageGCHighThresholdPercent: 20}}\n", none, bad, "20 % of / is used; kubelet removes images above 20 %", "imageGCHighThresholdPercent: 100"},
			{"images that just stay", "kubernetes: {kubeletConfiguration: {imageGCHighThresholdPercent: 21}}\n", none, nil, "", ""},
			{"images that are never collected", "kubernetes: {kubeletConfiguration: {imageGCHighThresholdPercent: 100, evictionHard: {nodefs.available: \"0%\"}}}\n", func(f *facts.Facts) { disk(f, "/var/lib/containerd").FreeMiB = 0 }, nil, "", ""},
			{"a size in decimal units", "kubernetes: {kubeletConfiguration: {evictionHard: {nodefs.available: 5G}}}\n", func(f *facts.Facts) { disk(f, "/var/lib/kubelet").FreeMiB = 4768 }, bad, "4768 MiB free on /: below kubelet's nodefs.available of 5G", "evictionHard"},
			{"a number of inodes", "kubernetes: {kubeletConfiguration: {evictionHard: {nodefs.inodesFree: \"901\"}}}\n", none, bad, "900 inodes free on /: below kubelet's nodefs.inodesFree of 901", "evictionHard"},
			{"a threshold of one's own beside kubelet's", "kubernetes: {kubeletConfiguration: {mergeDefaultEvictionSettings: true, evictionHard: {imagefs.available: \"0%\"}}}\n", func(f *facts.Facts) { disk(f, "/var/lib/kubelet").FreeMiB = 4999 }, bad, "nodefs.available of 10% (5000)", "evictionHard"},
			{"a threshold of one's own", "kubernetes: {kubeletConfiguration: {evictionHard: {nodefs.available: 5Gi}}}\n", func(f *facts.Facts) { disk(f, "/var/lib/kubelet").FreeMiB = 5119 }, bad, "5119 MiB free on /: below kubelet's nodefs.available of 5Gi", "evictionHard"},
			{"thresholds that are off", "kubernetes: {kubeletConfiguration: {evictionHard: {nodefs.available: \"0%\"}}}\n", func(f *facts.Facts) { disk(f, "/var/lib/kubelet").FreeMiB = 1 }, nil, "", ""},
		},
		"root-fs": {
			{"a file system that cannot be written", "", func(f *facts.Facts) { disk(f, "/var/lib/etcd").ReadOnly = true }, bad, "/var/lib/etcd on / is read-only", "remount,rw /"},
			{"programs that cannot be run", "", func(f *facts.Facts) { disk(f, "/usr/local/bin").NoExec = true }, bad, "mounted noexec", "remount,exec /"},
			{"data that cannot be run", "", func(f *facts.Facts) { disk(f, "/var/lib/etcd").NoExec = true }, nil, "", ""},
		},
		"kernel": {
			{"a kernel without a module", "", without("vxlan"), bad, "kernel 6.1.0 has no module vxlan", "full kernel package"},
			{"a kernel without modules of kube-proxy", "", without("xt_statistic", "nft_compat"), bad, "no modules nft_compat and xt_statistic", "full kernel package"},
			{"the older iptables", "", func(f *facts.Facts) { without("nft_compat")(f); f.Modules = append(f.Modules, "ip_tables") }, nil, "", ""},
			{"a kernel without nftables, in another mode", "", without("nft_masq"), nil, "", ""},
			{"a kernel without what kube-proxy needs with nftables", "kubernetes: {kubeProxyConfiguration: {mode: nftables}}\n", with("nf_tables", "nft_ct", "nft_fib_ipv4", "nft_nat", "nft_numgen", "nft_reject_ipv4"), bad, "no module nft_masq", "full kernel package"},
			{"a kernel without the scheduler of IPVS", "kubernetes: {kubeProxyConfiguration: {mode: ipvs, ipvs: {scheduler: sh}}}\n", with("ip_vs", "ip_vs_rr"), bad, "no module ip_vs_sh", "full kernel package"},
			{"a small kernel of Ubuntu", "", func(f *facts.Facts) { without("overlay")(f); f.OS.ID = "ubuntu" }, bad, "overlay", "linux-modules-extra-6.1.0"},
			{"Ubuntu on a Raspberry Pi", "", func(f *facts.Facts) { without("vxlan")(f); f.OS.ID, f.Kernel = "ubuntu", "5.15.0-1005-raspi" }, bad, "vxlan", "apt-get install -y linux-modules-extra-raspi"},
			{"a machine container", "", func(f *facts.Facts) { without("vxlan")(f); f.Existing = append(f.Existing, facts.SystemdInContainer) }, bad, "vxlan", "on the computer that the container runs on: modprobe -a vxlan"},
			{"a Rocky whose repositories nobody has asked", "", func(f *facts.Facts) { without("xt_comment")(f); f.OS.ID = "rocky" }, unknown, "not asked for kernel-modules-extra-6.1.0", "dnf install -y kernel-modules-extra-6.1.0"},
			{"a kernel of which nothing can be read", "", func(f *facts.Facts) { without("vxlan")(f); f.ModulesUnreadable = true }, unknown, "/lib/modules/6.1.0 and the configuration of the kernel cannot be read", "reboot"},
			{"a host without modprobe", "", func(f *facts.Facts) { without("vxlan")(f); f.Missing = []string{"modprobe"} }, unknown, "without modprobe slipway cannot tell whether kernel 6.1.0 has the module vxlan", "apt-get install -y kmod"},
			{"a module that is not needed", "network: {cni: {backend: host-gw}}\n", without("vxlan"), nil, "", ""},
			{"a kernel that can load them", "", func(f *facts.Facts) { f.Modules, f.Loadable = nil, f.Modules }, nil, "", ""},
		},
		"br-netfilter": {{"a kernel without it", "", without("br_netfilter"), bad, "no module br_netfilter", "kernel package"}},
		"ip-forward": {
			{"forwarding is off", "", func(f *facts.Facts) { f.Sysctls["net.ipv4.ip_forward"] = "0" }, info, "net.ipv4.ip_forward is 0", "slipway sets it"},
			{"forwarding is off on a node of the cluster", "", func(f *facts.Facts) { journaled(f); f.Sysctls["net.ipv4.ip_forward"] = "0" }, warn, "of the cluster", "slipway apply"},
			{"forwarding is not known", "", func(f *facts.Facts) { delete(f.Sysctls, "net.ipv4.ip_forward") }, unknown, "cannot be read", "sysctl"},
		},
		"swap-returns": {{"swap by every way", "", func(f *facts.Facts) {
			f.Swap = facts.Swap{Active: []string{"/dev/sda2"}, Fstab: []string{"UUID=x"}, Units: []string{"dev-sda2.swap"}, Zram: []string{"/etc/zram"}}
		}, info, "on now: /dev/sda2; in /etc/fstab: UUID=x; units: dev-sda2.swap; zram-generator: /etc/zram", "reset restores it"}},
		"cri-disabled": {
			{"Docker's configuration", "", configured("disabled_plugins = ['cri']\n", none), info, "disabled_plugins has cri", "its own containerd and its configuration"},
			{"drift", "", configured("disabled_plugins = ['io.containerd.grpc.v1.cri']\n", journaled), warn, "io.containerd.grpc.v1.cri", "slipway apply"},
			{"a configuration that cannot be read", "", configured("", journaled), unknown, "containerd 2.3.4 does not print its configuration", "containerd config dump"},
			{"another's that cannot be read", "", configured("x = [", none), nil, "", ""},
			{"another plugin", "", configured("disabled_plugins = ['io.containerd.internal.v1.opt']\n", none), nil, "", ""},
		},
		"cri-v1-missing": {
			{"an old containerd", "", func(f *facts.Facts) { f.Software.Containerd = "1.5.9~ds1" }, info, "containerd 1.5.9~ds1 has no CRI v1", "its own containerd"},
			{"one that is new enough", "", func(f *facts.Facts) { f.Software.Containerd = "v1.6.0" }, nil, "", ""},
		},
		"cgroup-driver": {
			{"cgroupfs", "", configured(v3+"false\n", none), info, "SystemdCgroup is false, kubelet's cgroupDriver systemd", "its own"},
			{"cgroupfs, by drift", "", configured(v2+"false\n", journaled), warn, "SystemdCgroup is false", "slipway apply"},
			{"a configuration that cannot be read", "", configured("x = [", journaled), unknown, "containerd 2.3.4 does not print its configuration", "containerd config dump"},
			{"the right one", "", configured(v3+"true\n", journaled), nil, "", ""},
			{"cgroupfs that is wanted", "containerd: {cgroupDriver: cgroupfs}\n", configured(v3+"false\n", journaled), nil, "", ""},
		},
		"containerd-config-version": {
			{"version 3 for containerd 1", "", func(f *facts.Facts) { f.Software.Containerd, f.Software.ContainerdFileVersion = "1.7.2", "3" }, info, "containerd 1.7.2 does not support", "its own"},
			{"version 3 for containerd 2", "", func(f *facts.Facts) { f.Software.Containerd, f.Software.ContainerdFileVersion = "2.0.0", "3" }, nil, "", ""},
		},
		"pause-image": {
			{"another registry's", "", configured("[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'mirror.example/pause:3.9'\n", none), info, "mirror.example/pause:3.9", "its own"},
			{"another registry's, by drift", "", configured("[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = 'mirror.example/pause:3.9'\n", journaled), warn, "mirror.example/pause:3.9", "slipway apply"},
			{"the right one", "", configured("[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'registry.k8s.io/pause:3.10.2'\n", none), nil, "", ""},
		},
		"cri-sockets": {
			{"another container runtime", "", func(f *facts.Facts) { f.CRISockets = []string{"/run/crio/crio.sock"} }, warn, "/run/crio/crio.sock", "systemctl disable --now crio;"},
			{"another's containerd", "", func(f *facts.Facts) { f.CRISockets = []string{"/run/containerd/containerd.sock"} }, warn, "/run/containerd/containerd.sock", "disable --now containerd;"},
			{"our containerd", "", func(f *facts.Facts) { journaled(f); f.CRISockets = []string{"/run/containerd/containerd.sock"} }, nil, "", ""},
		},
		"leftovers": {
			{"another cluster's files", "", func(f *facts.Facts) { f.Existing = []facts.Path{"/etc/kubernetes/kubelet.conf", "/lib/modules"} }, bad, "/etc/kubernetes/kubelet.conf exists, and slipway did not create it", "kubeadm reset"},
			{"a port in use", "", func(f *facts.Facts) { f.Listeners = []facts.Listener{{Port: 10250, Process: "kubelet"}} }, bad, "port 10250 is in use by kubelet", "ss -ltnp"},
			{"a host without ss", "", func(f *facts.Facts) { f.Missing = []string{"ss"} }, unknown, "ss is not installed", "apt-get install -y iproute2"},
			{"a control plane's port on a worker", "", func(f *facts.Facts) { f.Listeners = []facts.Listener{{Port: 6443, Process: "haproxy"}} }, nil, "", ""},
			{"the probe of another run", "", func(f *facts.Facts) { f.Listeners = []facts.Listener{{Port: 10250, Process: "slipway-probe"}} }, nil, "", ""},
			{"our own", "", func(f *facts.Facts) { journaled(f); f.Listeners = []facts.Listener{{Port: 10250, Process: "kubelet"}} }, nil, "", ""},
		},
		"skew": {
			{"a newer kubelet", "", func(f *facts.Facts) { f.Software.Kubelet = "v1.37.1" }, bad, "kubelet v1.37.1 is newer", "set kubernetes.version to at least v1.37.1"},
			{"a very old kubelet", "", func(f *facts.Facts) { f.Software.Kubelet = "v1.32.9" }, warn, "more than 3 minor versions behind", "remove that kubelet"},
			{"an older kubelet", "", func(f *facts.Facts) { f.Software.Kubelet = "v1.33.0" }, nil, "", ""},
		},
		"cert-expiry": {
			{"one that is over", "", certificate(t, -time.Hour), bad, "/etc/kubernetes/pki/apiserver.crt expired on", "kubeadm certs renew all"},
			{"one that ends soon", "", certificate(t, 29*24*time.Hour+time.Hour), warn, "in 29 days", "kubeadm certs renew all"},
			{"one that lasts", "", certificate(t, 31*24*time.Hour), nil, "", ""},
			{"one that cannot be read", "", func(f *facts.Facts) {
				f.Kubernetes.Certificates = []facts.Certificate{{Path: "/x.crt", PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})}}
			}, unknown, "/x.crt", "check-expiration"},
		},
		"firewall": {
			{"ufw", "", func(f *facts.Facts) { f.Firewalls = []string{"ufw"} }, info, "ufw is active: slipway opens tcp 30000-32767, tcp 10250, udp 8472, udp 30000-32767 and the ranges of pods and Services", "ufw allow 30000:32767/tcp && ufw allow 10250/tcp && ufw allow 8472/udp"},
			{"ufw that slipway leaves alone", "firewall: leave\n", func(f *facts.Facts) { f.Firewalls = []string{"ufw"} }, warn, "ufw is active", "ufw allow 30000:32767/tcp && ufw allow 10250/tcp && ufw allow 8472/udp"},
			{"firewalld", "", func(f *facts.Facts) { f.ActiveUnits = []string{"firewalld.service"} }, info, "firewalld is active: slipway opens", "--add-port=8472/udp && firewall-cmd --reload"},
			{"firewalld that slipway leaves alone", "firewall: leave\n", func(f *facts.Facts) { f.ActiveUnits = []string{"firewalld.service"} }, warn, "firewalld is active", "--add-port=8472/udp && firewall-cmd --reload"},
			{"a policy of iptables", "", func(f *facts.Facts) { f.Firewalls = []string{"iptables"} }, warn, "iptables is active", "iptables -I INPUT -p tcp --dport 10250 -j ACCEPT"},
			{"ufw and the rules that it made", "", func(f *facts.Facts) { f.Firewalls = []string{"ufw", "iptables"} }, info, "ufw is active", "ufw allow 10250/tcp"},
			{"firewalld and the rules that it made", "", func(f *facts.Facts) {
				f.ActiveUnits, f.Firewalls = []string{"firewalld.service"}, []string{"nftables inet firewalld filter_INPUT"}
			}, info, "firewalld is active", "firewall-cmd --permanent --add-port=10250/tcp"},
			{"a policy of nftables", "", func(f *facts.Facts) { f.Firewalls = []string{"nftables inet filter input"} }, warn, "nftables inet filter input is active", "nft insert rule inet filter input udp dport 8472 accept"},
		},
		"dhcp-address": {
			{"a leased address", "", func(f *facts.Facts) { f.Addresses[0].Dynamic = true }, warn, "192.0.2.21 on eth0 is a DHCP lease", "DHCP server"},
			{"another address that is leased", "", func(f *facts.Facts) {
				f.Addresses = append(f.Addresses, facts.Address{Interface: "eth1", Prefix: prefix("10.0.2.15/24"), Dynamic: true})
			}, nil, "", ""},
		},
		"dns-loop": {
			{"a name server on the loopback", "", func(f *facts.Facts) { f.Resolvers = append(f.Resolvers, prefix("127.0.0.1/32").Addr()) }, bad, "127.0.0.1", "resolvConf"},
			{"systemd-resolved's", "", func(f *facts.Facts) {
				f.Resolvers = append(f.Resolvers, prefix("127.0.0.53/32").Addr())
				f.Existing = append(f.Existing, "/run/systemd/resolve/resolv.conf")
			}, info, "127.0.0.53", "/run/systemd/resolve/resolv.conf"},
			{"a file of one's own", "kubernetes: {kubeletConfiguration: {resolvConf: /etc/real.conf}}\n", func(f *facts.Facts) { f.Resolvers = append(f.Resolvers, prefix("127.0.0.1/32").Addr()) }, nil, "", ""},
		},
		"calico-interface": {{"Docker's bridge", "preflight: {expect: [{name: calico}]}\n", func(f *facts.Facts) {
			f.Bridges = []string{"docker0"}
			f.Addresses = append(f.Addresses, facts.Address{Interface: "docker0", Prefix: prefix("172.17.0.1/16")})
		}, warn, "docker0 has 172.17.0.1", "IP_AUTODETECTION_METHOD"}},
		"checksum-offload": {{"an old kernel", "", func(f *facts.Facts) { f.Kernel = "4.18.0-553.el8.x86_64" }, warn, "4.18.0-553.el8.x86_64", "tx-checksum-ip-generic off"}},
		"ssh-sessions":     {{"one session", "", func(f *facts.Facts) { f.MaxSessions = 1 }, info, "MaxSessions is 1", "MaxSessions 10"}},
		"cni-config": {
			{"one that comes before", "", configs("05-cilium.conflist", "10-flannel.conflist"), bad, "/etc/cni/net.d/05-cilium.conflist is not of the pod network flannel", "rm /etc/cni/net.d/05-cilium.conflist"},
			{"Calico's of an earlier cluster", "", configs("10-calico.conflist"), bad, "10-calico.conflist", "rm /etc/cni/net.d/10-calico.conflist"},
			{"Flannel's of an earlier cluster", "network: {cni: {name: calico}}\n", configs("10-flannel.conflist"), bad, "10-flannel.conflist is not of the pod network calico", "rm "},
			{"one that comes after, before the pod network has its own", "", configs("87-podman-bridge.conflist"), bad, "87-podman-bridge.conflist", "rm "},
			{"one that comes after", "", configs("10-flannel.conflist", "87-podman-bridge.conflist"), nil, "", ""},
			{"the pod network's own", "", configs("10-flannel.conflist"), nil, "", ""},
			{"Multus of a running cluster", "", running("00-multus.conf", "10-flannel.conflist"), nil, "", ""},
			{"Multus of an earlier cluster", "", configs("00-multus.conf", "10-flannel.conflist"), bad, "00-multus.conf", "rm "},
			{"another one of a running cluster", "", running("00-mine.json", "10-flannel.conflist"), bad, "00-mine.json", "rm "},
			{"a pod network of one's own", "network: {cni: {name: none}}\n", configs("05-cilium.conflist"), nil, "", ""},
		},
		"pod-network": {
			{"another one", "network: {cni: {name: calico}}\n", func(f *facts.Facts) {
				f.Existing = append(f.Existing, "/var/lib/kubelet/config.yaml", "/etc/cni/net.d/10-flannel.conflist")
			}, bad, "the cluster's pod network is flannel, but the inventory sets calico", "set network.cni.name to flannel"},
			{"one's own", "network: {cni: {name: none}}\n", func(f *facts.Facts) {
				f.Existing = append(f.Existing, "/var/lib/kubelet/config.yaml", "/etc/cni/net.d/10-calico.conflist")
			}, bad, "the cluster's pod network is calico, but the inventory sets none", "slipway reset"},
			{"the same", "", func(f *facts.Facts) {
				f.Existing = append(f.Existing, "/var/lib/kubelet/config.yaml", "/etc/cni/net.d/10-flannel.conflist")
			}, nil, "", ""},
			{"one of before", "network: {cni: {name: calico}}\n", func(f *facts.Facts) {
				f.Existing = append(f.Existing, "/etc/cni/net.d/10-flannel.conflist")
			}, nil, "", ""},
		},
		"iscsid": {
			{"not installed", longhorn, ready(func(f *facts.Facts) { f.Commands = []string{"mount.nfs"} }), bad, "not installed", "apt-get install -y open-iscsi"},
			{"not installed on Rocky", longhorn, ready(func(f *facts.Facts) { f.OS.ID, f.Commands = "rocky", []string{"mount.nfs"} }), bad, "not installed", "dnf install -y iscsi-initiator-utils"},
			{"not running", longhorn, ready(func(f *facts.Facts) { f.ActiveUnits = nil }), bad, "does not run", "systemctl enable --now iscsid"},
			{"without a name", longhorn, ready(func(f *facts.Facts) { f.Existing = nil }), bad, "no initiator name", "iscsi-iname"},
			{"all installed", longhorn, ready(none), nil, "", ""},
		},
		"iscsi-tcp": {
			{"a kernel without it", longhorn, ready(without("iscsi_tcp")), bad, "no module iscsi_tcp", "kernel package"},
			{"all installed", longhorn, ready(none), nil, "", ""},
		},
		"multipathd": {
			{"it takes all", longhorn, ready(func(f *facts.Facts) { f.ActiveUnits = append(f.ActiveUnits, "multipathd.service") }), bad, "claims every disk", "blacklist"},
			{"it leaves some", longhorn, ready(func(f *facts.Facts) {
				f.ActiveUnits, f.Software.MultipathBlacklist = append(f.ActiveUnits, "multipathd.service"), true
			}), nil, "", ""},
		},
		"nfs-client": {{"not installed", longhorn, ready(func(f *facts.Facts) { f.Commands = []string{"iscsiadm"} }), warn, "mount.nfs", "nfs-common"}},
		"ports-80-443": {
			{"a web server", "preflight: {expect: [{name: ingress}]}\n", func(f *facts.Facts) {
				f.Listeners = []facts.Listener{{Port: 443, Process: "nginx"}, {Port: 8080, Process: "java"}}
			}, bad, "port 443 is in use by nginx", "ss -ltnp"},
			{"an ingress that runs", "preflight: {expect: [{name: ingress}]}\n", func(f *facts.Facts) {
				journaled(f)
				f.Existing = append(f.Existing, "/var/lib/kubelet/config.yaml")
				f.Listeners = []facts.Listener{{Port: 80}}
			}, warn, "port 80 is in use", "unless it is the cluster's ingress"},
			{"a host without ss", "preflight: {expect: [{name: ingress}]}\n", func(f *facts.Facts) { f.Missing = []string{"ss"} }, unknown, "ss is not installed", "iproute2"},
		},
	}
}

// without removes modules from the kernel.
func without(modules ...string) func(*facts.Facts) {
	return func(f *facts.Facts) {
		f.Modules = slices.DeleteFunc(f.Modules, func(m string) bool { return slices.Contains(modules, m) })
	}
}

// with adds modules to the kernel.
func with(modules ...string) func(*facts.Facts) {
	return func(f *facts.Facts) { f.Modules = append(f.Modules, modules...) }
}

// disk is the one of that path.
func disk(f *facts.Facts, path string) *facts.Disk {
	for i := range f.Disks {
		if f.Disks[i].Path == path {
			return &f.Disks[i]
		}
	}
	panic("no disk " + path)
}

// certificate adds one to the facts that expires after the given time.
func certificate(t *testing.T, left time.Duration) func(*facts.Facts) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(left)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return func(f *facts.Facts) {
		f.Kubernetes.Certificates = []facts.Certificate{{
			Path: "/etc/kubernetes/pki/apiserver.crt", PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		}}
	}
}

func TestEachCheckOfAHostFindsItsFaultAndNoOther(t *testing.T) {
	t.Parallel()
	faults := hostFaults(t)
	for name, all := range faults {
		for _, fault := range all {
			t.Run(name+"/"+fault.name, func(t *testing.T) {
				t.Parallel()
				fixture := workflowtest.New(t, two+fault.more)
				fault.plant(fixture.Facts("w-1"))
				var found []check.Finding
				for _, c := range reportOf(fixture).Checks {
					for _, f := range c.Findings {
						if c.Name == name && (f.Host == "w-1" || f.Host == "") {
							found = append(found, f)
						}
					}
				}
				var got []check.Severity
				for _, f := range found {
					got = append(got, f.Severity)
					if !strings.Contains(f.Evidence, fault.evidence) || !strings.Contains(f.Fix, fault.fix) {
						t.Errorf("got %+v", f)
					}
				}
				if diff := cmp.Diff(fault.want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestOrdinaryHostsHaveNoFindings(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	if found := told(reportOf(fixture)); len(found) > 0 {
		t.Errorf("got %v", found)
	}
}

// Each check has a test in which it finds something.
func TestEachCheckHasAFault(t *testing.T) {
	t.Parallel()
	fires := map[string]bool{
		"etcd-data": true, "ghost-member": true, // etcd_test.go
		"cluster-files":    true,                                                                                                    // files_test.go
		"cluster-identity": true, "node-identity": true, "fixed-fields": true, "node-address-change": true, "settings-change": true, // identity_test.go
		"even-etcd": true,                                           // hosts_test.go
		"lost-host": true, "absent-host": true, "etcd-quorum": true, // leaving_test.go
		etcdEndpoints:  true,                                                                                                                // externaletcd_test.go
		"sources":      true,                                                                                                                // sources_test.go
		"upgrade-skew": true, "upgrade-budgets": true, upgradeAPIs: true, "upgrade-etcd": true, "upgrade-disk": true, "upgrade-hosts": true, // upgrade_test.go
	}
	for name := range hostFaults(t) {
		fires[name] = true
	}
	for _, c := range connectionCases() {
		fires[c.check] = true
	}
	var wants []string
	for _, c := range hostsCases() {
		wants = append(wants, c.want...)
	}
	for _, c := range pairCases() {
		wants = append(wants, c.want...)
	}
	for _, c := range balancerCases() {
		wants = append(wants, c.want...)
	}
	for _, want := range wants {
		name, _, _ := strings.Cut(want, " ")
		fires[name] = true
	}
	known := map[string]bool{}
	for _, c := range Checks() {
		known[c.Name] = true
		if !fires[c.Name] {
			t.Errorf("%s has no findings in any test", c.Name)
		}
	}
	for name := range fires {
		if !known[name] {
			t.Errorf("unknown check %s", name)
		}
	}
}
