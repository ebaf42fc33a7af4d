package vagrant

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/vagrant"
)

// settings are lab.yaml: what the Vagrantfile reads, and what the lab knows of
// its machines.
type settings struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
	Box      string `json:"box"`
	// BoxVersion is empty for the newest.
	BoxVersion string       `json:"boxVersion,omitempty"`
	CPUs       int          `json:"cpus"`
	MemoryMiB  int          `json:"memoryMiB"`
	Network    netip.Prefix `json:"network"`
	Machines   []machine    `json:"machines"`
}

// machine is one of them. The Vagrantfile reads its name and address.
type machine struct {
	Name    string        `json:"name"`
	Address netip.Addr    `json:"address"`
	Roles   []config.Role `json:"roles,omitempty"`
	// User and IdentityFile log in; empty until the machine came up once.
	User         string `json:"user,omitempty"`
	IdentityFile string `json:"identityFile,omitempty"`
}

const (
	settingsName    = "lab.yaml"
	vagrantfileName = "Vagrantfile"
)

// readSettings reads lab.yaml in a lab's folder; a missing one is
// lab.ErrNotFound.
func readSettings(dir string) (settings, error) {
	path := filepath.Join(dir, settingsName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}, fmt.Errorf("%w: %s", lab.ErrNotFound, filepath.Base(dir))
	}
	if err != nil {
		return settings{}, err
	}
	var s settings
	if err := yaml.UnmarshalStrict(content, &s); err != nil {
		return settings{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// write puts lab.yaml and the Vagrantfile into the lab's folder.
func (s settings) write(dir string) error {
	content, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	content = append([]byte("# Written by slipway lab up: what the Vagrantfile beside it makes.\n"), content...)
	return errors.Join(
		localhost.WriteFile(filepath.Join(dir, vagrantfileName), vagrant.Vagrantfile, 0o644),
		localhost.WriteFile(filepath.Join(dir, settingsName), content, 0o644),
	)
}

const (
	defaultProvider = "virtualbox"
	defaultCPUs     = 2 // kubeadm refuses a control plane with fewer
)

// DefaultMemoryMiB is the memory of a machine: kubeadm wants 1700 MiB on a
// control plane.
const DefaultMemoryMiB = 2048

// DefaultNetwork is the well-known labs' range of addresses.
func DefaultNetwork() netip.Prefix { return netip.MustParsePrefix("172.16.16.0/24") }

// addressOf is the last byte of the address of the i-th control plane: .100,
// and from there downwards, since the workers follow above.
func addressOf(i int) int { return 100 - i }

// merge makes the settings that a spec asks for of what is there. What is not
// asked for stays as it is; what machines have already is not changed.
func (v Vagrant) merge(have settings, spec lab.Spec) (settings, error) {
	want := have
	want.Name = spec.Name
	made := len(have.Machines) > 0
	err := errors.Join(
		settle(made, "provider", &want.Provider, v.Provider, defaultProvider),
		settle(made, "box", &want.Box, BoxOf(v.Box), BoxOf(defaultBox)),
		settle(made, "box version", &want.BoxVersion, v.BoxVersion, ""),
		settle(made, "number of CPUs", &want.CPUs, v.CPUs, defaultCPUs),
		settle(made, "memory in MiB", &want.MemoryMiB, v.MemoryMiB, DefaultMemoryMiB),
		settle(made, "subnet", &want.Network, spec.Subnet.Masked(), DefaultNetwork()),
	)
	if err != nil {
		return settings{}, err
	}
	if !slices.Contains(Providers(), want.Provider) {
		return settings{}, fmt.Errorf("provider %q of Vagrant: use %s", want.Provider, strings.Join(Providers(), ", "))
	}
	want.Machines = nil
	var names []string
	for _, m := range lab.MachinesOf(spec, want.Network, addressOf) {
		names = append(names, m.Name)
		known, _ := have.machine(m.Name)
		known.Name, known.Address, known.Roles = m.Name, m.Address, m.Roles
		want.Machines = append(want.Machines, known)
	}
	return want, lab.Missed(have.names(), names)
}

// settle gives a setting what was asked for, or else the default; one of a lab
// that is made stays.
func settle[T comparable](made bool, what string, field *T, asked, otherwise T) error {
	var none T
	switch {
	case made && asked != none && asked != *field:
		return fmt.Errorf("its %s is %v: take it down first to make it %v", what, *field, asked)
	case !made && asked != none:
		*field = asked
	case !made:
		*field = otherwise
	}
	return nil
}

func (s settings) machine(name string) (machine, bool) {
	i := slices.IndexFunc(s.Machines, func(m machine) bool { return m.Name == name })
	if i < 0 {
		return machine{}, false
	}
	return s.Machines[i], true
}

func (s settings) names() []string {
	var names []string
	for _, m := range s.Machines {
		names = append(names, m.Name)
	}
	return names
}
