package container

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
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
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

// identityPath is the private key that logs in as User on every machine.
func (s *session) identityPath() string   { return filepath.Join(s.dir, "id_ed25519") }
func (s *session) knownHostsPath() string { return (&lab.Lab{Dir: s.dir}).KnownHostsFile() }

// load reads the state file. A missing one is ErrNotFound.
func (s *session) load() error {
	content, err := os.ReadFile(s.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", lab.ErrNotFound, s.name)
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
	if err := localhost.WriteFile(s.statePath(), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the state of lab %s: %w", s.name, err)
	}
	return nil
}

// firstControlPlane is the last byte of the first control plane's address.
const firstControlPlane = 11

// merge keeps what is recorded of the machines that are there and adds those
// that are asked for beyond them.
func merge(have []*machine, want []lab.Machine) ([]*machine, error) {
	byName := map[string]*machine{}
	var had, names []string
	for _, m := range have {
		byName[m.Name] = m
		had = append(had, m.Name)
	}
	var merged []*machine
	for _, w := range want {
		names = append(names, w.Name)
		m := byName[w.Name]
		if m == nil {
			m = &machine{Name: w.Name, Address: w.Address}
		}
		m.Roles = w.Roles
		merged = append(merged, m)
	}
	return merged, lab.Missed(had, names)
}

// lab is what callers see of the state. It looks at all machines: not while
// work on them is under way.
func (s *session) lab() *lab.Lab {
	l := &lab.Lab{Name: s.name, Dir: s.dir, Subnet: s.state.Subnet}
	for _, m := range s.state.Machines {
		l.Machines = append(l.Machines, lab.Machine{
			Name: m.Name, Roles: slices.Clone(m.Roles), Address: m.Address,
			User: User, IdentityFile: s.identityPath(), State: s.stateOf(m),
		})
	}
	return l
}

func (s *session) stateOf(m *machine) lab.MachineState {
	if s.pidOf(m) != 0 {
		return lab.Running
	}
	if _, err := os.Stat(s.treePath(m)); err != nil {
		return lab.Missing
	}
	return lab.Off
}
