// Package contextio reads streams that end with a context.
package contextio

import (
	"context"
	"io"
)

type reader struct {
	ctx context.Context
	r   io.Reader
}

// NewReader reads from r until ctx is done; each later Read returns the context's error. A Read that already blocks in r
// is not interrupted.
func NewReader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx: ctx, r: r} }

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
