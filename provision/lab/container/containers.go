// Package container creates labs of machine containers: systemd-nspawn containers
// with a Debian tree, systemd and sshd, on a bridge without a way out. Everything
// that it creates on localhost is recorded in the lab's state file first. Down
// deletes exactly that, also after a crash.
package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"slipway.io/slipway/provision/lab"
)

// Containers creates labs of machine containers. It needs Linux and root.
type Containers struct {
	// Dir contains the labs and the cached base trees; default: slipway in the
	// user's cache directory. It must not be on overlayfs, on which containerd cannot
	// mount its snapshots.
	Dir string
	// InstallMissing installs missing Debian packages on localhost. Otherwise they
	// are an error.
	InstallMissing bool
	// Suite is the Debian release; default bookworm.
	Suite string
	// Mirror is the source of packages for debootstrap; default: the one that apt
	// on localhost has for the suite.
	Mirror string
	// Program is the path of slipway, which serves the packages of highly available
	// labs; default: this program.
	Program string
	// SudoPassword is the password for sudo on new machines; empty: sudo needs none.
	SudoPassword string
	// Progress receives the events, one at a time; nil discards them.
	Progress func(lab.Event)
}

var _ lab.Provider = Containers{}

// User is the login on every machine.
const User = "slipway"

// bootTimeout is how long one machine may take until it answers and all its
// units are up.
const bootTimeout = 2 * time.Minute

// Up creates the machines that are missing, boots those that are off, and changes
// nothing else. Fewer machines than before are an error. If a machine fails, the
// others continue; the error has all failures.
func (c Containers) Up(ctx context.Context, spec lab.Spec) (*lab.Lab, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	return c.withLock(spec.Name, true, func(s *session) (*lab.Lab, error) {
		if err := s.ensureTools(ctx, c.InstallMissing); err != nil {
			return nil, err
		}
		if err := s.plan(ctx, spec); err != nil {
			return nil, err
		}
		// The bridge comes before the slow steps: its route reserves the subnet.
		if err := s.ensureBridge(ctx); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", s.state.Bridge, err)
		}
		if err := s.saveSysctls(); err != nil {
			return nil, err
		}
		if err := s.ensureKeys(); err != nil {
			return nil, err
		}
		base, err := c.baseIfNeeded(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("base tree: %w", err)
		}
		if err := c.ensureRepository(ctx, s); err != nil {
			return nil, err
		}
		err = s.eachMachine(func(m *machine) error {
			if err := s.ensureTree(ctx, base, m, c.SudoPassword); err != nil {
				return fmt.Errorf("create: %w", err)
			}
			return s.ensureRunning(ctx, m, bootTimeout)
		})
		if err != nil {
			return nil, err
		}
		if err := s.checkBridge(ctx); err != nil {
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

// Boot boots machines of a lab that are off, and waits until they answer.
func (c Containers) Boot(ctx context.Context, name string, machines ...string) (*lab.Lab, error) {
	return c.withLock(name, false, func(s *session) (*lab.Lab, error) {
		if _, err := s.lab().Named(machines...); err != nil {
			return nil, err
		}
		if err := s.ensureBridge(ctx); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", s.state.Bridge, err)
		}
		if err := c.ensureRepository(ctx, s); err != nil {
			return nil, err
		}
		err := s.eachMachine(func(m *machine) error { return s.ensureRunning(ctx, m, bootTimeout) }, machines...)
		return s.lab(), err
	})
}

// Halt powers machines of a lab off and keeps their disks.
func (c Containers) Halt(ctx context.Context, name string, options lab.HaltOptions) (*lab.Lab, error) {
	return c.withLock(name, false, func(s *session) (*lab.Lab, error) {
		if _, err := s.lab().Named(options.Machines...); err != nil {
			return nil, err
		}
		err := s.eachMachine(func(m *machine) error {
			if options.Force {
				return s.cutPower(ctx, m)
			}
			return s.stop(ctx, m, haltTimeout)
		}, options.Machines...)
		if err == nil && !slices.ContainsFunc(s.state.Machines, func(m *machine) bool { return s.pidOf(m) != 0 }) {
			err = s.stopRepository(ctx)
		}
		return s.lab(), err
	})
}

// Down deletes a lab. One that does not exist is no error.
func (c Containers) Down(ctx context.Context, name string) error {
	_, err := c.withLock(name, false, func(s *session) (*lab.Lab, error) {
		return nil, s.remove(ctx)
	})
	if !errors.Is(err, lab.ErrNotFound) {
		return err
	}
	// A crash before the first record leaves an empty directory. Any other directory is
	// not a lab, and stays.
	if s, err := c.session(name); err == nil {
		_ = os.Remove(s.dir)
	}
	return nil
}

// Status returns a lab with the current state of its machines. It takes no lock.
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

// Find is Status, which connects to no machine.
func (c Containers) Find(ctx context.Context, name string) (*lab.Lab, error) {
	return c.Status(ctx, name)
}

// session is one operation on one lab.
type session struct {
	name string
	// dir is the directory of the lab. bases and repositories are the directories of
	// the base trees and of the package repositories, which all labs share.
	dir, bases, repositories string
	state                    state

	mu sync.Mutex // guards state
	lab.Logger
}

func (c Containers) session(name string) (*session, error) {
	root, err := lab.Root(c.Dir)
	if err != nil {
		return nil, err
	}
	dir, err := lab.Dir(root, name)
	if err != nil {
		return nil, err
	}
	return &session{
		name:         name,
		dir:          dir,
		bases:        filepath.Join(root, "base"),
		repositories: filepath.Join(root, "packages"),
		Logger:       lab.Logger{Progress: c.Progress},
	}, nil
}

// withLock runs work while the lab is locked. With create, the lab may be new.
func (c Containers) withLock(name string, create bool, work func(*session) (*lab.Lab, error)) (*lab.Lab, error) {
	s, err := c.session(name)
	if err != nil {
		return nil, err
	}
	if err := requireRoot(); err != nil {
		return nil, err
	}
	return lab.WithLock(s.dir, create, s.load, func() (*lab.Lab, error) { return work(s) })
}

func (c Containers) suite() string {
	if c.Suite == "" {
		return "bookworm"
	}
	return c.Suite
}

// eachMachine runs work for the named machines in parallel, and adds the machine's name
// to each error. Without names, it does so for all machines.
func (s *session) eachMachine(work func(*machine) error, names ...string) error {
	return lab.Each(s.state.Machines, func(m *machine) error {
		if len(names) > 0 && !slices.Contains(names, m.Name) {
			return nil
		}
		if err := work(m); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		return nil
	})
}
