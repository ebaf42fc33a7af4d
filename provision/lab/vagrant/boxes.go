package vagrant

// Providers are the providers of Vagrant that the Vagrantfile supports.
func Providers() []string { return []string{"virtualbox", "libvirt", "vmware_desktop", "parallels"} }

// defaultBox is the default of Vagrant.Box.
const defaultBox = "debian-13"

// Boxes are short names of boxes with distributions that slipway supports. They are
// published for all Providers: https://github.com/chef/bento
func Boxes() []string {
	return []string{
		"debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04",
		"rockylinux-9", "rockylinux-10", "almalinux-9", "almalinux-10",
	}
}

// BoxOf is the full name of a box, given its full name or one of Boxes.
func BoxOf(name string) string {
	for _, short := range Boxes() {
		if name == short {
			return "bento/" + name
		}
	}
	return name
}
