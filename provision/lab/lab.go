// Package lab creates disposable machines on localhost. They are bare: slipway
// installs a cluster on them as on any hosts. Package container creates
// systemd-nspawn containers, package vagrant virtual machines.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"

	"slipway.io/slipway/provision/config"
)

// Provider creates the machines of labs. Rerun a call that failed or was
// interrupted to resume it.
type Provider interface {
	// Up creates the machines that are missing and boots those that are off.
	Up(ctx context.Context, spec Spec) (*Lab, error)
	// Boot boots the named machines that are off, and waits until they answer. Without
	// names, it boots all machines.
	Boot(ctx context.Context, name string, machines ...string) (*Lab, error)
	// Halt powers machines off and keeps their disks.
	Halt(ctx context.Context, name string, options HaltOptions) (*Lab, error)
	// Down deletes the lab. A lab that does not exist is no error.
	Down(ctx context.Context, name string) error
	// Status returns the lab with the current state of its machines, or
	// ErrNotFound.
	Status(ctx context.Context, name string) (*Lab, error)
	// Find returns the lab as it was recorded, or ErrNotFound. The State of its
	// machines may be empty.
	Find(ctx context.Context, name string) (*Lab, error)
}

// HaltOptions are the options of Provider.Halt.
type HaltOptions struct {
	// Machines are the names of the machines to power off; none: all.
	Machines []string
	// Force cuts the power: the machines do not shut down.
	Force bool
}

// Snapshotter is a Provider whose machines have snapshots.
type Snapshotter interface {
	// SaveSnapshot saves all machines at one moment, under a new name.
	SaveSnapshot(ctx context.Context, name, snapshot string) error
	// RestoreSnapshot restores all machines from a snapshot, and boots them.
	RestoreSnapshot(ctx context.Context, name, snapshot string) error
	// Snapshots lists the names of snapshots that all machines have.
	Snapshots(ctx context.Context, name string) ([]string, error)
}

// Spec describes a lab. Only Name and one of the numbers are required.
type Spec struct {
	// Name of the lab, a DNS label of up to 40 characters.
	Name string
	// ControlPlanes and Workers are the numbers of machines. Without workers, the
	// control planes are workers too.
	ControlPlanes, Workers int
	// Names is the naming scheme of the machines; default NamesShort.
	Names Names
	// Machines are machines with names, roles and IPv4 addresses, in the place of those
	// that the numbers and Names say. The numbers are theirs.
	Machines []Machine
	// Subnet is the lab's network, an IPv4 /24. Default: the provider's.
	Subnet netip.Prefix
	// Bundle is the inventory's artifacts.bundle.
	Bundle string
	// Addons are the names of the inventory's addons; MetalLB gets the addresses
	// .201 to .220. Nil keeps the addons of the lab's current inventory.
	Addons []string
	// HA gives a new lab a highly available endpoint: a free address that keepalived
	// moves between the control planes. A lab keeps its endpoint.
	HA bool
	// Overlay is YAML with sections to merge into the lab's inventory: maps are
	// merged, other values replaced. Nil keeps the lab's current overlay.
	Overlay []byte
}

// The addresses of a lab have room for this many machines.
const (
	maxControlPlanes = 80
	maxWorkers       = 90
)

var labName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// ErrNotFound reports that no lab has that name.
var ErrNotFound = errors.New("no such lab")

// Validate returns all errors of a spec.
func (s Spec) Validate() error {
	var errs []error
	if !labName.MatchString(s.Name) {
		errs = append(errs, badName(s.Name))
	}
	if s.ControlPlanes < 0 || s.ControlPlanes > maxControlPlanes {
		errs = append(errs, fmt.Errorf("%d control planes: must be 0 to %d", s.ControlPlanes, maxControlPlanes))
	}
	if s.HA && s.ControlPlanes == 0 {
		errs = append(errs, errors.New("a highly available lab needs a control plane"))
	}
	if s.Workers < 0 || s.Workers > maxWorkers {
		errs = append(errs, fmt.Errorf("%d workers: must be 0 to %d", s.Workers, maxWorkers))
	}
	if s.ControlPlanes+s.Workers == 0 {
		errs = append(errs, errors.New("a lab needs at least one machine"))
	}
	if _, known := namings()[s.Names]; !known && s.Names != "" {
		errs = append(errs, fmt.Errorf("names %q: must be %s or %s", s.Names, NamesShort, NamesClassic))
	}
	if s.Subnet.IsValid() && (!s.Subnet.Addr().Is4() || s.Subnet.Bits() != subnetBits) {
		errs = append(errs, fmt.Errorf("subnet %s: must be an IPv4 /24", s.Subnet))
	}
	errs = append(errs, s.checkMachines()...)
	if _, err := merged(nil, s.Overlay); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func badName(name string) error {
	return fmt.Errorf("lab name %q is not a DNS label: use at most 40 lower-case letters, digits and '-', beginning and ending with a letter or a digit", name)
}

// Dir is the directory of a lab below Root(root).
func Dir(root, name string) (string, error) {
	if !labName.MatchString(name) {
		return "", badName(name)
	}
	root, err := Root(root)
	return filepath.Join(root, "labs", name), err
}

// Root is the directory of all labs and the files that they share. The default is
// slipway in the user's cache directory.
func Root(given string) (string, error) {
	if given == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory: %w", err)
		}
		given = filepath.Join(cache, "slipway")
	}
	return filepath.Abs(given)
}

// Lab is a lab that exists.
type Lab struct {
	Name string
	// Dir contains all files of the lab.
	Dir string
	// Subnet is the network of its machines.
	Subnet netip.Prefix
	// Endpoint is the address that the control planes share. It is invalid unless the
	// lab was created with Spec.HA.
	Endpoint netip.Addr
	// Machines, control planes first.
	Machines []Machine
}

// Machine is one machine of a lab.
type Machine struct {
	Name    string
	Roles   []config.Role
	Address netip.Addr
	// User logs in with the private key IdentityFile.
	User, IdentityFile string
	State              MachineState
}

// MachineState is whether a machine exists and runs.
type MachineState string

// The states of a machine.
const (
	Missing MachineState = "missing" // not created yet
	Off     MachineState = "off"
	Running MachineState = "running"
)

// KnownHostsFile contains the host keys of all machines.
func (l *Lab) KnownHostsFile() string { return filepath.Join(l.Dir, "known_hosts") }

// InventoryFile is the inventory of the lab.
func (l *Lab) InventoryFile() string { return filepath.Join(l.Dir, "inventory.yaml") }

// Machine returns the machine of a name.
func (l *Lab) Machine(name string) (Machine, error) {
	for _, m := range l.Machines {
		if m.Name == name {
			return m, nil
		}
	}
	return Machine{}, fmt.Errorf("lab %s has no machine %q", l.Name, name)
}

// Named returns the machines of some names; all machines if there are no names.
func (l *Lab) Named(names ...string) ([]Machine, error) {
	if len(names) == 0 {
		return l.Machines, nil
	}
	var named []Machine
	for _, name := range names {
		m, err := l.Machine(name)
		if err != nil {
			return nil, err
		}
		named = append(named, m)
	}
	return named, nil
}
