package localhost

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The columns and lines of a small terminal.
const columns, screenLines = 80, 24

const (
	debian = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_CODENAME=trixie\nID=debian\n"
	ubuntu = "PRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=noble\n"
	mint   = "PRETTY_NAME=\"Linux Mint 22\"\nVERSION_CODENAME=wilma\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\nUBUNTU_CODENAME=noble\n"
	fedora = "NAME=\"Fedora Linux\"\nID=fedora\nPRETTY_NAME=\"Fedora Linux 42\"\n"
	rocky  = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nPRETTY_NAME=\"Rocky Linux 10.0\"\n"
	arch   = "ID=arch\nPRETTY_NAME=\"Arch Linux\"\n"
	gentoo = "ID=gentoo\nPRETTY_NAME=Gentoo\n"
)

func TestAComputerWithoutAProviderIsToldWhatToInstall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		os, arch   string
		release    string
		wsl        bool
		programs   []string
		hypervisor string
		want       []string
	}{
		{name: "macOS on Apple silicon", os: "darwin", arch: "arm64", want: []string{
			"macOS on Apple silicon", "brew install hashicorp/tap/hashicorp-vagrant\n  brew install --cask virtualbox\n", "7.1.6 or later", "vagrant-parallels",
		}},
		{name: "macOS on Intel", os: "darwin", arch: "amd64", want: []string{"macOS on Intel", "brew install --cask virtualbox"}},
		{name: "Windows", os: "windows", arch: "amd64", want: []string{"winget install Hashicorp.Vagrant\n  winget install Oracle.VirtualBox\n"}},
		{name: "Debian", os: "linux", arch: "amd64", release: debian, want: []string{
			"Debian GNU/Linux 13 (trixie), amd64", "sudo slipway lab up --provider container --install-missing\n",
			"sudo apt-get install vagrant-libvirt libvirt-daemon-system libvirt-clients qemu-system-x86 dnsmasq-base\n", "usermod -aG libvirt", "Business Source License",
		}},
		{name: "Debian on arm64", os: "linux", arch: "arm64", release: debian, want: []string{"--provider container", "HashiCorp publishes no Vagrant for Linux on arm64"}},
		{name: "Ubuntu", os: "linux", arch: "amd64", release: ubuntu, want: []string{
			"--provider container", "https://apt.releases.hashicorp.com noble main'", "sudo apt-get install vagrant libvirt-daemon-system", "vagrant plugin install vagrant-libvirt",
		}},
		{name: "Linux Mint", os: "linux", arch: "amd64", release: mint, want: []string{"hashicorp.com noble main'"}},
		{name: "Fedora", os: "linux", arch: "amd64", release: fedora, want: []string{"addrepo --from-repofile=https://rpm.releases.hashicorp.com/fedora/hashicorp.repo", "dnf install vagrant libvirt", "enable --now libvirtd"}},
		{name: "Rocky Linux", os: "linux", arch: "amd64", release: rocky, want: []string{"--add-repo https://rpm.releases.hashicorp.com/RHEL/hashicorp.repo", "--enablerepo=crb vagrant"}},
		{name: "Arch Linux", os: "linux", arch: "amd64", release: arch, want: []string{"sudo pacman -S --needed vagrant libvirt"}},
		{name: "another distribution", os: "linux", arch: "amd64", release: gentoo, want: []string{"https://developer.hashicorp.com/vagrant/install"}},
		{name: "WSL", os: "linux", arch: "amd64", release: ubuntu, wsl: true, want: []string{"Ubuntu 24.04.3 LTS in WSL", "--provider container", "run slipway.exe in\nPowerShell"}},
		{name: "only the hypervisor is missing", os: "darwin", arch: "arm64", programs: []string{"vagrant"}, want: []string{": a hypervisor.\n", "brew install --cask virtualbox"}},
		{name: "only Vagrant is missing", os: "windows", arch: "amd64", programs: []string{"virtualbox"}, want: []string{": Vagrant.\n", "winget install Hashicorp.Vagrant"}},
		{name: "Vagrant without libvirt on Fedora", os: "linux", arch: "amd64", release: fedora, programs: []string{"vagrant"}, hypervisor: "libvirt", want: []string{": libvirt, Vagrant's plugin vagrant-libvirt.\n", "dnf install libvirt qemu-kvm"}},
		{name: "VirtualBox on Linux", os: "linux", arch: "amd64", release: debian, programs: []string{"vagrant"}, hypervisor: "virtualbox", want: []string{": VirtualBox.\n", "https://www.virtualbox.org/wiki/Linux_Downloads"}},
		{name: "Parallels", os: "darwin", arch: "arm64", programs: []string{"vagrant"}, hypervisor: "parallels", want: []string{"vagrant plugin install vagrant-parallels"}},
		{name: "VMware without Vagrant", os: "windows", arch: "amd64", hypervisor: "vmware_desktop", want: []string{"Vagrant (https://developer.hashicorp.com/vagrant/install), VMware", "vagrant plugin install vagrant-vmware-desktop"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &Facts{OS: test.os, Arch: test.arch, Distribution: distribution(test.release), WSL: test.wsl, Programs: map[string]string{}}
			for _, program := range test.programs {
				f.Programs[program] = "2.4.9"
			}
			text := f.InstallGuide(test.hypervisor).Text()
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("it lacks %q:\n%s", want, text)
				}
			}
			for _, program := range test.programs {
				if install := map[string]string{"vagrant": "install vagrant ", "virtualbox": "VirtualBox\n"}[program]; strings.Contains(text, install) {
					t.Errorf("%s is installed already:\n%s", program, text)
				}
			}
			lines := 2 // what the command adds
			for line := range strings.Lines(text) {
				lines += max(1, (len(strings.TrimRight(line, "\n"))+columns-1)/columns)
			}
			if lines > screenLines {
				t.Errorf("%d lines:\n%s", lines, text)
			}
		})
	}
}

