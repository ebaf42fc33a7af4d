package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress writes a line for each step, with the time since the start.
type progress struct {
	start time.Time
	mu    sync.Mutex
	w     io.Writer
}

func newProgress(w io.Writer) *progress { return &progress{start: time.Now(), w: w} }

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%7.1fs  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}
