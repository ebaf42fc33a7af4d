package ssh

import (
	"context"
	"errors"
	"net"
	"testing"
)

// never returns an open function that is not answered until the test ends.
func never(t *testing.T) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		<-t.Context().Done()
		return nil, net.ErrClosed
	}
}

func TestAnOpeningChannelEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	c := &conn{lost: make(chan struct{})}
	why := errors.New("no answer for 30s")
	c.cause.Store(&why)
	close(c.lost)
	if _, err := openChannel(t.Context(), c, never(t)); !errors.Is(err, why) {
		t.Errorf("%v, want the reason of the connection", err)
	}
}

func TestAnOpeningChannelEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openChannel(ctx, &conn{lost: make(chan struct{})}, never(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's", err)
	}
}

// closing is a channel that signals when it is closed.
type closing chan struct{}

func (c closing) Close() error { close(c); return nil }

func TestAChannelThatOpensTooLateIsClosed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late, channel := make(chan struct{}), make(closing)
	_, err := openChannel(ctx, &conn{lost: make(chan struct{})}, func() (closing, error) {
		<-late
		return channel, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(late)
	<-channel
}
