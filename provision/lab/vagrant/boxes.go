package vagrant

import (
	"fmt"
	"slices"
	"strings"
)

// Providers are the providers of Vagrant that the Vagrantfile supports.
func Providers() []string { return []string{virtualBox, libvirt, vmware, parallels} }

// Vagrant's names of the providers.
const (
	virtualBox = "virtualbox"
	libvirt    = "libvirt"
	vmware     = "vmware_desktop"
	parallels  = "parallels"
)

// CheckProvider returns an error for a provider that the Vagrantfile does not support.
func CheckProvider(name string) error {
	switch {
	case slices.Contains(Providers(), name):
		return nil
	case name == "hyperv":
		// https://developer.hashicorp.com/vagrant/docs/providers/hyperv/limitations
		return fmt.Errorf("unsupported hypervisor %q: Vagrant cannot create networks of Hyper-V, and the machines need fixed addresses; use one of %s",
			name, strings.Join(Providers(), ", "))
	}
	return fmt.Errorf("unknown hypervisor %q: use one of %s", name, strings.Join(Providers(), ", "))
}

// boxOwner publishes the boxes in published: https://github.com/chef/bento
const boxOwner = "bento/"

// published are the boxes of bento with distributions that slipway supports, and the
// architectures that libvirt has of each. All other providers have amd64 and arm64 of
// all of them.
//
// Source: the boxes of https://portal.cloud.hashicorp.com/vagrant/discover/bento,
// versions 202510.26.0 and (ubuntu-26.04) 202606.01.0. The gaps of libvirt are
// chef/bento#1628 (Debian) and chef/bento#1660 (arm64). chef/bento#1684 reports that
// ubuntu-26.04 of libvirt does not boot: the table has it, and no default is it.
var published = []struct {
	name    string
	libvirt []string
}{
	{"debian-12", nil},
	{"debian-13", nil},
	{"ubuntu-22.04", nil},
	{"ubuntu-24.04", []string{"amd64"}},
	{"ubuntu-26.04", []string{"amd64"}},
	{"rockylinux-9", nil},
	{"rockylinux-10", nil},
	{"almalinux-9", nil},
	{"almalinux-10", nil},
}

// The default boxes. otherBox has Canonical's cloud image, also for libvirt on arm64:
// https://github.com/alchemy-solutions/vagrant-cloud-images
const (
	preferredBox = "debian-13"
	libvirtBox   = "ubuntu-24.04"
	otherBox     = "cloud-image/ubuntu-24.04"
)

// DefaultBox is the default of Vagrant.Box: a box that exists for a provider and an
// architecture (GOARCH).
func DefaultBox(provider, arch string) string {
	for _, name := range []string{preferredBox, libvirtBox} {
		if slices.Contains(BoxesOf(provider, arch), name) {
			return name
		}
	}
	return otherBox
}

// Boxes are short names of boxes with distributions that slipway supports. BoxesOf
// says which of them a provider has.
func Boxes() []string {
	var names []string
	for _, box := range published {
		names = append(names, box.name)
	}
	return names
}

// BoxesOf are the Boxes that exist for a provider and an architecture.
func BoxesOf(provider, arch string) []string {
	var names []string
	for _, box := range published {
		if provider != libvirt || slices.Contains(box.libvirt, arch) {
			names = append(names, box.name)
		}
	}
	return names
}

// BoxOf is the full name of a box, given its full name or one of Boxes.
func BoxOf(name string) string {
	if slices.Contains(Boxes(), name) {
		return boxOwner + name
	}
	return name
}

// CheckBox returns an error for one of Boxes, or its full name, that a provider does
// not have for an architecture. Nothing is known of other boxes.
func CheckBox(name, provider, arch string) error {
	short := strings.TrimPrefix(name, boxOwner)
	have := BoxesOf(provider, arch)
	if !slices.Contains(Boxes(), short) || slices.Contains(have, short) {
		return nil
	}
	alternatives := append(have, otherBox)
	return fmt.Errorf("box %s is not published for %s on %s: use %s, or another box",
		BoxOf(short), provider, arch, strings.Join(alternatives, ", "))
}
