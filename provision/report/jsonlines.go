package report

import (
	_ "embed"
	"encoding/json"
	"io"
	"slices"
	"sync"
)

//go:embed event.schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of one line that JSON writes.
func Schema() []byte { return slices.Clone(schema) }

// JSON returns a sink that writes each event as one JSON object on a line.
// Fields may be added in later versions; those of Schema stay.
func JSON(w io.Writer) SinkCloser {
	encoder := json.NewEncoder(w)
	// People read this too, and nobody puts it into a web page.
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
