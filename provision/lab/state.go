package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"slipway.io/slipway/provision/config"
)

// stateVersion is the version of the state file's layout.
const stateVersion = 1

// state is what a lab made on the outer machine: all that Down undoes. Each
// thing is written here before it is made, and taken off after it is gone.
type state struct {
	Version int          `json:"version"`
	Subnet  netip.Prefix `json:"subnet"`
	// Bridge is the name of the lab's own bridge.
	Bridge   string     `json:"bridge"`
	Machines []*machine `json:"machines"`
}

// machine is the recorded part of a Machine.
type machine struct {
	Name    string        `json:"name"`
	Roles   []config.Role `json:"roles"`
	Address netip.Addr    `json:"address"`
	// Process runs the machine; nil if it was not started, or was stopped.
	Process *process `json:"process,omitempty"`
	// Cgroups are the folders made for the machine's processes.
	Cgroups []string `json:"cgroups,omitempty"`
	// Ready says that the machine came up once.
	Ready bool `json:"ready,omitempty"`
}

func (s *session) statePath() string            { return filepath.Join(s.dir, "lab.json") }
func (s *session) machineDir(m *machine) string { return filepath.Join(s.dir, "machines", m.Name) }
func (s *session) treePath(m *machine) string   { return filepath.Join(s.machineDir(m), "tree") }
func (s *session) logPath(m *machine) string    { return filepath.Join(s.machineDir(m), "console.log") }
func (s *session) supervisorPath(m *machine) string {
	return filepath.Join(s.machineDir(m), "supervise.sh")
}

func (s *session) identityPath() string   { return (&Lab{Dir: s.dir}).IdentityFile() }
func (s *session) knownHostsPath() string { return (&Lab{Dir: s.dir}).KnownHostsFile() }

// load reads the state file. A missing one is ErrNotFound.
func (s *session) load() error {
	content, err := os.ReadFile(s.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, s.name)
	}
	if err != nil {
		return fmt.Errorf("read the state of lab %s: %w", s.name, err)
	}
	var st state
	if err := json.Unmarshal(content, &st); err != nil {
		return fmt.Errorf("read the state of lab %s: %s: %w", s.name, s.statePath(), err)
	}
	if st.Version != stateVersion {
		return fmt.Errorf("%s has version %d, this slipway knows %d: use the slipway that made the lab", s.statePath(), st.Version, stateVersion)
	}
	s.state = st
	return nil
}

// record changes the state and writes it down.
func (s *session) record(change func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.state.Version = stateVersion
	content, err := json.MarshalIndent(s.state, "", "  ")
	if err != nil {
		return fmt.Errorf("write the state of lab %s: %w", s.name, err)
	}
	if err := writeFile(s.statePath(), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the state of lab %s: %w", s.name, err)
	}
	return nil
}

// writeFile replaces a file so that a crash leaves the old or the new one.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already once it is renamed
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// machinesOf lists the machines that a spec asks for.
func machinesOf(spec Spec, subnet netip.Prefix) []*machine {
	var machines []*machine
	for i := range spec.ControlPlanes {
		roles := []config.Role{config.RoleControlPlane}
		if spec.Workers == 0 {
			roles = append(roles, config.RoleWorker)
		}
		machines = append(machines, &machine{Name: fmt.Sprintf("cp%d", i+1), Roles: roles, Address: nth(subnet, 11+i)})
	}
	for i := range spec.Workers {
		machines = append(machines, &machine{
			Name: fmt.Sprintf("w%d", i+1), Roles: []config.Role{config.RoleWorker}, Address: nth(subnet, 101+i),
		})
	}
	return machines
}

// nth is the address of that number in a /24.
func nth(subnet netip.Prefix, n int) netip.Addr {
	bytes := subnet.Masked().Addr().As4()
	bytes[3] = byte(n)
	return netip.AddrFrom4(bytes)
}

// merge keeps what is recorded of the machines that are there and adds those
// that the spec asks for beyond them.
func merge(have, want []*machine) ([]*machine, error) {
	byName := map[string]*machine{}
	for _, m := range have {
		byName[m.Name] = m
	}
	for i, m := range want {
		old, ok := byName[m.Name]
		if !ok {
			continue
		}
		old.Roles = m.Roles
		want[i] = old
		delete(byName, m.Name)
	}
	for _, m := range have {
		if byName[m.Name] != nil {
			return nil, fmt.Errorf("it has machine %s, which is not asked for now: take the lab down first to make it smaller", m.Name)
		}
	}
	return want, nil
}

// lab is what callers see of the state. It looks at all machines: not while
// work on them is under way.
func (s *session) lab() *Lab {
	l := &Lab{
		Name: s.name, Dir: s.dir, Bridge: s.state.Bridge,
		Subnet: s.state.Subnet, Gateway: nth(s.state.Subnet, 1),
	}
	for _, m := range s.state.Machines {
		l.Machines = append(l.Machines, Machine{
			Name: m.Name, Roles: slices.Clone(m.Roles), Address: m.Address,
			Tree: s.treePath(m), Log: s.logPath(m),
			State: s.stateOf(m), PID: s.pidOf(m),
		})
	}
	return l
}

func (s *session) stateOf(m *machine) MachineState {
	if s.pidOf(m) != 0 {
		return Running
	}
	if _, err := os.Stat(s.treePath(m)); err != nil {
		return Missing
	}
	return Off
}
