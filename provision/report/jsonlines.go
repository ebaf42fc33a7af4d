package report

import (
	"encoding/json"
	"io"
	"sync"
)

// JSON returns a sink that writes each event as one JSON object on a line, as
// described by event.schema.json. Later versions may add fields.
func JSON(w io.Writer) SinkCloser {
	encoder := json.NewEncoder(w)
	// For people who read it: < stays <.
	encoder.SetEscapeHTML(false)
	return &jsonLines{encoder: encoder}
}

type jsonLines struct {
	mu      sync.Mutex
	encoder *json.Encoder
	err     error
}

func (j *jsonLines) Event(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.encoder.Encode(e); err != nil && j.err == nil {
		j.err = err
	}
}

func (j *jsonLines) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}
