package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
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
	// Progress receives what happens, one call at a time; nil discards it.
	Progress func(Event)
}

// Up makes the lab be there and running: it makes what is missing, boots what
// is off, and changes nothing else. It can be run again after it failed or was
// interrupted. More machines than before are added; fewer are an error. One
// machine that fails does not stop the others, and every failure is told.
func (c Containers) Up(ctx context.Context, spec Spec) (*Lab, error) {
	spec = spec.withDefaults()
	if err := spec.validate(); err != nil {
		return nil, err
	}
	return c.hold(spec.Name, true, func(s *session) (*Lab, error) {
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
		base, err := s.baseIfNeeded(ctx, spec)
		if err != nil {
			return nil, fmt.Errorf("base tree: %w", err)
		}
		err = s.eachMachine(func(m *machine) error {
			if err := s.ensureTree(ctx, base, m, spec.SudoPassword); err != nil {
				return fmt.Errorf("make: %w", err)
			}
			return s.ensureRunning(ctx, m, spec.BootTimeout)
		})
		if err != nil {
			return nil, err
		}
		if err := s.checkMesh(ctx); err != nil {
			return nil, err
		}
		if err := s.writeInventory(spec); err != nil {
			return nil, err
		}
		return s.lab(), nil
	})
}

// Boot starts all machines of a lab that are off, and waits until they answer.
func (c Containers) Boot(ctx context.Context, name string) (*Lab, error) {
	timeout := Spec{}.withDefaults().BootTimeout
	return c.hold(name, false, func(s *session) (*Lab, error) {
		if err := s.ensureBridge(ctx); err != nil {
			return nil, fmt.Errorf("bridge %s: %w", s.state.Bridge, err)
		}
		err := s.eachMachine(func(m *machine) error { return s.ensureRunning(ctx, m, timeout) })
		return s.lab(), err
	})
}

// Halt powers off all machines of a lab, in order, and keeps their disks.
func (c Containers) Halt(ctx context.Context, name string) (*Lab, error) {
	return c.hold(name, false, func(s *session) (*Lab, error) {
		err := s.eachMachine(func(m *machine) error { return s.stop(ctx, m, haltTimeout) })
		return s.lab(), err
	})
}

// Down powers off all machines of a lab and removes all that belongs to it. A
// lab that is not there is down already.
func (c Containers) Down(ctx context.Context, name string) error {
	_, err := c.hold(name, false, func(s *session) (*Lab, error) {
		return nil, s.remove(ctx)
	})
	if !errors.Is(err, ErrNotFound) {
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
// ErrNotFound.
func (c Containers) Status(_ context.Context, name string) (*Lab, error) {
	s, err := c.session(name)
	if err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s.lab(), nil
}

// session is one call's work on one lab.
type session struct {
	name string
	// dir is the lab's own folder, bases the folder of the base trees.
	dir, bases string
	state      state

	mu       sync.Mutex // guards state and progress
	progress func(Event)
}

func (c Containers) session(name string) (*session, error) {
	if !labName.MatchString(name) {
		return nil, fmt.Errorf("lab name %q: not a DNS label of up to 40 characters", name)
	}
	root := c.Dir
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache folder: %w", err)
		}
		root = filepath.Join(cache, "slipway")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	progress := c.Progress
	if progress == nil {
		progress = func(Event) {}
	}
	return &session{
		name:     name,
		dir:      filepath.Join(root, "labs", name),
		bases:    filepath.Join(root, "base"),
		progress: progress,
	}, nil
}

// hold runs work with the lab locked and its state read. With create, a lab
// that is not there yet is an empty one.
func (c Containers) hold(name string, create bool, work func(*session) (*Lab, error)) (*Lab, error) {
	s, err := c.session(name)
	if err != nil {
		return nil, err
	}
	if err := requireRoot(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.dir); errors.Is(err, os.ErrNotExist) && !create {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	lock, err := acquire(s.dir + ".lock")
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	defer lock.release()
	if create {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := s.load(); err != nil && (!create || !errors.Is(err, ErrNotFound)) {
		return nil, err
	}
	lab, err := work(s)
	if err != nil {
		return lab, fmt.Errorf("lab %s: %w", name, err)
	}
	return lab, nil
}

// eachMachine runs work on all machines at once, waits for all, and tells
// every error with its machine's name.
func (s *session) eachMachine(work func(*machine) error) error {
	errs := make([]error, len(s.state.Machines))
	var running sync.WaitGroup
	for i, m := range s.state.Machines {
		running.Go(func() {
			if err := work(m); err != nil {
				errs[i] = fmt.Errorf("%s: %w", m.Name, err)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func (s *session) say(machine, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress(Event{Time: time.Now(), Machine: machine, Message: fmt.Sprintf(format, args...)})
}
