package ssh

import (
	"context"
	"io"
	"net"
)

// openChannel opens a channel of the connection, and ends with the context or
// with the connection. x/crypto/ssh does not end with the latter: a channel that
// is opened when the reader of the connection has just ended is closed by nobody
// (mux.openChannel, mux.loop; canonical/spread#226 has met it too).
func openChannel[C io.Closer](ctx context.Context, c *conn, open func() (C, error)) (C, error) {
	type opened struct {
		channel C
		err     error
	}
	result := make(chan opened, 1)
	go func() {
		channel, err := open()
		result <- opened{channel, err}
	}()
	closeLate := func() {
		if r := <-result; r.err == nil {
			_ = r.channel.Close()
		}
	}
	var none C
	select {
	case r := <-result:
		return r.channel, r.err
	case <-ctx.Done():
		go closeLate()
		return none, ctx.Err()
	case <-c.lost:
		go closeLate()
		return none, c.reason(net.ErrClosed)
	}
}

// dial connects from the machine to addr, as ssh -L does.
func (c *conn) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return openChannel(ctx, c, func() (net.Conn, error) { return c.client.Dial(network, addr) })
}
