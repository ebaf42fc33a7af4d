package vagrant

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
)

var cmpAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

var cmpPrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func mustMerge(t *testing.T, v Vagrant, have settings, spec lab.Spec) settings {
	t.Helper()
	want, err := v.merge(have, spec)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got := mustMerge(t, Vagrant{}, settings{}, lab.Spec{Name: "a", ControlPlanes: 3, Workers: 2, Names: lab.NamesClassic})
	cp, worker := []config.Role{config.RoleControlPlane}, []config.Role{config.RoleWorker}
	address := netip.MustParseAddr
	want := settings{
		Name: "a", Provider: "virtualbox", Box: "bento/debian-13", CPUs: 2, MemoryMiB: 2048,
		Network: netip.MustParsePrefix("192.168.56.0/24"),
		Machines: []machine{
			{Name: "kmaster", Address: address("192.168.56.11"), Roles: cp},
			{Name: "kmaster2", Address: address("192.168.56.12"), Roles: cp},
			{Name: "kmaster3", Address: address("192.168.56.13"), Roles: cp},
			{Name: "kworker1", Address: address("192.168.56.21"), Roles: worker},
			{Name: "kworker2", Address: address("192.168.56.22"), Roles: worker},
		},
	}
	if diff := cmp.Diff(want, got, cmpAddresses, cmpPrefixes); diff != "" {
		t.Error(diff)
	}
	got = mustMerge(t, Vagrant{Provider: "libvirt", Arch: "amd64"}, settings{}, lab.Spec{Name: "a", ControlPlanes: 1, Workers: 1})
	if got.Box != "bento/ubuntu-24.04" || got.Machines[0].Address != address("172.16.16.100") || got.Machines[1].Address != address("172.16.16.101") {
		t.Errorf("with libvirt: %+v", got)
	}
}