func TestWhatIsInstalledIsNotMissing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		programs   []string
		hypervisor string
		missing    []string
		uses       string
	}{
		{"VirtualBox", []string{"vagrant", "virtualbox"}, "", nil, "virtualbox"},
		{"VirtualBox before others", []string{"vagrant", "virtualbox", "libvirt", "vagrant-libvirt", "vagrant-parallels"}, "", nil, "virtualbox"},
		{"libvirt with the plugin", []string{"vagrant", "libvirt", "vagrant-libvirt"}, "", nil, "libvirt"},
		{"libvirt without the plugin", []string{"vagrant", "libvirt"}, "", []string{"a hypervisor"}, "virtualbox"},
		{"Parallels", []string{"vagrant", "vagrant-parallels"}, "", nil, "parallels"},
		{"VMware", []string{"vagrant", "vagrant-vmware-desktop"}, "vmware_desktop", nil, "vmware_desktop"},
		{"another one than asked for", []string{"vagrant", "virtualbox"}, "parallels", []string{"Vagrant's plugin vagrant-parallels"}, "virtualbox"},
		{"nothing", nil, "", []string{"Vagrant", "a hypervisor"}, "virtualbox"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &Facts{Programs: map[string]string{}}
			for _, program := range test.programs {
				f.Programs[program] = ""
			}
			if got := f.MissingProvider(test.hypervisor); !slices.Equal(got, test.missing) {
				t.Errorf("missing %q, want %q", got, test.missing)
			}
			if got := f.Hypervisor(); got != test.uses {
				t.Errorf("uses %s, want %s", got, test.uses)
			}
		})
	}
}

func TestTheNetworksOfVirtualBoxAreRead(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	const interfaces = "Name:            vboxnet0\nGUID:            786f6276\nDHCP:            Disabled\nIPAddress:       192.168.56.1\nNetworkMask:     255.255.255.0\nIPV6Address:     fe80::1\n\n" +
		"Name:            vboxnet1\nIPAddress:       172.16.16.1\nNetworkMask:     255.255.240.0\n"
	const networks = "Name:            vagrantnet-vbox1\nState:           Enabled\nNetworkMask:     255.255.255.0\nLowerIP:         192.168.56.1\nUpperIP:         192.168.56.199\n"
	if diff := cmp.Diff([]netip.Prefix{prefix("192.168.56.0/24"), prefix("172.16.16.0/20")}, hostOnlyNetworks(interfaces, "IPAddress"), comparable); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]netip.Prefix{prefix("192.168.56.0/24")}, hostOnlyNetworks(networks, "LowerIP"), comparable); diff != "" {
		t.Error(diff)
	}
	if got := hostOnlyNetworks("", "IPAddress"); got != nil {
		t.Errorf("got %v", got)
	}
}

// Each guide is in docs/lab.md's words: the page names the commands of all systems.
func TestThePageOfLabsHasTheCommands(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "lab.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, system := range []Facts{
		{OS: "darwin", Arch: "arm64"},
		{OS: "windows", Arch: "amd64"},
		{OS: "linux", Arch: "amd64", Distribution: distribution(debian)},
		{OS: "linux", Arch: "amd64", Distribution: distribution(fedora)},
		{OS: "linux", Arch: "amd64", Distribution: distribution(rocky)},
		{OS: "linux", Arch: "amd64", Distribution: distribution(arch)},
		{OS: "linux", Arch: "amd64", Distribution: distribution(ubuntu)},
	} {
		for _, way := range system.InstallGuide("").Ways {
			for _, command := range way.Commands {
				command, _, _ = strings.Cut(strings.ReplaceAll(command, "noble", "CODENAME"), "    #")
				if !strings.Contains(string(page), "    "+command) {
					t.Errorf("the page lacks %q", command)
				}
			}
		}
	}
}
