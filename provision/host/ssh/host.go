// Package ssh is a machine that answers SSH: a host.Host over one connection
// with one SFTP client and a bounded number of sessions, which is made again
// when it breaks.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"slipway.io/slipway/provision/host"
)

// Host is a machine behind an SSH connection. It is safe for concurrent use.
type Host struct {
	options Options
	rights  rights

	// turn is held while connecting, so that many callers make one connection.
	turn chan struct{}

	mu     sync.Mutex
	conn   *conn
	closed bool
}

var (
	_ host.Host   = (*Host)(nil)
	_ host.Dialer = (*Host)(nil)
)

// Dial connects to a machine. Errors are a *host.HostKeyError, or wrap
// host.ErrUnreachable, host.ErrAuth or the context's error. Close the Host
// when it is not needed any more.
func Dial(ctx context.Context, o Options) (*Host, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	h := &Host{options: o, turn: make(chan struct{}, 1)}
	h.rights.turn = make(chan struct{}, 1)
	if _, err := h.connection(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// String is the host's name in the inventory.
func (h *Host) String() string { return h.options.Name }

// Close ends the connection. Commands that still run end with an error.
func (h *Host) Close() error {
	h.mu.Lock()
	c := h.conn
	h.conn, h.closed = nil, true
	h.mu.Unlock()
	c.close()
	return nil
}

// DialContext connects from the machine to addr, as ssh -L does.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var out net.Conn
	err := h.again(ctx, func(c *conn) error {
		var err error
		out, err = c.dial(ctx, network, addr)
		return c.asLost(err, false)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: dial %s: %w", h, addr, err)
	}
	return withDeadlines(out), nil
}

// connection gives the live connection, or makes one.
func (h *Host) connection(ctx context.Context) (*conn, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", h, ctx.Err())
	}
	h.mu.Lock()
	c, closed := h.conn, h.closed
	h.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("%s: %w", h, net.ErrClosed)
	}
	if c != nil && !c.isLost() {
		return c, nil
	}
	c.close()
	fresh, err := dial(ctx, h.options)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		fresh.close()
		return nil, fmt.Errorf("%s: %w", h, net.ErrClosed)
	}
	h.conn = fresh
	return fresh, nil
}

// again does something that may safely be done twice: if the connection breaks
// meanwhile, it is made again, once.
func (h *Host) again(ctx context.Context, do func(*conn) error) error {
	for try := 1; ; try++ {
		c, err := h.connection(ctx)
		if err != nil {
			return err
		}
		err = do(c)
		var lost *lostError
		switch {
		case !errors.As(err, &lost):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case try > 1:
			return fmt.Errorf("%w: %w", host.ErrUnreachable, err)
		}
	}
}
