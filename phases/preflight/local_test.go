package preflight

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/report/check"
)

// computer is a localhost.System of a test's making.
type computer struct {
	os, arch string
	commands map[string]string
	files    map[string]string
	writable []string
	env      map[string]string
	home     string
	root     bool
	reach    error
}

var _ localhost.System = (*computer)(nil)

func (c *computer) OS() string   { return c.os }
func (c *computer) Arch() string { return cmp.Or(c.arch, "amd64") }
func (c *computer) Run(_ context.Context, argv ...string) (string, error) {
	out, there := c.commands[strings.Join(argv, " ")]
	if !there {
		return "", errors.New("not found")
	}
	return out, nil
}

func (c *computer) ReadFile(path string) ([]byte, error) {
	if text, there := c.files[path]; there {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func (c *computer) Writable(path string) bool {
	for _, w := range c.writable {
		if w == path {
			return true
		}
	}
	return false
}
func (c *computer) Env(name string) string              { return c.env[name] }
func (c *computer) Home() string                        { return c.home }
func (c *computer) Root() bool                          { return c.root }
func (c *computer) Reach(context.Context, string) error { return c.reach }

// laptop runs Linux, Vagrant and VirtualBox, and is fit for the lab.
func laptop() *computer {
	return &computer{
		os: "linux", home: "/home/me", writable: []string{"/dev/kvm"}, env: map[string]string{},
		commands: map[string]string{
			"vagrant --version": "Vagrant 2.4.9", "VBoxManage --version": "7.2.0r170228",
			"df -Pk /home/me":              "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda2 500000000 100000000 400000000 20% /",
			"ip -4 route show table all":   "default via 192.0.2.1 dev wlan0 proto dhcp src 192.0.2.7\n192.0.2.0/24 dev wlan0 proto kernel scope link src 192.0.2.7\n172.16.16.0/24 dev vboxnet0 scope link\nlocal 172.16.16.1 dev vboxnet0 table local",
			"vagrant plugin list --no-tty": "vagrant-share (2.0.0, global)",
		},
		files: map[string]string{
			"/proc/meminfo":           "MemTotal: 16000000 kB\nMemAvailable:   12000000 kB\n",
			"/proc/cpuinfo":           "flags : fpu vmx sse\n",
			"/etc/vbox/networks.conf": "# mine\n* 192.168.56.0/21 172.16.16.0/24\n",
		},
	}
}

// mac is one with VirtualBox, pc runs Windows.
func mac() *computer {
	return &computer{os: "darwin", home: "/Users/me", commands: map[string]string{
		"vagrant --version": "Vagrant 2.4.9", "VBoxManage --version": "7.1.4r165100", "sysctl -n hw.memsize": "17179869184",
		"sysctl -n kern.hv_support": "1", "df -Pk /Users/me": "x\n/dev/disk1 1 1 400000000 1% /",
		"netstat -rn -f inet": "Routing tables\n\nInternet:\nDestination Gateway Flags Netif Expire\ndefault 192.0.2.1 UGScg en0\n127 127.0.0.1 UCS lo0\n192.0.2/24 link#6 UCS en0\n",
	}, files: map[string]string{"/etc/vbox/networks.conf": "* 0.0.0.0/0\n"}}
}

func pc() *computer {
	const powershell = "powershell -NoProfile -Command "
	return &computer{os: "windows", home: `C:\Users\me`, env: map[string]string{}, commands: map[string]string{
		"vagrant --version": "Vagrant 2.4.9", "VBoxManage --version": "7.1.4r165100",
		powershell + "(Get-CimInstance Win32_OperatingSystem).FreePhysicalMemory": "12000000",
		powershell + "(Get-Item $HOME).PSDrive.Free":                              "400000000000",
		powershell + "$c = Get-CimInstance Win32_ComputerSystem; $p = Get-CimInstance Win32_Processor; \"$($c.HypervisorPresent) $($p.VirtualizationFirmwareEnabled)\"": "False True",
		powershell + "Get-NetRoute -AddressFamily IPv4 | ForEach-Object { \"$($_.DestinationPrefix) $($_.InterfaceAlias)\" }":                                           "0.0.0.0/0 Wi-Fi\r\n192.0.2.0/24 Wi-Fi\r\n",
	}}
}

func server() *computer {
	c := laptop()
	c.root = true
	delete(c.commands, "vagrant --version")
	delete(c.commands, "VBoxManage --version")
	c.commands["systemd-nspawn --version"] = "systemd 252 (252.38)"
	c.commands["debootstrap --version"] = "debootstrap 1.0.128"
	return c
}

func want() LabSpec {
	return LabSpec{Machines: 3, MemoryMiB: 2048, DiskMiB: 8192, Range: netip.MustParsePrefix("172.16.16.0/24"), Bundle: "/bundle", Download: "https://releases.example/"}
}

// localFault is a fault of a computer, the expected findings ("check
// severity"), and what the finding says.
type localFault struct {
	name          string
	machine       func() *computer
	plant         func(*computer, *LabSpec)
	want          []string
	evidence, fix string
}

// localFaults are the faults that the checks of a computer find.
func localFaults() []localFault {
	return []localFault{
		{"a fit laptop", laptop, func(*computer, *LabSpec) {}, nil, "", ""},
		{"a fit Mac", mac, func(*computer, *LabSpec) {}, nil, "", ""},
		{"a fit PC", pc, func(*computer, *LabSpec) {}, nil, "", ""},
		{"a fit server", server, func(*computer, *LabSpec) {}, nil, "", ""},
		{"a fit Mac with Apple silicon", mac, func(c *computer, _ *LabSpec) { c.arch, c.commands["VBoxManage --version"] = "arm64", "7.1.6r167084" }, nil, "", ""},
		{"no Vagrant", mac, func(c *computer, _ *LabSpec) { delete(c.commands, "vagrant --version") }, []string{"lab-provider error"}, "missing: Vagrant", "brew install hashicorp/tap/hashicorp-vagrant"},
		{"no VirtualBox", laptop, func(c *computer, _ *LabSpec) { delete(c.commands, "VBoxManage --version") }, []string{"lab-provider error"}, "missing: a hypervisor", "https://vagrant-libvirt.github.io"},
		{"no plugin for Parallels", mac, func(_ *computer, w *LabSpec) { w.Hypervisor = "parallels" }, []string{"lab-provider error"}, "missing: Vagrant's plugin vagrant-parallels", "vagrant plugin install vagrant-parallels"},
		{"no plugin for libvirt", laptop, func(c *computer, w *LabSpec) {
			delete(c.commands, "VBoxManage --version")
			c.commands["virsh --version"] = "9.0.0"
			c.files["/etc/os-release"] = "ID=arch\n"
			w.Hypervisor = "libvirt"
		}, []string{"lab-provider error"}, "Vagrant's plugin vagrant-libvirt", "vagrant plugin install vagrant-libvirt"},
		{"no debootstrap", server, func(c *computer, _ *LabSpec) { delete(c.commands, "debootstrap --version") }, []string{"lab-provider error"}, "debootstrap is not installed", "apt-get install debootstrap"},
		{"containers without root", server, func(c *computer, w *LabSpec) { c.root, w.Provider = false, "container" }, []string{"lab-provider error"}, "need root", "sudo slipway"},
		{"virtualization off", laptop, func(c *computer, _ *LabSpec) { c.writable, c.files["/proc/cpuinfo"] = nil, "flags : fpu sse\n" }, []string{"virtualization error"}, "neither vmx nor svm", "firmware"},
		{"no right to KVM", laptop, func(c *computer, _ *LabSpec) { c.writable = nil }, []string{"virtualization error"}, "/dev/kvm cannot be opened", "usermod -aG kvm"},
		{"a Mac without it", mac, func(c *computer, _ *LabSpec) { c.commands["sysctl -n kern.hv_support"] = "0" }, []string{"virtualization error"}, "kern.hv_support is 0", "firmware"},
		{"a Mac without the setting", mac, func(c *computer, _ *LabSpec) { delete(c.commands, "sysctl -n kern.hv_support") }, []string{"virtualization unknown"}, "could not be determined", "firmware"},
		{"Hyper-V", pc, func(c *computer, _ *LabSpec) { c.answer("HypervisorPresent", "True True") }, []string{"virtualization error"}, "Hyper-V is running", "bcdedit"},
		{"virtualization off on a PC", pc, func(c *computer, _ *LabSpec) { c.answer("HypervisorPresent", "False False") }, []string{"virtualization error"}, "disabled in the firmware", "VT-x"},
		{"little memory", laptop, func(_ *computer, w *LabSpec) { w.Machines = 6 }, []string{"local-memory error"}, "11718 MiB are available, but 6 machines of 2048 MiB need 12288", "--machines"},
		{"memory that is not known", mac, func(c *computer, _ *LabSpec) { delete(c.commands, "sysctl -n hw.memsize") }, []string{"local-memory unknown"}, "could not be determined", "6144 MiB"},
		{"a full disk", laptop, func(_ *computer, w *LabSpec) { w.DiskMiB = 200_000 }, []string{"local-disk error"}, "390625 MiB are free in /home/me, but 3 machines need 600000", "free 209375 MiB"},
		{"a disk that is not known", laptop, func(c *computer, _ *LabSpec) { delete(c.commands, "df -Pk /home/me") }, []string{"local-disk unknown"}, "could not be determined", "24576 MiB"},
		{"a VirtualBox that Vagrant does not support", laptop, func(c *computer, _ *LabSpec) { c.commands["vagrant --version"] = "Vagrant 2.4.8" }, []string{"provider-versions error"}, "Vagrant 2.4.8 does not support VirtualBox 7.2.0", "install Vagrant 2.4.9 or later"},
		{"another that Vagrant does not support", mac, func(c *computer, _ *LabSpec) { c.commands["vagrant --version"] = "Vagrant 2.4.1" }, []string{"provider-versions error"}, "VirtualBox 7.1.4", "Vagrant 2.4.2 or later: brew upgrade"},
		{"VirtualBox 7.0 on a Mac", mac, func(c *computer, _ *LabSpec) {
			c.commands["vagrant --version"], c.commands["VBoxManage --version"] = "Vagrant 2.3.2", "7.0.0"
		}, []string{"provider-versions error"}, "cannot create networks of VirtualBox 7.0.0 on macOS", "Vagrant 2.3.3"},
		{"VirtualBox 7.0 on Linux", laptop, func(c *computer, _ *LabSpec) {
			c.commands["vagrant --version"], c.commands["VBoxManage --version"] = "Vagrant 2.3.2", "7.0.0"
		}, nil, "", ""},
		{"the Vagrant that fails with private networks", laptop, func(c *computer, _ *LabSpec) {
			c.commands["vagrant --version"], c.commands["VBoxManage --version"] = "Vagrant 2.4.5", "7.1.8"
		}, []string{"provider-versions error"}, "Vagrant 2.4.5 cannot create private networks of VirtualBox 7.1.8", "Vagrant 2.4.6"},
		{"the Vagrant before that", laptop, func(c *computer, _ *LabSpec) {
			c.commands["vagrant --version"], c.commands["VBoxManage --version"] = "Vagrant 2.4.4", "7.1.8"
		}, nil, "", ""},
		{"a box of Red Hat's", laptop, func(c *computer, w *LabSpec) {
			c.commands["vagrant --version"], c.commands["VBoxManage --version"], w.Box = "Vagrant 2.4.3", "7.1.8", "bento/rockylinux-10"
		}, []string{"provider-versions error", "provider-versions warning"}, "Vagrant 2.4.3", "install Vagrant 2.4.8 or later"},
		{"a box of Red Hat's with libvirt", laptop, func(c *computer, w *LabSpec) {
			c.commands["vagrant --version"], w.Box, w.Hypervisor = "Vagrant 2.4.7", "bento/almalinux-9", "libvirt"
			c.commands["virsh --version"], c.commands["vagrant plugin list --no-tty"] = "9.0.0", "vagrant-libvirt (0.12.2, global)"
			delete(c.commands, "VBoxManage --version")
		}, []string{"provider-versions warning"}, "several network interfaces", "2.4.8"},
		{"libvirt does not need the Vagrant of VirtualBox", laptop, func(c *computer, w *LabSpec) {
			c.commands["vagrant --version"], w.Box, w.Hypervisor = "Vagrant 2.3.4", "bento/ubuntu-24.04", "libvirt"
			c.commands["virsh --version"], c.commands["vagrant plugin list --no-tty"] = "9.0.0", "vagrant-libvirt (0.12.2, global)"
		}, nil, "", ""},
		{"a Vagrant without architectures", mac, func(c *computer, w *LabSpec) {
			c.arch, w.Hypervisor, c.commands["vagrant --version"] = "arm64", "parallels", "Vagrant 2.3.7"
			c.commands["vagrant plugin list --no-tty"] = "vagrant-parallels (2.4.2, global)"
		}, []string{"provider-versions error"}, "does not know architectures of boxes", "Vagrant 2.4.0 or later"},
		{"a VirtualBox without arm64", mac, func(c *computer, _ *LabSpec) { c.arch = "arm64" }, []string{"provider-versions error"}, "VirtualBox 7.1.4 runs no machines for arm64", "VirtualBox 7.1.6"},
		{"VirtualBox's own ranges", laptop, func(c *computer, _ *LabSpec) { delete(c.files, "/etc/vbox/networks.conf") }, []string{"host-only-range error"}, "allows only 192.168.56.0/21 for host-only networks, but the lab's range is 172.16.16.0/24", "sudo mkdir -p /etc/vbox && echo '* 192.168.56.0/21 172.16.16.0/24' | sudo tee -a /etc/vbox/networks.conf"},
		{"VirtualBox's other ranges", laptop, func(c *computer, _ *LabSpec) { c.files["/etc/vbox/networks.conf"] = "* 10.0.0.0/8\n" }, []string{"host-only-range error"}, "allows only 10.0.0.0/8", "echo '* 172.16.16.0/24' | sudo tee -a"},
		{"a range that VirtualBox allows without a setting", laptop, func(c *computer, w *LabSpec) {
			delete(c.files, "/etc/vbox/networks.conf")
			w.Range = netip.MustParsePrefix("192.168.56.0/24")
		}, nil, "", ""},
		{"a Mac is exempt since VirtualBox 7.0", mac, func(c *computer, _ *LabSpec) { delete(c.files, "/etc/vbox/networks.conf") }, nil, "", ""},
		{"a Mac with an older VirtualBox is not", mac, func(c *computer, _ *LabSpec) {
			delete(c.files, "/etc/vbox/networks.conf")
			c.commands["VBoxManage --version"] = "6.1.50r161033"
		}, []string{"host-only-range error"}, "192.168.56.0/21", "networks.conf"},
		{"a VirtualBox that allows all", laptop, func(c *computer, _ *LabSpec) {
			delete(c.files, "/etc/vbox/networks.conf")
			c.commands["VBoxManage --version"] = "6.1.26r145957"
		}, nil, "", ""},
		{"VirtualBox's own network on a PC", pc, func(c *computer, w *LabSpec) {
			w.Range = netip.MustParsePrefix("192.168.56.0/24")
			c.answer("Get-NetRoute", "192.168.56.0/24 Ethernet 2\r\n192.168.56.255/32 Ethernet 2\r\n")
			c.commands["VBoxManage list hostonlyifs"] = "Name:            VirtualBox Host-Only Ethernet Adapter\r\nIPAddress:       192.168.56.1\r\nNetworkMask:     255.255.255.0\r\n"
		}, nil, "", ""},
		{"a company's network with that range", pc, func(c *computer, w *LabSpec) {
			w.Range = netip.MustParsePrefix("192.168.56.0/24")
			c.answer("Get-NetRoute", "192.168.56.0/24 Ethernet 2\r\n")
		}, []string{"vpn-route error"}, "192.168.56.0/24 over Ethernet 2", "--range"},
		{"a VPN", laptop, func(c *computer, _ *LabSpec) {
			c.commands["ip -4 route show table all"] += "\n172.16.0.0/12 dev tun0 scope link\n"
		}, []string{"vpn-route error"}, "the route to 172.16.0.0/12 over tun0 overlaps", "disconnect the VPN"},
		{"a VPN on a Mac", mac, func(c *computer, _ *LabSpec) { c.commands["netstat -rn -f inet"] += "172.16/12 10.9.0.1 UGSc utun3\n" }, []string{"vpn-route error"}, "the route to 172.16.0.0/12 over utun3 overlaps", "--range"},
		{"a VPN on a PC", pc, func(c *computer, _ *LabSpec) { c.answer("Get-NetRoute", "172.16.16.0/20 Corporate VPN\r\n") }, []string{"vpn-route error"}, "Corporate VPN", "--range"},
		{"a name with spaces", pc, func(c *computer, _ *LabSpec) {
			c.answer("Get-Item $HOME", "400000000000")
			c.home = `C:\Users\Zoë M`
		}, []string{"windows-paths warning"}, "non-ASCII", "VAGRANT_HOME"},
		{"Git Bash", pc, func(c *computer, _ *LabSpec) { c.env["MSYSTEM"] = "MINGW64" }, []string{"windows-paths warning"}, "MINGW64", "MSYS_NO_PATHCONV"},
		{"no bundle and no network", laptop, func(c *computer, w *LabSpec) { w.Bundle, c.reach = "", errors.New("no route") }, []string{"downloads error"}, "https://releases.example/ does not answer: no route", "slipway bundle create"},
		{"no bundle yet", laptop, func(_ *computer, w *LabSpec) { w.Bundle = "" }, []string{"downloads info"}, "no bundle exists yet", "slipway bundle create"},
	}
}

// answer changes what the command that has the text in it prints.
func (c *computer) answer(text, out string) {
	for command := range c.commands {
		if strings.Contains(command, text) {
			c.commands[command] = out
		}
	}
}

func TestEachCheckOfAComputerFindsItsFault(t *testing.T) {
	t.Parallel()
	fired := map[string]bool{}
	for _, fault := range localFaults() {
		for _, want := range fault.want {
			name, _, _ := strings.Cut(want, " ")
			fired[name] = true
		}
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			machine, wanted := fault.machine(), want()
			fault.plant(machine, &wanted)
			report, err := RunLocal(t.Context(), machine, wanted, Selection{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range report.Checks {
				for _, f := range c.Findings {
					got = append(got, f.Check+" "+string(f.Severity))
					if !strings.Contains(f.Evidence, fault.evidence) || !strings.Contains(f.Fix, fault.fix) {
						t.Errorf("got %+v", f)
					}
				}
			}
			if diff := gocmp.Diff(fault.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, c := range LocalChecks() {
		if !fired[c.Name] {
			t.Errorf("%s has no findings in any test", c.Name)
		}
	}
}

func TestLocalhostIsCheckedWithoutSendingPackets(t *testing.T) {
	t.Parallel()
	report, err := RunLocal(t.Context(), localhost.Current{}, want(), Selection{Skip: []string{"downloads"}})
	if err != nil || len(report.Checks) != len(LocalChecks()) || report.Status() == check.Skipped {
		t.Errorf("got %+v, %v", report, err)
	}
	f := localhost.ReadFacts(t.Context(), localhost.Current{})
	if f.OS == "" || f.MemoryMiB <= 0 || f.FreeMiB <= 0 {
		t.Errorf("got %+v", f)
	}
}
