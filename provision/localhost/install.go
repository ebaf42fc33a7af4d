package localhost

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Distribution is the content of /etc/os-release, os-release(5).
type Distribution struct {
	// ID is the name of the distribution, Like those that it derives from.
	ID   string   `json:"id"`
	Like []string `json:"like,omitempty"`
	// Name is for people, Codename that of the release.
	Name     string `json:"name"`
	Codename string `json:"codename,omitempty"`
}

// is reports whether this is a distribution, or derived from it.
func (d Distribution) is(id string) bool { return d.ID == id || slices.Contains(d.Like, id) }

// distribution parses os-release.
func distribution(text string) Distribution {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = strings.Trim(value, `"'`)
	}
	return Distribution{
		ID: values["ID"], Like: strings.Fields(values["ID_LIKE"]),
		Name: cmp.Or(values["PRETTY_NAME"], values["NAME"]), Codename: cmp.Or(values["UBUNTU_CODENAME"], values["VERSION_CODENAME"]),
	}
}

// Guide says how to install what a lab needs.
type Guide struct {
	// System is the computer's system and architecture.
	System string `json:"system"`
	// Missing are the programs that are missing.
	Missing []string `json:"missing"`
	// Ways are alternatives, the best first.
	Ways []Way `json:"ways"`
	// Notes are what to know before.
	Notes []string `json:"notes,omitempty"`
}

// Way is one way to get a provider of machines.
type Way struct {
	Title string `json:"title"`
	// Commands are for a shell, PowerShell on Windows.
	Commands []string `json:"commands"`
}

// Text is the guide in one screen.
func (g Guide) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Missing on this computer (%s): %s.\n", g.System, strings.Join(g.Missing, ", "))
	for i, way := range g.Ways {
		title := way.Title
		if i > 0 {
			title = "Or: " + title
		}
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, command := range way.Commands {
			fmt.Fprintf(&b, "  %s\n", command)
		}
	}
	if len(g.Notes) > 0 {
		b.WriteString("\n" + strings.Join(g.Notes, "\n") + "\n")
	}
	return b.String()
}

// The names of what may be missing.
const (
	missingVagrant    = "Vagrant"
	missingHypervisor = "a hypervisor"
)

// MissingProvider lists what Vagrant lacks to create machines with a hypervisor, which
// is Vagrant's name of a provider; empty for any.
func (f *Facts) MissingProvider(hypervisor string) []string {
	var missing []string
	if !f.Has("vagrant") {
		missing = append(missing, missingVagrant)
	}
	switch hypervisor {
	case "virtualbox":
		missing = append(missing, f.lacks("VirtualBox", "virtualbox")...)
	case "libvirt":
		missing = append(missing, f.lacks("libvirt", "libvirt")...)
		missing = append(missing, f.lacks("Vagrant's plugin vagrant-libvirt", "vagrant-libvirt")...)
	case "vmware_desktop":
		missing = append(missing, f.lacks("Vagrant's plugin vagrant-vmware-desktop", "vagrant-vmware-desktop")...)
	case "parallels":
		missing = append(missing, f.lacks("Vagrant's plugin vagrant-parallels", "vagrant-parallels")...)
	default:
		if !f.hypervisor() {
			missing = append(missing, missingHypervisor)
		}
	}
	return missing
}

func (f *Facts) lacks(name, program string) []string {
	if f.Has(program) {
		return nil
	}
	return []string{name}
}

// InstallGuide says how to install what is missing for a lab with a hypervisor; empty
// for any.
func (f *Facts) InstallGuide(hypervisor string) Guide {
	g := Guide{System: f.system(), Missing: f.MissingProvider(hypervisor)}
	switch hypervisor {
	case "vmware_desktop", "parallels":
		g.Ways = []Way{f.plugin(hypervisor)}
		return g
	}
	switch f.OS {
	case "darwin":
		g.Ways = []Way{f.macOS()}
		if hypervisor == "" {
			g.Notes = append(g.Notes,
				"Instead of VirtualBox: Parallels Desktop Pro (vagrant plugin install vagrant-parallels),",
				"or VMware Fusion (brew install --cask vagrant-vmware-utility; vagrant plugin install vagrant-vmware-desktop).")
		}
		if f.Arch == "arm64" {
			g.Notes = append(g.Notes, "On Apple silicon, VirtualBox must be 7.1.6 or later.")
		}
		g.Notes = append(g.Notes, "The commands need Homebrew: https://brew.sh")
	case "windows":
		g.Ways = []Way{f.windows()}
		g.Notes = append(g.Notes, "Open a new PowerShell afterwards. If Hyper-V or WSL is active, VirtualBox is slow: see docs/lab.md.")
	default:
		g.Ways, g.Notes = f.linux(hypervisor)
	}
	return g
}

func (f *Facts) system() string {
	arch := f.Arch
	switch {
	case f.OS == "darwin" && f.Arch == "arm64":
		return "macOS on Apple silicon"
	case f.OS == "darwin":
		return "macOS on Intel"
	case f.OS == "windows":
		return "Windows, " + arch
	case f.WSL:
		return f.Distribution.Name + " in WSL, " + arch
	}
	return cmp.Or(f.Distribution.Name, f.OS) + ", " + arch
}

func (f *Facts) macOS() Way {
	way := Way{Title: "Vagrant and VirtualBox, with Homebrew:"}
	if !f.Has("vagrant") {
		way.Commands = append(way.Commands, "brew install hashicorp/tap/hashicorp-vagrant")
	}
	if !f.Has("virtualbox") {
		way.Commands = append(way.Commands, "brew install --cask virtualbox")
	}
	return way
}

