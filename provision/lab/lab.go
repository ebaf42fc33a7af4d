// Package lab makes machines for the purpose: bare ones, on which the installer
// does the rest, as on anybody's.
//
// Containers makes them from systemd-nspawn machine containers: a Debian tree
// with a real systemd and a real sshd for each, on a bridge that leads nowhere
// else. Everything that it makes on the outer machine (the one it runs on) is
// written to the lab's state file first, so that Down undoes that and no more,
// also after a crash half-way.
package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"time"

	"slipway.io/slipway/provision/config"
)

// Spec says what a lab shall be. Its zero value but for a Name and a number of
// machines is a useful one.
type Spec struct {
	// Name of the lab, a DNS label of up to 40 characters.
	Name string
	// ControlPlanes (cp1, cp2, … at .11, .12, …) and Workers (w1, w2, … at
	// .101, .102, …) are the numbers of machines. Without workers the control
	// planes take work too.
	ControlPlanes, Workers int
	// Subnet is the lab's network, an IPv4 /24. Default: the first of a few
	// that no route of the outer machine overlaps.
	Subnet netip.Prefix
	// Suite is the Debian release; default bookworm.
	Suite string
	// Mirror is where debootstrap gets packages; default: the one that apt of
	// the outer machine has for the suite.
	Mirror string
	// SudoPassword makes sudo ask for this password. Empty: sudo asks nothing.
	// It is only looked at when a machine is made.
	SudoPassword string
	// Bundle is the inventory's artifacts.bundle.
	Bundle string
	// Addons are the names of the inventory's addons; the load balancer's
	// addresses are .201 to .220. Nil keeps those that the lab's inventory has.
	Addons []string
	// Endpoint is the inventory's controlPlane.endpoint; default with more
	// than one control plane: the address of the first.
	Endpoint string
	// BootTimeout is how long one machine may take until it answers and all
	// its units are up; default two minutes.
	BootTimeout time.Duration
}

// User is the login on every machine.
const User = "slipway"

// Limits that the numbering of addresses sets.
const (
	maxControlPlanes = 80
	maxWorkers       = 90
)

var labName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// ErrNotFound: there is no lab of that name.
var ErrNotFound = errors.New("no such lab")

func (s Spec) withDefaults() Spec {
	if s.Suite == "" {
		s.Suite = "bookworm"
	}
	if s.BootTimeout == 0 {
		s.BootTimeout = 2 * time.Minute
	}
	return s
}

func (s Spec) validate() error {
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
	if s.Subnet.IsValid() && (!s.Subnet.Addr().Is4() || s.Subnet.Bits() != 24) {
		errs = append(errs, fmt.Errorf("subnet %s: must be an IPv4 /24", s.Subnet))
	}
	return errors.Join(errs...)
}

// Lab is what is there.
type Lab struct {
	Name string `json:"name"`
	// Dir holds all that belongs to the lab.
	Dir string `json:"dir"`
	// Subnet and Bridge are its network; Gateway is the outer machine in it.
	Subnet  netip.Prefix `json:"subnet"`
	Bridge  string       `json:"bridge"`
	Gateway netip.Addr   `json:"gateway"`
	// Machines, control planes first.
	Machines []Machine `json:"machines"`
}

// Machine is one machine of a lab.
type Machine struct {
	Name    string        `json:"name"`
	Roles   []config.Role `json:"roles"`
	Address netip.Addr    `json:"address"`
	// Tree is its root file system, Log what it wrote to its console.
	Tree  string       `json:"tree"`
	Log   string       `json:"log"`
	State MachineState `json:"state"`
	// PID is the process that runs it; 0 if none does.
	PID int `json:"pid"`
}

// MachineState says whether a machine is there and runs.
type MachineState string

// The states of a machine.
const (
	Missing MachineState = "missing" // not made yet
	Off     MachineState = "off"
	Running MachineState = "running"
)

// IdentityFile is the private key that logs in as User on every machine.
func (l *Lab) IdentityFile() string { return filepath.Join(l.Dir, "id_ed25519") }

// KnownHostsFile has the host key of every machine, taken from the trees.
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
// there. It reads no settings of the user but the lab's own key and host keys.
func (l *Lab) SSHArgv(machine string, command ...string) ([]string, error) {
	m, err := l.Machine(machine)
	if err != nil {
		return nil, err
	}
	argv := []string{
		"ssh", "-F", "none", "-i", l.IdentityFile(),
		"-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + l.KnownHostsFile(),
		"-l", User, m.Address.String(),
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
