package vagrant

// Providers are those of Vagrant that the Vagrantfile has settings for.
func Providers() []string { return []string{"virtualbox", "libvirt", "vmware_desktop", "parallels"} }

// defaultBox is the name of the box that is used where none is given.
const defaultBox = "debian-13"

// Boxes are short names of boxes whose distributions slipway knows, as --box
// takes them. They are published for all of Providers: https://github.com/chef/bento
func Boxes() []string {
	return []string{
		"debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04",
		"rockylinux-9", "rockylinux-10", "almalinux-9", "almalinux-10",
	}
}

// BoxOf is the full name of a box; any name but those of Boxes is one already.
func BoxOf(name string) string {
	for _, short := range Boxes() {
		if name == short {
			return "bento/" + name
		}
	}
	return name
}