func (f *Facts) windows() Way {
	way := Way{Title: "Vagrant and VirtualBox, in PowerShell:"}
	if !f.Has("vagrant") {
		way.Commands = append(way.Commands, "winget install Hashicorp.Vagrant")
	}
	if !f.Has("virtualbox") {
		way.Commands = append(way.Commands, "winget install Oracle.VirtualBox")
	}
	return way
}

// plugin is for hypervisors that are bought or downloaded from their vendor.
func (f *Facts) plugin(hypervisor string) Way {
	way := Way{Title: "Parallels Desktop Pro or Business, and:", Commands: []string{"vagrant plugin install vagrant-parallels"}}
	if hypervisor == "vmware_desktop" {
		way = Way{Title: "VMware Fusion or Workstation, the Vagrant VMware Utility, and:", Commands: []string{
			"vagrant plugin install vagrant-vmware-desktop    # utility: https://developer.hashicorp.com/vagrant/install/vmware",
		}}
	}
	if !f.Has("vagrant") {
		way.Title = "Vagrant (https://developer.hashicorp.com/vagrant/install), " + way.Title
	}
	return way
}

// linux is for libvirt, which is a part of each distribution, unlike VirtualBox.
func (f *Facts) linux(hypervisor string) ([]Way, []string) {
	var ways []Way
	var notes []string
	if f.Distribution.is("debian") && hypervisor == "" {
		ways = append(ways, Way{
			Title:    "Machine containers, which need root and no hypervisor:",
			Commands: []string{"sudo slipway lab up --provider container --install-missing"},
		})
	}
	if f.WSL {
		return ways, append(notes,
			"In WSL, Vagrant cannot use a hypervisor of Windows as it is. For virtual machines, run slipway.exe in",
			"PowerShell, which says what to install there.")
	}
	if hypervisor == "virtualbox" && f.Has("vagrant") {
		return []Way{{Title: "VirtualBox, with the package of its vendor for this system:", Commands: []string{"https://www.virtualbox.org/wiki/Linux_Downloads"}}}, nil
	}
	if f.Arch != "amd64" && !f.Has("vagrant") {
		return ways, append(notes, "HashiCorp publishes no Vagrant for Linux on "+f.Arch+": build it from source for virtual machines.")
	}
	way := Way{Title: "Virtual machines with Vagrant and libvirt:", Commands: f.libvirtCommands()}
	if len(way.Commands) == 0 {
		way = Way{
			Title:    "Vagrant, libvirt and Vagrant's plugin vagrant-libvirt, with the packages of this system:",
			Commands: []string{"https://developer.hashicorp.com/vagrant/install", "https://vagrant-libvirt.github.io/vagrant-libvirt/installation.html"},
		}
	}
	ways = append(ways, way)
	if f.Distribution.ID == "debian" {
		notes = append(notes,
			"Debian has Vagrant 2.3, the last under a free licence. For VirtualBox 7.1 and later, or boxes of Rocky and Alma",
			"Linux, install 2.4.9 from HashiCorp (Business Source License): https://developer.hashicorp.com/vagrant/install")
	}
	return ways, notes
}

// libvirtCommands install Vagrant, unless it is there, and libvirt; none for an
// unknown distribution.
func (f *Facts) libvirtCommands() []string {
	const (
		plugin = "vagrant plugin install vagrant-libvirt"
		start  = "sudo systemctl enable --now libvirtd"
		group  = "sudo usermod -aG libvirt $USER    # then log in again"
	)
	vagrant := " vagrant"
	if f.Has("vagrant") {
		vagrant = ""
	}
	qemu := map[string]string{"arm64": "qemu-system-arm"}[f.Arch]
	qemu = cmp.Or(qemu, "qemu-system-x86")
	d := f.Distribution
	switch {
	case d.ID == "debian":
		return []string{
			"sudo apt-get install vagrant-libvirt libvirt-daemon-system libvirt-clients " + qemu + " dnsmasq-base",
			group,
		}
	case d.is("debian"):
		var commands []string
		if vagrant != "" {
			commands = []string{
				"sudo wget -O /etc/apt/keyrings/hashicorp.asc https://apt.releases.hashicorp.com/gpg",
				"echo 'deb [signed-by=/etc/apt/keyrings/hashicorp.asc] https://apt.releases.hashicorp.com " + cmp.Or(d.Codename, "CODENAME") + " main' |",
				"  sudo tee /etc/apt/sources.list.d/hashicorp.list",
				"sudo apt-get update",
			}
		}
		return append(commands,
			"sudo apt-get install"+vagrant+" libvirt-daemon-system libvirt-clients "+qemu+" dnsmasq-base libvirt-dev build-essential",
			plugin, group)
	case d.ID == "fedora":
		var commands []string
		if vagrant != "" {
			commands = []string{"sudo dnf config-manager addrepo --from-repofile=https://rpm.releases.hashicorp.com/fedora/hashicorp.repo"}
		}
		return append(commands, "sudo dnf install"+vagrant+" libvirt qemu-kvm libvirt-devel gcc make", start, plugin, group)
	case d.is("rhel"):
		var commands []string
		if vagrant != "" {
			commands = []string{
				"sudo dnf install dnf-plugins-core",
				"sudo dnf config-manager --add-repo https://rpm.releases.hashicorp.com/RHEL/hashicorp.repo",
			}
		}
		return append(commands, "sudo dnf install --enablerepo=crb"+vagrant+" libvirt qemu-kvm libvirt-devel gcc make", start, plugin, group)
	case d.is("arch"):
		return []string{"sudo pacman -S --needed" + vagrant + " libvirt qemu-base dnsmasq base-devel", start, plugin, group}
	}
	return nil
}
