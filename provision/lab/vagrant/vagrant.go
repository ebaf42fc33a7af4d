// Package vagrant creates labs of virtual machines with Vagrant, on VirtualBox,
// libvirt, VMware or Parallels. Vagrant's own commands work in the lab's directory too:
// it has the Vagrantfile.
package vagrant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"slipway.io/slipway/provision/lab"
)

// Vagrant creates labs of virtual machines. A field that is zero has its default in a
// new lab, and keeps its value in an existing one.
type Vagrant struct {
	// Dir contains the labs; default: slipway in the user's cache directory.
	Dir string
	// Provider is one of Providers; default virtualbox.
	Provider string
	// Box is one of Boxes or the full name of a box; default DefaultBox.
	// BoxVersion is the version of the box; default the newest.
	Box, BoxVersion string
	// Arch is the architecture of the machines: that of the computer, which is the
	// default.
	Arch string
	// CPUs and MemoryMiB of each machine; default 2 and 2048.
	CPUs, MemoryMiB int
	// Progress receives the events, one at a time; nil discards them.
	Progress func(lab.Event)
	// Program is the path of Vagrant; default: the one in PATH.
	Program string
}

var _ lab.Provider = Vagrant{}

func (v Vagrant) arch() string { return cmp.Or(v.Arch, runtime.GOARCH) }

// Has reports whether a lab exists and is one of Vagrant's.
func (v Vagrant) Has(name string) bool {
	dir, err := lab.Dir(v.Dir, name)
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, settingsName))
	return err == nil
}

// Up creates the machines that are missing, boots those that are off, and changes
// nothing else. Fewer machines than before are an error.
func (v Vagrant) Up(ctx context.Context, spec lab.Spec) (*lab.Lab, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	return v.withLock(spec.Name, true, func(s *session) (*lab.Lab, error) {
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

// Boot boots machines that are off, and waits until they answer.
func (v Vagrant) Boot(ctx context.Context, name string, machines ...string) (*lab.Lab, error) {
	return v.withLock(name, false, func(s *session) (*lab.Lab, error) { return s.ensureRunning(ctx, machines...) })
}

// Halt powers machines off and keeps their disks.
func (v Vagrant) Halt(ctx context.Context, name string, options lab.HaltOptions) (*lab.Lab, error) {
	return v.withLock(name, false, func(s *session) (*lab.Lab, error) {
		if _, err := s.lab(nil).Named(options.Machines...); err != nil {
			return nil, err
		}
		args := []string{"halt"}
		if options.Force {
			args = append(args, "--force")
		}
		if _, err := s.run(ctx, true, append(args, options.Machines...)...); err != nil {
			return nil, err
		}
		return s.status(ctx)
	})
}

// Down deletes the machines and the lab's directory. A lab that does not exist is no
// error.
func (v Vagrant) Down(ctx context.Context, name string) error {
	_, err := v.withLock(name, false, func(s *session) (*lab.Lab, error) {
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

// Status returns a lab with the current state of its machines.
func (v Vagrant) Status(ctx context.Context, name string) (*lab.Lab, error) {
	s, err := v.open(name)
	if err != nil {
		return nil, err
	}
	return s.status(ctx)
}

// Find returns a lab without the state of its machines.
func (v Vagrant) Find(_ context.Context, name string) (*lab.Lab, error) {
	s, err := v.open(name)
	if err != nil {
		return nil, err
	}
	return s.lab(nil), nil
}

// session is one operation on one lab.
type session struct {
	name, dir, program string
	settings           settings
	lab.Logger
}

// session of a lab that may not exist.
func (v Vagrant) session(name string) (*session, error) {
	dir, err := lab.Dir(v.Dir, name)
	if err != nil {
		return nil, err
	}
	program := v.Program
	if program == "" {
		program = "vagrant"
	}
	if _, err := exec.LookPath(program); err != nil {
		return nil, fmt.Errorf("vagrant is not installed (https://developer.hashicorp.com/vagrant/install): %w", err)
	}
	return &session{name: name, dir: dir, program: program, Logger: lab.Logger{Progress: v.Progress}}, nil
}

// open loads a lab.
func (v Vagrant) open(name string) (*session, error) {
	s, err := v.session(name)
	if err != nil {
		return nil, err
	}
	return s, s.load()
}

// withLock runs work while the lab is locked. With create, the lab may be new.
func (v Vagrant) withLock(name string, create bool, work func(*session) (*lab.Lab, error)) (*lab.Lab, error) {
	s, err := v.session(name)
	if err != nil {
		return nil, err
	}
	return lab.WithLock(s.dir, create, s.load, func() (*lab.Lab, error) { return work(s) })
}

func (s *session) load() (err error) {
	s.settings, err = readSettings(s.dir)
	return err
}

// lab returns the lab with the states from Vagrant.
func (s *session) lab(states map[string]string) *lab.Lab {
	l := &lab.Lab{Name: s.name, Dir: s.dir, Subnet: s.settings.Network, Endpoint: s.settings.Endpoint}
	for _, m := range s.settings.Machines {
		machine := m.lab()
		machine.Roles, machine.State = m.Roles, stateOf(states[m.Name])
		l.Machines = append(l.Machines, machine)
	}
	return l
}
