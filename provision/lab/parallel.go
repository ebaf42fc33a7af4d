package lab

import (
	"errors"
	"sync"
)

// Each runs work for all items in parallel, waits for all, and joins their
// errors.
func Each[T any](items []T, work func(T) error) error {
	errs := make([]error, len(items))
	var running sync.WaitGroup
	for i, item := range items {
		running.Go(func() { errs[i] = work(item) })
	}
	running.Wait()
	return errors.Join(errs...)
}
