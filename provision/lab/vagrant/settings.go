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

// settings are the content of lab.yaml, which the Vagrantfile reads.
type settings struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
	Box      string `json:"box"`
	// BoxVersion is empty for the newest.
	BoxVersion string       `json:"boxVersion,omitempty"`
	CPUs       int          `json:"cpus"`
	MemoryMiB  int          `json:"memoryMiB"`
	Network    netip.Prefix `json:"network"`
	// Endpoint is that of lab.Lab.
	Endpoint netip.Addr `json:"endpoint,omitzero"`
	Machines []machine  `json:"machines"`
}

// machine is a machine in lab.yaml. The Vagrantfile reads its name and address.
type machine struct {
	Name    string        `json:"name"`
	Address netip.Addr    `json:"address"`
	Roles   []config.Role `json:"roles,omitempty"`
	// User and IdentityFile log in; empty until the machine was up once.
	User         string `json:"user,omitempty"`
	IdentityFile string `json:"identityFile,omitempty"`
}

const (
	settingsName    = "lab.yaml"
	vagrantfileName = "Vagrantfile"
)

// readSettings reads lab.yaml in a lab's directory; a missing one is
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

// write writes lab.yaml and the Vagrantfile to the lab's directory.
func (s settings) write(dir string) error {
	content, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	content = append([]byte("# Written by slipway lab up, for the Vagrantfile beside it.\n"), content...)
	return errors.Join(
		localhost.WriteFile(filepath.Join(dir, vagrantfileName), vagrant.Vagrantfile, 0o644),
		localhost.WriteFile(filepath.Join(dir, settingsName), content, 0o644),
	)
}

const (
	defaultProvider = "virtualbox"
	defaultCPUs     = 2 // kubeadm refuses a control plane with fewer
)

// DefaultMemoryMiB is the memory of a machine. kubeadm requires 1700 MiB on a control
// plane.
const DefaultMemoryMiB = 2048

// DefaultNetwork is the network of many tutorials.
func DefaultNetwork() netip.Prefix { return netip.MustParsePrefix("172.16.16.0/24") }

// addressOf is the last byte of the address of the i-th control plane: .100, .99, …
// below the workers.
func addressOf(i int) int { return 100 - i }

// merge applies a spec to the current settings. A setting that the spec leaves open
// stays; one that existing machines have cannot change.
func (v Vagrant) merge(have settings, spec lab.Spec) (settings, error) {
	want := have
	want.Name = spec.Name
	exists := len(have.Machines) > 0
	err := errors.Join(
		choose(exists, "provider", &want.Provider, v.Provider, defaultProvider),
		choose(exists, "box", &want.Box, BoxOf(v.Box), BoxOf(defaultBox)),
		choose(exists, "box version", &want.BoxVersion, v.BoxVersion, ""),
		choose(exists, "number of CPUs", &want.CPUs, v.CPUs, defaultCPUs),
		choose(exists, "memory in MiB", &want.MemoryMiB, v.MemoryMiB, DefaultMemoryMiB),
		choose(exists, "subnet", &want.Network, spec.Subnet.Masked(), DefaultNetwork()),
	)
	if err != nil {
		return settings{}, err
	}
	if !slices.Contains(Providers(), want.Provider) {
		return settings{}, fmt.Errorf("unknown hypervisor %q: use one of %s", want.Provider, strings.Join(Providers(), ", "))
	}
	if want.Endpoint, err = lab.EndpointOf(have.Endpoint, exists, spec, want.Network); err != nil {
		return settings{}, err
	}
	want.Machines = nil
	var names []string
	for _, m := range lab.MachinesOf(spec, want.Network, addressOf) {
		names = append(names, m.Name)
		known, _ := have.machine(m.Name)
		known.Name, known.Address, known.Roles = m.Name, m.Address, m.Roles
		want.Machines = append(want.Machines, known)
	}
	return want, lab.CheckNoneRemoved(have.names(), names)
}

// choose sets a field of a new lab to the requested value or the default. In an existing
// lab, another value is an error.
func choose[T comparable](exists bool, what string, field *T, want, standard T) error {
	var none T
	switch {
	case !exists && want == none:
		*field = standard
	case !exists:
		*field = want
	case want != none && want != *field:
		return fmt.Errorf("its %s is %v: delete the lab first (slipway lab down) to change it to %v", what, *field, want)
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

// lab returns the machine without its roles and state.
func (m machine) lab() lab.Machine {
	return lab.Machine{Name: m.Name, Address: m.Address, User: m.User, IdentityFile: m.IdentityFile}
}

func (s settings) names() []string {
	var names []string
	for _, m := range s.Machines {
		names = append(names, m.Name)
	}
	return names
}
