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

// state records what a lab creates on localhost, so that Down can delete it.
// Everything is recorded before it is created, until after it is deleted.
type state struct {
	Version int          `json:"version"`
	Subnet  netip.Prefix `json:"subnet"`
	// Bridge is the name of the lab's bridge.
	Bridge string `json:"bridge"`
	// Endpoint is that of lab.Lab.
	Endpoint netip.Addr `json:"endpoint,omitzero"`
	// Repository is nil without an endpoint.
	Repository *repository `json:"repository,omitempty"`
	Machines   []*machine  `json:"machines"`
}

// machine is the record of a lab.Machine.
type machine struct {
	Name    string        `json:"name"`
	Roles   []config.Role `json:"roles"`
	Address netip.Addr    `json:"address"`
	// Process runs the machine; nil if it is off.
	Process *process `json:"process,omitempty"`
	// Cgroups are the directories of the machine's cgroups.
	Cgroups []string `json:"cgroups,omitempty"`
	// Ready reports that the machine was up once.
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

// load reads the state file. A missing one is lab.ErrNotFound.
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
		return fmt.Errorf("%s has version %d, this slipway supports %d: use the slipway that created the lab", s.statePath(), st.Version, stateVersion)
	}
	s.state = st
	return nil
}

// record changes the state and saves it.
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

// layout has the addresses of machines.
var layout = lab.Layout{ControlPlane: func(i int) int { return firstControlPlane + i }}

// merge keeps the records of existing machines and adds the missing ones of the
// spec.
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
	return merged, lab.CheckNoneRemoved(had, names)
}

// lab returns the lab with the current state of its machines. Do not call it while
// machines change.
func (s *session) lab() *lab.Lab {
	l := &lab.Lab{Name: s.name, Dir: s.dir, Subnet: s.state.Subnet, Endpoint: s.state.Endpoint}
	for _, m := range s.state.Machines {
		l.Machines = append(l.Machines, s.machine(m))
		l.Machines[len(l.Machines)-1].State = s.stateOf(m)
	}
	return l
}

// machine returns a machine without its state.
func (s *session) machine(m *machine) lab.Machine {
	return lab.Machine{
		Name: m.Name, Roles: slices.Clone(m.Roles), Address: m.Address, User: User, IdentityFile: s.identityPath(),
	}
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
