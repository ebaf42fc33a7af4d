package hosttest

import (
	"slices"
	"sync"
)

// Changes is a record.Recorder that keeps the recorded changes.
type Changes struct {
	mu           sync.Mutex
	lines, diffs []string
}

// Record keeps one change.
func (c *Changes) Record(message, diff string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines, c.diffs = append(c.lines, message), append(c.diffs, diff)
}

// Lines returns the messages so far, in order.
func (c *Changes) Lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// Diffs returns the diff of each change so far.
func (c *Changes) Diffs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.diffs)
}