// VirtualBox's DHCP server has 192.168.56.100 and assigns .101 and following.
func TestMachinesOfVirtualBoxAreBelowItsDHCPServer(t *testing.T) {
	t.Parallel()
	v := Vagrant{Provider: "virtualbox"}
	full := mustMerge(t, v, settings{}, lab.Spec{Name: "a", ControlPlanes: 10, Workers: 79})
	used := map[netip.Addr]bool{netip.MustParseAddr("192.168.56.10"): true} // the endpoint
	for _, m := range full.Machines {
		if used[m.Address] || !m.Address.Less(netip.MustParseAddr("192.168.56.100")) {
			t.Errorf("%s has %s", m.Name, m.Address)
		}
		used[m.Address] = true
	}
	for _, spec := range []lab.Spec{{Name: "a", ControlPlanes: 11}, {Name: "a", ControlPlanes: 1, Workers: 80}} {
		if _, err := v.merge(settings{}, spec); err == nil || !strings.Contains(err.Error(), "10 control planes and 79 workers") {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

func TestExistingMachinesKeepTheirAddresses(t *testing.T) {
	t.Parallel()
	have := settings{
		Name: "a", Provider: "virtualbox", Box: "bento/debian-13", CPUs: 2, MemoryMiB: 2048, Network: netip.MustParsePrefix("172.16.16.0/24"),
		Machines: []machine{{Name: "cp1", Address: netip.MustParseAddr("172.16.16.100")}},
	}
	got := mustMerge(t, Vagrant{}, have, lab.Spec{Name: "a", ControlPlanes: 1, Workers: 1})
	if got.Machines[0].Address.String() != "172.16.16.100" || got.Machines[1].Address.String() != "172.16.16.21" {
		t.Errorf("got %+v", got.Machines)
	}
}

func TestMachinesHaveTheAddressesOfAnInventory(t *testing.T) {
	t.Parallel()
	spec := lab.Spec{
		Name: "a", ControlPlanes: 1, Workers: 1, Subnet: netip.MustParsePrefix("10.9.8.0/24"),
		Machines: []lab.Machine{
			{Name: "alpha", Address: netip.MustParseAddr("10.9.8.40"), Roles: []config.Role{config.RoleControlPlane}},
			{Name: "beta", Address: netip.MustParseAddr("10.9.8.41"), Roles: []config.Role{config.RoleWorker}},
		},
	}
	got := mustMerge(t, Vagrant{}, settings{}, spec)
	if len(got.Machines) != 2 || got.Machines[0].Name != "alpha" || got.Machines[1].Address.String() != "10.9.8.41" || got.Network.String() != "10.9.8.0/24" {
		t.Errorf("got %+v", got)
	}
}

func TestAnExistingLabKeepsItsSettings(t *testing.T) {
	t.Parallel()
	v := Vagrant{Provider: "libvirt", Box: "ubuntu-24.04", Arch: "amd64", MemoryMiB: 4096}
	spec := lab.Spec{Name: "a", ControlPlanes: 1, Workers: 1, Subnet: netip.MustParsePrefix("10.9.8.7/24")}
	existing := mustMerge(t, v, settings{}, spec)
	existing.Machines[1].User, existing.Machines[1].IdentityFile = "vagrant", "/key"

	spec.Workers, spec.Subnet = 2, netip.Prefix{}
	more := mustMerge(t, Vagrant{}, existing, spec)
	if more.Provider != "libvirt" || more.Box != "bento/ubuntu-24.04" || more.MemoryMiB != 4096 || more.Network.String() != "10.9.8.0/24" {
		t.Errorf("settings were lost: %+v", more)
	}
	if len(more.Machines) != 3 || more.Machines[1].IdentityFile != "/key" || more.Machines[2].Address.String() != "10.9.8.102" {
		t.Errorf("machines: %+v", more.Machines)
	}

	for want, other := range map[string]Vagrant{
		"its provider is libvirt: delete the lab first (slipway lab down) to change it to virtualbox":            {Provider: "virtualbox"},
		"its box is bento/ubuntu-24.04: delete the lab first (slipway lab down) to change it to bento/debian-12": {Box: "debian-12"},
		"its memory in MiB is 4096: delete the lab first (slipway lab down) to change it to 2048":                {MemoryMiB: 2048},
	} {
		if _, err := other.merge(existing, spec); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	spec.HA = true
	if _, err := (Vagrant{}).merge(existing, spec); err == nil || !strings.Contains(err.Error(), "created without --ha") {
		t.Errorf("an endpoint for an existing lab: %v", err)
	}
	spec.HA, spec.Workers = false, 0
	if _, err := (Vagrant{}).merge(existing, spec); err == nil || !strings.Contains(err.Error(), "machine w1 is not in its new size") {
		t.Errorf("a smaller lab: %v", err)
	}
	if _, err := (Vagrant{Provider: "hyperv"}).merge(settings{}, spec); err == nil || !strings.Contains(err.Error(), "Vagrant cannot create networks of Hyper-V") {
		t.Errorf("an unsupported provider: %v", err)
	}
}

func TestAHighlyAvailableLabKeepsItsEndpoint(t *testing.T) {
	t.Parallel()
	spec := lab.Spec{Name: "a", ControlPlanes: 3, Workers: 2, HA: true}
	existing := mustMerge(t, Vagrant{}, settings{}, spec)
	spec.HA, spec.Workers = false, 3
	for _, got := range []settings{existing, mustMerge(t, Vagrant{}, existing, spec)} {
		if got.Endpoint.String() != "192.168.56.10" {
			t.Errorf("endpoint %s", got.Endpoint)
		}
	}
}

func TestSettingsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := readSettings(dir); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("no settings: %v", err)
	}
	want := mustMerge(t, Vagrant{}, settings{}, lab.Spec{Name: "a", ControlPlanes: 1, Workers: 1, HA: true})
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpAddresses, cmpPrefixes); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, settingsName), []byte("boxx: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSettings(dir); err == nil || !strings.Contains(err.Error(), "boxx") {
		t.Errorf("an unknown key: %v", err)
	}
}

// The Vagrantfile also works without slipway, with this file.
func TestTheSettingsBesideTheVagrantfileAreTheDefaults(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../vagrant/" + settingsName)
	if err != nil {
		t.Fatal(err)
	}
	var got settings
	if err := yaml.UnmarshalStrict(content, &got); err != nil {
		t.Fatal(err)
	}
	want := mustMerge(t, Vagrant{}, settings{}, lab.Spec{Name: "lab", ControlPlanes: 1, Workers: 2})
	for i := range want.Machines {
		want.Machines[i].Roles = nil // Vagrant asks for none
	}
	if diff := cmp.Diff(want, got, cmpAddresses, cmpPrefixes); diff != "" {
		t.Error(diff)
	}
}
