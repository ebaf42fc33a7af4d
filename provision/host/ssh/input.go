package ssh

import (
	"io"
	"sync"
)

// input is a command's standard input, which may have to be given twice. A
// session that is slow to end may go on reading: after rewind and close it gets
// nothing any more.
type input struct {
	r      io.Reader
	seeker io.Seeker // nil: it can be given only once
	start  int64

	mu    sync.Mutex
	round int
}

// newInput takes nil for an empty one.
func newInput(r io.Reader) *input {
	in := &input{r: r}
	if seeker, ok := r.(io.Seeker); ok {
		// A pipe is a Seeker too, but fails.
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			in.seeker, in.start = seeker, start
		}
	}
	return in
}

// reader is for one round.
func (in *input) reader() io.Reader {
	if in.r == nil {
		return nil
	}
	if in.seeker == nil {
		return in.r // It may block for ever in Read: never wait for it.
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return &roundReader{in: in, round: in.round}
}

// rewind begins another round. It says whether it could.
func (in *input) rewind() bool {
	if in.r == nil {
		return true
	}
	if in.seeker == nil {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.round++
	_, err := in.seeker.Seek(in.start, io.SeekStart)
	return err == nil
}

func (in *input) close() {
	if in.seeker == nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.round++
}

type roundReader struct {
	in    *input
	round int
}

func (r *roundReader) Read(p []byte) (int, error) {
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	if r.round != r.in.round {
		return 0, io.EOF
	}
	return r.in.r.Read(p)
}
