package vagrant

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/lab"
)

// Vagrant's names of states. Each provider has others for machines that are off.
const (
	stateRunning    = "running"
	stateNotCreated = "not_created"
)

func stateOf(state string) lab.MachineState {
	switch state {
	case "":
		return ""
	case stateRunning:
		return lab.Running
	case stateNotCreated:
		return lab.Missing
	}
	return lab.Off
}

// states reads the state of each machine.
func (s *session) states(ctx context.Context) (map[string]string, error) {
	lines, err := s.run(ctx, false, "status")
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, t := range lines {
		if t.Type == "state" && len(t.Data) > 0 {
			states[t.Target] = t.Data[0]
		}
	}
	return states, nil
}

// status is the lab with the current state of its machines.
func (s *session) status(ctx context.Context) (*lab.Lab, error) {
	states, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	return s.lab(states), nil
}

// ensureRunning creates and boots the named machines that do not run, and waits until
// they answer. Without names, it does so for all machines.
func (s *session) ensureRunning(ctx context.Context, names ...string) (*lab.Lab, error) {
	if _, err := s.lab(nil).Named(names...); err != nil {
		return nil, err
	}
	states, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	var machines []*machine
	var off []string
	for i := range s.settings.Machines {
		m := &s.settings.Machines[i]
		if len(names) > 0 && !slices.Contains(names, m.Name) {
			continue
		}
		machines = append(machines, m)
		if states[m.Name] == stateNotCreated {
			// A new machine has another key and another login.
			m.User, m.IdentityFile = "", ""
		}
		if states[m.Name] != stateRunning {
			off = append(off, m.Name)
		}
	}
	if len(off) > 0 {
		if _, err := s.run(ctx, true, append([]string{"up", "--no-provision", "--provider", s.settings.Provider}, off...)...); err != nil {
			return nil, s.notUp(ctx, err)
		}
	}
	if err := s.identify(ctx, machines); err != nil {
		return nil, err
	}
	for _, m := range off {
		states[m] = stateRunning
	}
	return s.lab(states), nil
}

// notUp adds the machines that do not run to an error.
func (s *session) notUp(ctx context.Context, cause error) error {
	states, err := s.states(ctx)
	if err != nil {
		return cause
	}
	var down []string
	for _, m := range s.settings.Machines {
		if states[m.Name] != stateRunning {
			down = append(down, fmt.Sprintf("%s is %s", m.Name, states[m.Name]))
		}
	}
	if len(down) == 0 {
		return cause
	}
	return fmt.Errorf("%s: %w", strings.Join(down, ", "), cause)
}
