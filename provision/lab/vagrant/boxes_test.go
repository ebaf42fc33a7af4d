package vagrant

import (
	"slices"
	"strings"
	"testing"
)

func TestADefaultBoxExistsForEachProviderAndArchitecture(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"virtualbox amd64": "debian-13", "virtualbox arm64": "debian-13",
		"vmware_desktop amd64": "debian-13", "vmware_desktop arm64": "debian-13",
		"parallels amd64": "debian-13", "parallels arm64": "debian-13",
		"libvirt amd64": "ubuntu-24.04", "libvirt arm64": "cloud-image/ubuntu-24.04",
	}
	for _, provider := range Providers() {
		for _, arch := range []string{"amd64", "arm64"} {
			box, want := DefaultBox(provider, arch), tests[provider+" "+arch]
			if box != want {
				t.Errorf("%s on %s: %s, want %s", provider, arch, box, want)
			}
			if err := CheckBox(box, provider, arch); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestABoxThatIsNotPublishedIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"debian-13", "bento/debian-13", "rockylinux-9"} {
		err := CheckBox(name, "libvirt", "amd64")
		if err == nil || !strings.Contains(err.Error(), "is not published for libvirt on amd64: use ubuntu-24.04, ubuntu-26.04, cloud-image/ubuntu-24.04") {
			t.Errorf("%s: %v", name, err)
		}
		if err := CheckBox(name, "virtualbox", "arm64"); err != nil {
			t.Error(err)
		}
	}
	if err := CheckBox("ubuntu-24.04", "libvirt", "arm64"); err == nil {
		t.Error("libvirt has no box of bento for arm64")
	}
	for _, name := range []string{"mine/debian-13", "cloud-image/ubuntu-24.04", "bento/fedora-42"} {
		if err := CheckBox(name, "libvirt", "amd64"); err != nil {
			t.Errorf("nothing is known of %s: %v", name, err)
		}
	}
	if got := BoxesOf("libvirt", "amd64"); !slices.Equal(got, []string{"ubuntu-24.04", "ubuntu-26.04"}) {
		t.Errorf("got %v", got)
	}
}
