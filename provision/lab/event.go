package lab

import (
	"fmt"
	"sync"
	"time"
)

// Event is one step of the work on a lab.
type Event struct {
	Time time.Time
	// Machine is empty for an event of the whole lab.
	Machine string
	// Message is one line.
	Message string
}

// Logger sends events, one at a time.
type Logger struct {
	// Progress receives the events; nil discards them.
	Progress func(Event)
	mu       sync.Mutex
}

// Logf sends an event of a machine, or of the whole lab if machine is empty.
func (l *Logger) Logf(machine, format string, args ...any) {
	if l.Progress == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Progress(Event{Time: time.Now(), Machine: machine, Message: fmt.Sprintf(format, args...)})
}
