package report

import (
	"slices"
	"sync"
)

// Recorder is a sink that keeps what it receives, for HTML, Timeline and Plan.
// Its zero value is ready.
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

// Events returns what was received so far, in that order.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Multi returns a sink that gives each event to all of sinks, in their order.
func Multi(sinks ...Sink) Sink {
	return SinkFunc(func(e Event) {
		for _, sink := range sinks {
			sink.Event(e)
		}
	})
}
