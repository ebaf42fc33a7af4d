// Package lab is about machines made for the purpose: bare ones, on which the
// installer does the rest, as on anybody's. The packages below it make them:
// container from systemd-nspawn machine containers, vagrant from virtual
// machines.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"slipway.io/slipway/provision/config"
)

// Provider makes the machines of labs. Its calls can be made again after they
// failed or were interrupted, and change nothing where all is there.
type Provider interface {
	// Up makes what is missing and boots what is off.
	Up(ctx context.Context, spec Spec) (*Lab, error)
	// Boot starts the machines that are off, and waits until they answer.
	Boot(ctx context.Context, name string) (*Lab, error)
	// Halt powers all machines off, in order, and keeps their disks.
	Halt(ctx context.Context, name string) (*Lab, error)
	// Down removes all that belongs to the lab. One that is not there is down
	// already.
	Down(ctx context.Context, name string) error
	// Status looks at what is there. A lab that is not there is ErrNotFound.
	Status(ctx context.Context, name string) (*Lab, error)
	// Find reads what was recorded of a lab, without a look at its machines:
	// their State may be empty.
	Find(ctx context.Context, name string) (*Lab, error)
}

// Snapshotter is a Provider that can save the machines of a lab, and go back.
type Snapshotter interface {
	// SaveSnapshot saves all machines, at one moment, under a new name.
	SaveSnapshot(ctx context.Context, name, snapshot string) error
	// RestoreSnapshot makes all machines be as they were, and boots them.
	RestoreSnapshot(ctx context.Context, name, snapshot string) error
	// Snapshots lists what can be restored.
	Snapshots(ctx context.Context, name string) ([]string, error)
}

// Spec says what a lab shall be. Its zero value but for a Name and a number of
// machines is a useful one.
type Spec struct {
	// Name of the lab, a DNS label of up to 40 characters.
	Name string
	// ControlPlanes and Workers are the numbers of machines. Without workers
	// the control planes take work too.
	ControlPlanes, Workers int
	// Names is how the machines are called; default NamesShort.
	Names Names
	// Subnet is the lab's network, an IPv4 /24. Default: the provider's.
	Subnet netip.Prefix
	// Bundle is the inventory's artifacts.bundle.
	Bundle string
	// Addons are the names of the inventory's addons; the load balancer's
	// addresses are .201 to .220. Nil keeps those that the lab's inventory has.
	Addons []string
	// Endpoint is the inventory's controlPlane.endpoint; default with more
	// than one control plane: the address of the first.
	Endpoint string
	// Overlay has sections of an inventory in YAML, which are laid over the
	// lab's own: maps are merged, all else is replaced. Nil keeps the one that
	// the lab has.
	Overlay []byte
}

// maxMachines of each role: what the numbering of addresses has room for.
const (
	maxControlPlanes = 80
	maxWorkers       = 90
)

var labName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// ErrNotFound: there is no lab of that name.
var ErrNotFound = errors.New("no such lab")

// Validate says all that is wrong with a spec.
func (s Spec) Validate() error {
	var errs []error
	if !labName.MatchString(s.Name) {
		errs = append(errs, fmt.Errorf("lab name %q: not a DNS label of up to 40 characters", s.Name))
	}
	if s.ControlPlanes < 0 || s.ControlPlanes > maxControlPlanes {
		errs = append(errs, fmt.Errorf("%d control planes: must be 0 to %d", s.ControlPlanes, maxControlPlanes))
	}
	if s.Workers < 0 || s.Workers > maxWorkers {
		errs = append(errs, fmt.Errorf("%d workers: must be 0 to %d", s.Workers, maxWorkers))
	}
	if s.ControlPlanes+s.Workers == 0 {
		errs = append(errs, errors.New("a lab needs a machine: neither control planes nor workers"))
	}
	if _, known := namings()[s.Names]; !known && s.Names != "" {
		errs = append(errs, fmt.Errorf("names %q: use %s or %s", s.Names, NamesShort, NamesClassic))
	}
	if s.Subnet.IsValid() && (!s.Subnet.Addr().Is4() || s.Subnet.Bits() != 24) {
		errs = append(errs, fmt.Errorf("subnet %s: must be an IPv4 /24", s.Subnet))
	}
	if _, err := overlaid(nil, s.Overlay); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Folder holds all that belongs to the lab of that name; root is slipway in the
// user's cache folder by default.
func Folder(root, name string) (string, error) {
	if !labName.MatchString(name) {
		return "", fmt.Errorf("lab name %q: not a DNS label of up to 40 characters", name)
	}
	root, err := Root(root)
	return filepath.Join(root, "labs", name), err
}

// Root is where labs and what they share are kept: slipway in the user's cache
// folder unless one is given.
func Root(given string) (string, error) {
	if given == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		given = filepath.Join(cache, "slipway")
	}
	return filepath.Abs(given)
}

// Lab is what is there.
type Lab struct {
	Name string
	// Dir holds all that belongs to the lab.
	Dir string
	// Subnet is its network.
	Subnet netip.Prefix
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

// MachineState says whether a machine is there and runs.
type MachineState string

// The states of a machine.
const (
	Missing MachineState = "missing" // not made yet
	Off     MachineState = "off"
	Running MachineState = "running"
)

// KnownHostsFile has the host key of every machine.
func (l *Lab) KnownHostsFile() string { return filepath.Join(l.Dir, "known_hosts") }

// InventoryFile is the inventory that the lab wrote.
func (l *Lab) InventoryFile() string { return filepath.Join(l.Dir, "inventory.yaml") }

// Machine finds a machine by its name.
func (l *Lab) Machine(name string) (Machine, error) {
	for _, m := range l.Machines {
		if m.Name == name {
			return m, nil
		}
	}
	return Machine{}, fmt.Errorf("lab %s has no machine %q", l.Name, name)
}

// SSHArgv is the ssh command line that logs in to a machine, or runs a command
// there. It reads no settings of the user but the lab's own keys and host keys.
func (l *Lab) SSHArgv(machine string, command ...string) ([]string, error) {
	m, err := l.Machine(machine)
	if err != nil {
		return nil, err
	}
	argv := []string{
		"ssh", "-F", "none", "-i", m.IdentityFile,
		"-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + l.KnownHostsFile(),
		"-l", m.User, m.Address.String(),
	}
	if len(command) > 0 {
		argv = append(append(argv, "--"), command...)
	}
	return argv, nil
}

// Event is something that happened while a lab was made or taken down.
type Event struct {
	Time time.Time
	// Machine is empty for what concerns the whole lab.
	Machine string
	// Message says it, in a line.
	Message string
}
