package facts

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// required is the smallest output that Parse accepts.
const required = "arch\tx86_64\nkernel\t6.1.0\n"

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, output string
		want         Facts
	}{
		{"the required facts only", "", Facts{}},
		{"names", "hostname\tcp-1\ninit\tsystemd\nmachineID\tabc\nproductUUID\tAB-12\n", Facts{Hostname: "cp-1", Init: "systemd", MachineID: "abc", ProductUUID: "ab-12"}},
		{"sizes", "cpus\t4\nmemoryKiB\t2048000\n", Facts{CPUs: 4, MemoryMiB: 2000}},
		{"cgroup v2", "cgroup\tcgroup2fs\n", Facts{CgroupVersion: 2}},
		{"cgroup v1", "cgroup\ttmpfs\n", Facts{CgroupVersion: 1}},
		{"SELinux that enforces", "selinux\t1\n", Facts{SELinux: "enforcing"}},
		{"the controllers of cgroups", "controllers\tcpuset cpu memory\n", Facts{Controllers: []string{"cpuset", "cpu", "memory"}}},
		{"a kernel of which nothing can be read", "modulesUnreadable\tyes\n", Facts{ModulesUnreadable: true}},
		{"booleans of SELinux, with their pending values", "selinuxBoolean\ta 0 0\nselinuxBoolean\tb 1 1\n", Facts{SELinuxBooleans: map[string]bool{"a": false, "b": true}}},
		{"SELinux that only logs", "selinux\t0\n", Facts{SELinux: "permissive"}},
		{
			"the distribution", "osID\tubuntu\nosLike\tdebian foo\nosVersion\t24.04\nosName\tUbuntu 24.04 LTS\n",
			Facts{OS: OS{ID: "ubuntu", Like: []string{"debian", "foo"}, Version: "24.04", Name: "Ubuntu 24.04 LTS"}},
		},
		{
			"all kinds of swap", "swapActive\t/dev/sda2\nswapActive\t/swapfile\nswapFstab\tUUID=x\nswapUnit\tdev-sda2.swap\nzram\t/etc/zram\n",
			Facts{Swap: Swap{Active: []string{"/dev/sda2", "/swapfile"}, Fstab: []string{"UUID=x"}, Units: []string{"dev-sda2.swap"}, Zram: []string{"/etc/zram"}}},
		},
		{
			"lists", "module\toverlay\nloadable\tvxlan\ncriSocket\t/run/a\ncniConfig\t10-a.conf\nexists\t/etc/b\ncommand\tmount\nmac\teth0 aa:bb\nmac\tcali0f1e2d3c4b5 ee:ee\nmac\tveth01 cc:dd\n",
			Facts{Modules: []string{"overlay"}, Loadable: []string{"vxlan"}, CRISockets: []string{"/run/a"}, CNIConfigs: []string{"10-a.conf"}, Existing: []Path{"/etc/b"}, Commands: []string{"mount"}, MACs: []string{"aa:bb"}},
		},
		{
			"sysctls, one with several values", "sysctl\tnet.ipv4.ip_forward 1\nsysctl\tnet.ipv4.tcp_rmem 4096\t131072\t6291456\n",
			Facts{Sysctls: map[Sysctl]string{"net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096 131072 6291456"}},
		},
		{
			"addresses: leased, of IPv6, with a peer", "address\teth0 10.0.2.15/24 dynamic\naddress\teth1 fd00::1/64\naddress\twg0 10.8.0.1\n",
			Facts{Addresses: []Address{
				{"eth0", netip.MustParsePrefix("10.0.2.15/24"), true},
				{"eth1", netip.MustParsePrefix("fd00::1/64"), false},
				{"wg0", netip.MustParsePrefix("10.8.0.1/32"), false},
			}},
		},
		{
			"routes",
			"route\tdefault via 10.0.2.2 dev eth0 proto dhcp src 10.0.2.15 metric 100\nroute\t10.0.2.0/24 dev eth0 scope link\n" +
				"route\t192.0.2.7 via 10.0.2.2 dev eth0\nroute\tunreachable 10.9.0.0/16\nroute\tdefault proto static metric 200\n" +
				"route\t\tnexthop via 10.0.2.3 dev eth1 weight 1\n",
			Facts{Routes: []Route{
				{netip.MustParsePrefix("0.0.0.0/0"), "eth0", netip.MustParseAddr("10.0.2.15")},
				{netip.MustParsePrefix("10.0.2.0/24"), "eth0", netip.Addr{}},
				{netip.MustParsePrefix("192.0.2.7/32"), "eth0", netip.Addr{}},
				{netip.MustParsePrefix("0.0.0.0/0"), "", netip.Addr{}},
			}},
		},
		{
			"name servers, without those that are not addresses", "resolver\t127.0.0.53\nresolver\tfd00::53\nresolver\tdns.example\n",
			Facts{Resolvers: []netip.Addr{netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("fd00::53")}},
		},
		{
			"disks: one read-only, one noexec, one without inodes",
			"disk\t/var/lib/etcd 102400 51200 / 100 40  \ndisk\t/opt 2048 1024 /opt - - ro noexec\ndisk\t/usr 2048 1024 /usr 9 8  noexec\n",
			Facts{Disks: []Disk{
				{Path: "/var/lib/etcd", MountPoint: "/", SizeMiB: 100, FreeMiB: 50, Inodes: 100, FreeInodes: 40},
				{Path: "/opt", MountPoint: "/opt", SizeMiB: 2, FreeMiB: 1, ReadOnly: true, NoExec: true},
				{Path: "/usr", MountPoint: "/usr", SizeMiB: 2, FreeMiB: 1, Inodes: 9, FreeInodes: 8, NoExec: true},
			}},
		},
		{
			"listeners, one of an unknown program", "listen\t22 sshd\nlisten\t6443 \n",
			Facts{Listeners: []Listener{{22, "sshd"}, {6443, ""}}},
		},
		{
			"the network", "mtu\teth0 1500\nbridge\tdocker0\nloopback\t127.0.1.1 cp-1\nfirewall\tufw\nfirewall\tnftables inet filter input\n",
			Facts{MTUs: map[string]int{"eth0": 1500}, Bridges: []string{"docker0"}, Loopback: []string{"127.0.1.1 cp-1"}, Firewalls: []string{"ufw", "nftables inet filter input"}},
		},
		{"missing programs", "missing\tss\nmissing\tip\n", Facts{Missing: []string{"ss", "ip"}}},
		{"units and sessions", "active\tchrony.service\nmaxSessions\t10\n", Facts{ActiveUnits: []string{"chrony.service"}, MaxSessions: 10}},
		{
			"software",
			"kubelet\tKubernetes v1.36.4\ncontainerd\tcontainerd github.com/containerd/containerd 1.6.20~ds1 abc\ncontainerdFile\t2\n" +
				"containerdConfig\tversion = 3\ncontainerdConfig\t  x = 'a\tb'\nmirror\told.example:5000\npackage\tcontainerd 1.6.20~ds1\npackage\tkubelet 1.36.4-1.1 held\n" +
				"unfinished\tnfs-common\npackageLock\tapt-get (pid 7)\nproxy\thttp_proxy=http://p:3128\nproxy\tNO_PROXY=\"a,b\"\nmultipathBlacklist\tyes\n",
			Facts{Software: Software{
				Kubelet: "v1.36.4", Containerd: "1.6.20~ds1", ContainerdFileVersion: "2", ContainerdConfig: "version = 3\n  x = 'a\tb'\n",
				Mirrors:      []string{"old.example:5000"},
				Packages:     []Package{{"containerd", "1.6.20~ds1", false}, {"kubelet", "1.36.4-1.1", true}},
				Unfinished:   []string{"nfs-common"},
				PackageLocks: []string{"apt-get (pid 7)"}, Proxy: map[string]string{"http_proxy": "http://p:3128", "no_proxy": "a,b"},
				MultipathBlacklist: true,
			}},
		},
		{
			"what an interrupted run left", "leftover\t/etc/.slipway-abc\nleftover\t/etc/hosts.slipway-undo\nkubeFile\t/a.crt damaged\nkubeFile\t/b.key ok\n",
			Facts{
				Leftovers:  []string{"/etc/.slipway-abc", "/etc/hosts.slipway-undo"},
				Kubernetes: Kubernetes{Files: []KubeFile{{"/a.crt", true}, {"/b.key", false}}},
			},
		},
		{
			"a cluster", "certificate\t/a.crt YWJj\nkubeletCertificate\tYWJj\nkubeletFinalized\tyes\nstaticPod\tetcd registry.k8s.io/etcd:3.6.5-0\n",
			Facts{Kubernetes: Kubernetes{
				Certificates: []Certificate{{"/a.crt", []byte("abc")}}, Kubelet: []byte("abc"), Finalized: true,
				StaticPods: map[string]string{"etcd": "registry.k8s.io/etcd:3.6.5-0"},
			}},
		},
		{
			"when components started and their kubeconfigs were written",
			"started\tkube-controller 1700000000\nstarted\tkube-scheduler 1700000001\nstarted\tkube-vip x\nwritten\t/etc/kubernetes/scheduler.conf 1700000002\n",
			Facts{Kubernetes: Kubernetes{
				Started: map[string]time.Time{"kube-controller-manager": time.Unix(1700000000, 0), "kube-scheduler": time.Unix(1700000001, 0)},
				Written: map[string]time.Time{"/etc/kubernetes/scheduler.conf": time.Unix(1700000002, 0)},
			}},
		},
		{"unknown lines: of a newer script, of a login message", "Welcome!\n\nfuture\tx y z\nfuture\t\n", Facts{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(required+test.output), noon, noon)
			if err != nil {
				t.Fatal(err)
			}
			test.want.Arch, test.want.Kernel = "amd64", "6.1.0"
			if test.want.Sysctls == nil {
				test.want.Sysctls = map[Sysctl]string{}
			}
			if diff := cmp.Diff(&test.want, got, comparable); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, output, want string }{
		{"empty output", "", "facts: incomplete"},
		{"truncated output", "time\t1.0\nhostname\tx\n", "facts: incomplete"},
		{"an invalid number", required + "cpus\tmany\n", `facts: cpus "many"`},
		{"an invalid size", required + "memoryKiB\t1 GB\n", `facts: memoryKiB "1 GB"`},
		{"an invalid time", required + "time\tnow\n", "facts: "},
		{"an invalid address", required + "address\teth0 10.0.0.300/24\n", `facts: address "eth0 10.0.0.300/24"`},
		{"an invalid route", required + "route\t10.0.0.0/99 dev eth0\n", `facts: route "10.0.0.0/99 dev eth0"`},
		{"an invalid port", required + "listen\thttp nginx\n", `facts: listen "http nginx"`},
		{"an invalid disk size", required + "disk\t/ - 1 / 1 1\n", `facts: disk "/ - 1 / 1 1"`},
		{"an invalid free disk space", required + "disk\t/ 1 - / 1 1\n", `facts: disk "/ 1 - / 1 1"`},
		{"a line that is too long", required + strings.Repeat("x", 100_000), "facts: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(test.output), noon, noon)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s…", err, test.want)
			}
		})
	}
}

