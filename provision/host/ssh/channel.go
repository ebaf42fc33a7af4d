package ssh

import (
	"context"
	"io"
	"net"
)

// openChannel opens a channel of the connection. It returns when the context or
// the connection ends. x/crypto/ssh blocks forever if a channel is opened just
// after the reader of the connection has ended (mux.openChannel, mux.loop; see also
// canonical/spread#226).
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

// dial connects from the host to addr, as ssh -L does.
func (c *conn) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return openChannel(ctx, c, func() (net.Conn, error) { return c.client.Dial(network, addr) })
}
