package ssh

import (
	"io"
	"sync"
)

// input is the standard input of a command. A retry reads it from the start. After
// rewind and close, readers of earlier attempts read nothing.
type input struct {
	r      io.Reader
	seeker io.Seeker // nil if the input cannot be read again
	start  int64

	mu      sync.Mutex
	attempt int
}

// newInput returns an empty input if r is nil.
func newInput(r io.Reader) *input {
	in := &input{r: r}
	if seeker, ok := r.(io.Seeker); ok {
		// A pipe is a Seeker too, but its Seek fails.
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			in.seeker, in.start = seeker, start
		}
	}
	return in
}

// reader returns the input for one attempt.
func (in *input) reader() io.Reader {
	if in.r == nil {
		return nil
	}
	if in.seeker == nil {
		return in.r // without a lock: Read may block forever
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return &attemptReader{in: in, attempt: in.attempt}
}

// rewind prepares another attempt. It returns false if the input cannot be read
// again.
func (in *input) rewind() bool {
	if in.r == nil {
		return true
	}
	if in.seeker == nil {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.attempt++
	_, err := in.seeker.Seek(in.start, io.SeekStart)
	return err == nil
}

func (in *input) close() {
	if in.seeker == nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.attempt++
}

type attemptReader struct {
	in      *input
	attempt int
}

func (r *attemptReader) Read(p []byte) (int, error) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.attempt != r.in.attempt {
		return 0, io.EOF
	}
	return r.in.r.Read(p)
}