func TestArchHasTheNameThatGoUses(t *testing.T) {
	t.Parallel()
	for machine, want := range map[string]string{"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"} {
		f, err := Parse([]byte("kernel\t6\narch\t"+machine+"\n"), noon, noon)
		if err != nil || f.Arch != want {
			t.Errorf("%s: got %+v, %v, want %s", machine, f, err, want)
		}
	}
}

func TestSkewIsMeasuredAgainstTheMiddleOfTheRoundTrip(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, time string
		took       time.Duration
		want       time.Duration
	}{
		{"a clock that is right", "1767268801.000000000", 2 * time.Second, 0},
		{"a clock that is ahead", "1767268860.500000000", 0, time.Minute + 500*time.Millisecond},
		{"a clock that is behind", "1767268700", 0, -100 * time.Second},
		{"a host whose date prints no fractions", "1767268801.%N", 0, time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := Parse([]byte(required+"time\t"+test.time+"\n"), noon, noon.Add(test.took))
			if err != nil || f.Skew != test.want {
				t.Errorf("got %v, %v, want %s", f, err, test.want)
			}
		})
	}
}

func TestDefaultAddress(t *testing.T) {
	t.Parallel()
	eth := Address{Interface: "eth0", Prefix: netip.MustParsePrefix("10.0.2.15/24")}
	six := Address{Interface: "eth0", Prefix: netip.MustParsePrefix("fd00::1/64")}
	all := netip.MustParsePrefix("0.0.0.0/0")
	tests := []struct {
		name   string
		routes []Route
		want   string
	}{
		{"the route's source", []Route{{all, "eth0", netip.MustParseAddr("10.0.2.99")}}, "10.0.2.99"},
		{"the interface's IPv4 address", []Route{{Destination: netip.MustParsePrefix("10.0.2.0/24"), Interface: "eth9"}, {Destination: all, Interface: "eth0"}}, "10.0.2.15"},
		{"of the next default route if the first has no address", []Route{{Destination: all, Interface: "ppp0"}, {Destination: all, Interface: "eth0"}}, "10.0.2.15"},
		{"none without a default route", []Route{{Destination: netip.MustParsePrefix("10.0.2.0/24"), Interface: "eth0"}}, "invalid IP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := Facts{Addresses: []Address{six, eth}, Routes: test.routes}
			if got := f.DefaultAddress().String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestSwapIsOffOnlyIfNothingEnablesIt(t *testing.T) {
	t.Parallel()
	one := []string{"x"}
	for name, swap := range map[string]Swap{"active": {Active: one}, "fstab": {Fstab: one}, "units": {Units: one}, "zram": {Zram: one}} {
		if swap.Off() {
			t.Errorf("%s: swap is reported as off", name)
		}
	}
	if !(Swap{}).Off() {
		t.Error("a host without swap is reported as having swap")
	}
}
