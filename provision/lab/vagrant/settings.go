package vagrant

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

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
	defaultProvider = virtualBox
	defaultCPUs     = 2 // kubeadm refuses a control plane with fewer
)

// DefaultMemoryMiB is the memory of a machine. kubeadm requires 1700 MiB on a control
// plane.
const DefaultMemoryMiB = 2048

// DefaultNetwork is the default of lab.Spec.Subnet: for VirtualBox a network that it
// allows without a setting, for other providers that of many tutorials.
func DefaultNetwork(provider string) netip.Prefix {
	if provider == virtualBox {
		return netip.MustParsePrefix("192.168.56.0/24")
	}
	return netip.MustParsePrefix("172.16.16.0/24")
}

// layoutOf has the addresses of machines. VirtualBox comes with a network
// 192.168.56.0/24 whose DHCP server has .100 and assigns the addresses above: machines
// are below. With other providers, the control planes are .100, .99, … and the workers
// above.
func layoutOf(provider string) lab.Layout {
	if provider == virtualBox {
		return lab.Layout{
			ControlPlane: func(i int) int { return firstControlPlane + i },
			Worker:       func(i int) int { return firstWorker + i },
		}
	}
	return lab.Layout{ControlPlane: func(i int) int { return 100 - i }}
}

// The last bytes of the first addresses with VirtualBox, and the address of its DHCP
// server.
const (
	firstControlPlane = 11
	firstWorker       = 21
	dhcpServer        = 100
)

// checkRoom returns an error if a provider has too few addresses for a spec.
func checkRoom(provider string, spec lab.Spec) error {
	const controlPlanes, workers = firstWorker - firstControlPlane, dhcpServer - firstWorker
	if provider == virtualBox && len(spec.Machines) == 0 && (spec.ControlPlanes > controlPlanes || spec.Workers > workers) {
		return fmt.Errorf("with VirtualBox, a lab has addresses for %d control planes and %d workers", controlPlanes, workers)
	}
	return nil
}

// merge applies a spec to the current settings. A setting that the spec leaves open
// stays; one that existing machines have cannot change.
func (v Vagrant) merge(have settings, spec lab.Spec) (settings, error) {
	want := have
	want.Name = spec.Name
	exists := len(have.Machines) > 0
	err := errors.Join(
		choose(exists, "provider", &want.Provider, v.Provider, defaultProvider),
		choose(exists, "box version", &want.BoxVersion, v.BoxVersion, ""),
		choose(exists, "number of CPUs", &want.CPUs, v.CPUs, defaultCPUs),
		choose(exists, "memory in MiB", &want.MemoryMiB, v.MemoryMiB, DefaultMemoryMiB),
	)
	if err != nil {
		return settings{}, err
	}
	if err := CheckProvider(want.Provider); err != nil {
		return settings{}, err
	}
	err = errors.Join(
		choose(exists, "box", &want.Box, BoxOf(v.Box), BoxOf(DefaultBox(want.Provider, v.arch()))),
		choose(exists, "subnet", &want.Network, spec.Subnet.Masked(), DefaultNetwork(want.Provider)),
	)
	if err != nil {
		return settings{}, err
	}
	if !exists {
		err = CheckBox(want.Box, want.Provider, v.arch())
	}
	if err != nil {
		return settings{}, err
	}
	if want.Endpoint, err = lab.EndpointOf(have.Endpoint, exists, spec, want.Network); err != nil {
		return settings{}, err
	}
	if err := checkRoom(want.Provider, spec); err != nil {
		return settings{}, err
	}
	want.Machines = nil
	var names []string
	for _, m := range lab.MachinesOf(spec, want.Network, layoutOf(want.Provider)) {
		names = append(names, m.Name)
		known, exists := have.machine(m.Name)
		if !exists {
			known.Address = m.Address
		}
		known.Name, known.Roles = m.Name, m.Roles
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
