package facts

import (
	"fmt"
	"slices"
)

// Path is a path whose existence is a fact.
type Path string

// The paths that templates/facts/facts.sh tests.
const (
	AdminConf         Path = "/etc/kubernetes/admin.conf"
	KubeletConf       Path = "/etc/kubernetes/kubelet.conf"
	APIServerManifest Path = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	// CAKey is the key of the cluster's CA. Control planes have it.
	CAKey         Path = "/etc/kubernetes/pki/ca.key"
	KubeletConfig Path = "/var/lib/kubelet/config.yaml"
	EtcdMember    Path = "/var/lib/etcd/member"
	// EtcdService makes kubelet run etcd alone, on a host that is not a node.
	EtcdService Path = "/etc/systemd/system/kubelet.service.d/20-etcd-service-manager.conf"
	// BootstrapConf, JoinConfig and JoinDiscovery exist only while a host joins: the
	// first two contain a token.
	BootstrapConf Path = "/etc/kubernetes/bootstrap-kubelet.conf"
	JoinConfig    Path = "/etc/kubernetes/slipway/join.yaml"
	JoinDiscovery Path = "/etc/kubernetes/slipway/discovery.conf"
	Journal       Path = "/var/lib/slipway/journal"
	// ResetMark exists while a reset deletes, and after one that was interrupted.
	ResetMark          Path = "/var/lib/slipway/journal/reset"
	KernelModules      Path = "/lib/modules"
	InitiatorName      Path = "/etc/iscsi/initiatorname.iscsi"
	ResolvedConfig     Path = "/run/systemd/resolve/resolv.conf"
	SystemdInContainer Path = "/run/systemd/container"
	FlannelConflist    Path = "/etc/cni/net.d/10-flannel.conflist"
	CalicoConflist     Path = "/etc/cni/net.d/10-calico.conflist"
	// FirmwareCmdline and BootCmdline have the arguments of the kernel on a Raspberry Pi:
	// the second one before Debian 12.
	FirmwareCmdline Path = "/boot/firmware/cmdline.txt"
	BootCmdline     Path = "/boot/cmdline.txt"
	// NetworkManagerConf is what slipway writes where NetworkManager is active.
	NetworkManagerConf Path = "/etc/NetworkManager/conf.d/slipway.conf"
	// ContainerdProxy gives containerd the proxy of the inventory.
	ContainerdProxy Path = "/etc/systemd/system/containerd.service.d/slipway-proxy.conf"
	// BackupTimer saves snapshots of etcd on the host.
	BackupTimer Path = "/etc/systemd/system/slipway-backup.timer"
	// RestoreMark exists while a cluster is restored on the host, and after a restore that
	// was interrupted. It has the checksum of the backup.
	RestoreMark Path = "/var/lib/slipway/restore/backup"
)

var knownPaths = []Path{
	AdminConf, KubeletConf, APIServerManifest, CAKey, KubeletConfig, EtcdMember, EtcdService, BootstrapConf, JoinConfig, JoinDiscovery,
	Journal, ResetMark, KernelModules, InitiatorName, ResolvedConfig, SystemdInContainer, FlannelConflist, CalicoConflist,
	FirmwareCmdline, BootCmdline, NetworkManagerConf,
	ContainerdProxy, BackupTimer, RestoreMark,
}

// Sysctl is a kernel setting whose value is a fact.
type Sysctl string

// The settings that templates/facts/facts.sh reads.
const (
	IPForward        Sysctl = "net.ipv4.ip_forward"
	BridgeIPTables   Sysctl = "net.bridge.bridge-nf-call-iptables"
	BridgeIP6Tables  Sysctl = "net.bridge.bridge-nf-call-ip6tables"
	InotifyInstances Sysctl = "fs.inotify.max_user_instances"
	InotifyWatches   Sysctl = "fs.inotify.max_user_watches"
)

var knownSysctls = []Sysctl{IPForward, BridgeIPTables, BridgeIP6Tables, InotifyInstances, InotifyWatches}

// DiskPaths returns the paths for which an installation needs free space.
func DiskPaths() []string {
	return []string{"/var/lib/containerd", "/var/lib/etcd", "/usr/local/bin", "/opt/cni/bin", "/var/lib/kubelet"}
}

// Arguments returns the arguments of templates/facts/facts.sh: the settings, the
// paths that may exist and the paths that need space, separated by "--".
func Arguments() []string {
	var args []string
	for _, name := range knownSysctls {
		args = append(args, string(name))
	}
	args = append(args, "--")
	for _, path := range knownPaths {
		args = append(args, string(path))
	}
	return append(append(args, "--"), DiskPaths()...)
}

// Exists reports whether the path existed. It panics for a path that the script
// does not test: its absence would be a guess.
func (f *Facts) Exists(path Path) bool {
	if !slices.Contains(knownPaths, path) {
		panic(fmt.Sprintf("facts: %s is not among the paths that the script tests", path))
	}
	return slices.Contains(f.Existing, path)
}

// Sysctl returns the value of a setting; ok is false if the kernel has no such
// setting. It panics for a setting that the script does not read.
func (f *Facts) Sysctl(name Sysctl) (value string, ok bool) {
	if !slices.Contains(knownSysctls, name) {
		panic(fmt.Sprintf("facts: %s is not among the settings that the script reads", name))
	}
	value, ok = f.Sysctls[name]
	return value, ok
}
