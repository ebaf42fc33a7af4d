package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"slipway.io/slipway/provision/localhost"
)

// Hold runs work with the lab of that folder locked and loaded. With create,
// one that is not there yet is an empty folder, in which load finds nothing;
// without, it is ErrNotFound. The lab's name is told with the errors of work.
func Hold(dir string, create bool, load func() error, work func() (*Lab, error)) (*Lab, error) {
	name := filepath.Base(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && !create {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	lock, err := localhost.Acquire(dir + ".lock")
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	defer lock.Release()
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := load(); err != nil && (!create || !errors.Is(err, ErrNotFound)) {
		return nil, err
	}
	l, err := work()
	if err != nil {
		return l, fmt.Errorf("lab %s: %w", name, err)
	}
	return l, nil
}

// Teller tells what happens, one event at a time.
type Teller struct {
	// Tell receives the events; nil discards them.
	Tell func(Event)
	mu   sync.Mutex
}

// Say tells something of a machine, or of the whole lab if that is empty.
func (t *Teller) Say(machine, format string, args ...any) {
	if t.Tell == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Tell(Event{Time: time.Now(), Machine: machine, Message: fmt.Sprintf(format, args...)})
}
