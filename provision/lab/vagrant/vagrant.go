// Package vagrant makes labs of virtual machines by Vagrant: with VirtualBox,
// libvirt, VMware or Parallels, from the boxes of several distributions. The
// lab's folder has the Vagrantfile, so that every command of Vagrant works
// there too.
package vagrant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"slipway.io/slipway/provision/lab"
)

// Vagrant makes labs by Vagrant. What is zero is a default for a lab that is
// not there yet, and what it has for one that is.
type Vagrant struct {
	// Dir holds the labs; default: slipway in the user's cache folder.
	Dir string
	// Provider is one of Providers; default virtualbox.
	Provider string
	// Box is one of Boxes or any other box's name; default debian-13.
	// BoxVersion is one version of it; default the newest.
	Box, BoxVersion string
	// CPUs and MemoryMiB are those of each machine; default 2 and 2048.
	CPUs, MemoryMiB int
	// Progress receives what happens, one call at a time; nil discards it.
	Progress func(lab.Event)
	// Program is Vagrant; default: the one that is found in PATH.
	Program string
}

var _ lab.Provider = Vagrant{}

// Has says whether the lab of that name is one of Vagrant's.
func (v Vagrant) Has(name string) bool {
	dir, err := lab.Folder(v.Dir, name)
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, settingsName))
	return err == nil
}

// Up makes the lab be there and running, and changes nothing if it is. More
// machines than before are added; fewer are an error. Vagrant starts the
// machines at once where its provider can.
func (v Vagrant) Up(ctx context.Context, spec lab.Spec) (*lab.Lab, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	return v.hold(spec.Name, true, func(s *session) (*lab.Lab, error) {
		want, err := v.merge(s.settings, spec)
		if err != nil {
			return nil, err
		}
		s.settings = want
		if err := s.settings.write(s.dir); err != nil {
			return nil, err
		}
		l, err := s.ensureRunning(ctx)
		if err != nil {
			return nil, err
		}
		return l, lab.WriteInventory(l, spec, nil)
	})
}

// Boot starts the machines that are off.
func (v Vagrant) Boot(ctx context.Context, name string) (*lab.Lab, error) {
	return v.hold(name, false, func(s *session) (*lab.Lab, error) { return s.ensureRunning(ctx) })
}

// Halt powers all machines off, in order, and keeps their disks.
func (v Vagrant) Halt(ctx context.Context, name string) (*lab.Lab, error) {
	return v.hold(name, false, func(s *session) (*lab.Lab, error) {
		if _, err := s.run(ctx, true, "halt"); err != nil {
			return nil, err
		}
		return s.look(ctx)
	})
}

// Down destroys the machines and removes the lab's folder.
func (v Vagrant) Down(ctx context.Context, name string) error {
	_, err := v.hold(name, false, func(s *session) (*lab.Lab, error) {
		if _, err := s.run(ctx, true, "destroy", "--force"); err != nil {
			return nil, err
		}
		return nil, os.RemoveAll(s.dir)
	})
	if errors.Is(err, lab.ErrNotFound) {
		return nil
	}
	return err
}

// Status asks Vagrant what the machines do.
func (v Vagrant) Status(ctx context.Context, name string) (*lab.Lab, error) {
	s, err := v.open(name)
	if err != nil {
		return nil, err
	}
	return s.look(ctx)
}

// Find reads what was recorded.
func (v Vagrant) Find(_ context.Context, name string) (*lab.Lab, error) {
	s, err := v.open(name)
	if err != nil {
		return nil, err
	}
	return s.lab(nil), nil
}

// session is one call's work on one lab.
type session struct {
	name, dir, program string
	settings           settings
	lab.Teller
}

// session of a lab that may not be there yet.
func (v Vagrant) session(name string) (*session, error) {
	dir, err := lab.Folder(v.Dir, name)
	if err != nil {
		return nil, err
	}
	program := v.Program
	if program == "" {
		program = "vagrant"
	}
	if _, err := exec.LookPath(program); err != nil {
		return nil, fmt.Errorf("vagrant is not installed: https://developer.hashicorp.com/vagrant/install: %w", err)
	}
	return &session{name: name, dir: dir, program: program, Teller: lab.Teller{Tell: v.Progress}}, nil
}

// open reads a lab that is there.
func (v Vagrant) open(name string) (*session, error) {
	s, err := v.session(name)
	if err != nil {
		return nil, err
	}
	return s, s.load()
}

// hold runs work with the lab locked and its settings read. With create, a lab
// that is not there yet is an empty one.
func (v Vagrant) hold(name string, create bool, work func(*session) (*lab.Lab, error)) (*lab.Lab, error) {
	s, err := v.session(name)
	if err != nil {
		return nil, err
	}
	return lab.Hold(s.dir, create, s.load, func() (*lab.Lab, error) { return work(s) })
}

func (s *session) load() (err error) {
	s.settings, err = readSettings(s.dir)
	return err
}

// lab is what callers see, with the states that Vagrant told.
func (s *session) lab(states map[string]string) *lab.Lab {
	l := &lab.Lab{Name: s.name, Dir: s.dir, Subnet: s.settings.Network}
	for _, m := range s.settings.Machines {
		l.Machines = append(l.Machines, lab.Machine{
			Name: m.Name, Roles: m.Roles, Address: m.Address,
			User: m.User, IdentityFile: m.IdentityFile, State: stateOf(states[m.Name]),
		})
	}
	return l
}
