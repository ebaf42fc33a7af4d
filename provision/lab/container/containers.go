// Package container makes labs of systemd-nspawn machine containers: a Debian
// tree with a real systemd and a real sshd for each, on a bridge that leads
// nowhere else. Everything that it makes on the outer machine (the one it runs
// on) is written to the lab's state file first, so that Down undoes that and no
// more, also after a crash half-way.
package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"slipway.io/slipway/provision/lab"
)

// Containers makes labs of systemd-nspawn machine containers. It needs Linux
// and root.
type Containers struct {
	// Dir holds the labs and the cached base trees; default: slipway in the
	// user's cache folder. It must be on a real file system, not on overlayfs,
	// since containerd's snapshots are laid over it.
	Dir string
	// InstallMissing installs the Debian packages that this needs on the outer
	// machine. Otherwise a missing one is an error.
	InstallMissing bool
	// Suite is the Debian release; default bookworm.
	Suite string
	// Mirror is where debootstrap gets packages; default: the one that apt of
	// the outer machine has for the suite.
	Mirror string
	// SudoPassword makes sudo ask for this password. Empty: sudo asks nothing.
	// It is only looked at when a machine is made.
	SudoPassword string
	// Progress receives what happens, one call at a time; nil discards it.
	Progress func(lab.Event)
}

var _ lab.Provider = Containers{}

// User is the login on every machine.
const User = "slipway"

// bootTimeout is how long one machine may take until it answers and all its
// units are up.
const bootTimeout = 2 * time.Minute

// Up makes the lab be there and running: it makes what is missing, boots what
// is off, and changes nothing else. It can be run again after it failed or was
// interrupted. More machines than before are added; fewer are an error. One
// machine that fails does not stop the others, and every failure is told.
func (c Containers) Up(ctx context.Context, spec lab.Spec) (*lab.Lab, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	return c.hold(spec.Name, true, func(s *session) (*lab.Lab, error) {
		if err := s.ensureTools(ctx, c.InstallMissing); err != nil {
			return nil, err
		}
		if err := s.plan(ctx, spec); err != nil {
			return nil, err
		}
		// The bridge comes before what takes long: its route keeps others off
		// the subnet.
		if err := s.ensureBridge(ctx); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", s.state.Bridge, err)
		}
		if err := s.keepSysctls(); err != nil {
			return nil, err
		}
		if err := s.ensureKeys(); err != nil {
			return nil, err
		}
		base, err := s.baseIfNeeded(ctx, c.suite(), c.Mirror)
		if err != nil {
			return nil, fmt.Errorf("base tree: %w", err)
		}
		err = s.eachMachine(func(m *machine) error {
			if err := s.ensureTree(ctx, base, m, c.SudoPassword); err != nil {
				return fmt.Errorf("make: %w", err)
			}
			return s.ensureRunning(ctx, m, bootTimeout)
		})
		if err != nil {
			return nil, err
		}
		if err := s.checkMesh(ctx); err != nil {
			return nil, err
		}
		l := s.lab()
		shared, err := sharedKernel()
		if err != nil {
			return nil, err
		}
		return l, lab.WriteInventory(l, spec, shared)
	})
}

// Boot starts all machines of a lab that are off, and waits until they answer.
func (c Containers) Boot(ctx context.Context, name string) (*lab.Lab, error) {
	return c.hold(name, false, func(s *session) (*lab.Lab, error) {
		if err := s.ensureBridge(ctx); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", s.state.Bridge, err)
		}
		err := s.eachMachine(func(m *machine) error { return s.ensureRunning(ctx, m, bootTimeout) })
		return s.lab(), err
	})
}

// Halt powers off all machines of a lab, in order, and keeps their disks.
func (c Containers) Halt(ctx context.Context, name string) (*lab.Lab, error) {
	return c.hold(name, false, func(s *session) (*lab.Lab, error) {
		err := s.eachMachine(func(m *machine) error { return s.stop(ctx, m, haltTimeout) })
		return s.lab(), err
	})
}

// Down powers off all machines of a lab and removes all that belongs to it. A
// lab that is not there is down already.
func (c Containers) Down(ctx context.Context, name string) error {
	_, err := c.hold(name, false, func(s *session) (*lab.Lab, error) {
		return nil, s.remove(ctx)
	})
	if !errors.Is(err, lab.ErrNotFound) {
		return err
	}
	// A crash before the first record leaves an empty folder; one with anything
	// in it is not the lab's, and stays.
	if s, err := c.session(name); err == nil {
		_ = os.Remove(s.dir)
	}
	return nil
}

// Status reads what is there, without a lock. A lab that is not there is
// lab.ErrNotFound.
func (c Containers) Status(_ context.Context, name string) (*lab.Lab, error) {
	s, err := c.session(name)
	if err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s.lab(), nil
}

// Find is Status, which asks no machine anything.
func (c Containers) Find(ctx context.Context, name string) (*lab.Lab, error) {
	return c.Status(ctx, name)
}

// session is one call's work on one lab.
type session struct {
	name string
	// dir is the lab's own folder, bases the folder of the base trees.
	dir, bases string
	state      state

	mu sync.Mutex // guards state
	lab.Teller
}

func (c Containers) session(name string) (*session, error) {
	root, err := lab.Root(c.Dir)
	if err != nil {
		return nil, err
	}
	dir, err := lab.Folder(root, name)
	if err != nil {
		return nil, err
	}
	return &session{
		name:   name,
		dir:    dir,
		bases:  filepath.Join(root, "base"),
		Teller: lab.Teller{Tell: c.Progress},
	}, nil
}

// hold runs work with the lab locked and its state read. With create, a lab
// that is not there yet is an empty one.
func (c Containers) hold(name string, create bool, work func(*session) (*lab.Lab, error)) (*lab.Lab, error) {
	s, err := c.session(name)
	if err != nil {
		return nil, err
	}
	if err := requireRoot(); err != nil {
		return nil, err
	}
	return lab.Hold(s.dir, create, s.load, func() (*lab.Lab, error) { return work(s) })
}

func (c Containers) suite() string {
	if c.Suite == "" {
		return "bookworm"
	}
	return c.Suite
}

// eachMachine runs work on all machines at once, waits for all, and tells
// every error with its machine's name.
func (s *session) eachMachine(work func(*machine) error) error {
	return lab.Each(s.state.Machines, func(m *machine) error {
		if err := work(m); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		return nil
	})
}
