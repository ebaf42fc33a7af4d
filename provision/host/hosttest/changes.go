package hosttest

import (
	"fmt"
	"slices"
	"sync"
)

// Changes is a record.Recorder that keeps the recorded changes.
type Changes struct {
	mu    sync.Mutex
	lines []string
}

// Changed keeps one change.
func (c *Changes) Changed(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

// Lines returns the changes so far, in order.
func (c *Changes) Lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}
