package report

import (
	"slices"
	"sync"
)

// Recorder is a sink that keeps events for HTML, Timeline and Plan. The zero value
// is ready to use.
type Recorder struct {
	mu     sync.Mutex
	events []Event
}

// Event keeps e.
func (r *Recorder) Event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events returns the events so far, in order.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Multi returns a sink that passes each event to all sinks in order.
func Multi(sinks ...Sink) Sink {
	return SinkFunc(func(e Event) {
		for _, sink := range sinks {
			sink.Event(e)
		}
	})
}
