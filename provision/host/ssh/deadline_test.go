package ssh

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

func TestForwardedConnectionsHaveDeadlines(t *testing.T) {
	t.Parallel()
	t.Run("a blocked read ends at its deadline", func(t *testing.T) {
		t.Parallel()
		conn, _ := pipe(t)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v, want deadline exceeded", err)
		}
	})
	t.Run("a deadline that is set during a read applies to it", func(t *testing.T) {
		t.Parallel()
		conn, _ := pipe(t)
		done := make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			done <- err
		}()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v, want deadline exceeded", err)
		}
	})
	t.Run("a deadline that passes without a write and is then removed has no effect", func(t *testing.T) {
		t.Parallel()
		conn, other := pipe(t)
		if err := conn.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write after the deadline: %v, want deadline exceeded", err)
		}
		if err := conn.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = other.Read(make([]byte, 1)) }()
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Errorf("Write without a deadline: %v", err)
		}
	})
}

// pipe returns both ends of a pipe. The first one has the deadlines of
// withDeadlines only.
func pipe(t *testing.T) (limited, other net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return withDeadlines(noDeadlines{a}), b
}

type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error      { return errors.New("not supported") }
func (noDeadlines) SetReadDeadline(time.Time) error  { return errors.New("not supported") }
func (noDeadlines) SetWriteDeadline(time.Time) error { return errors.New("not supported") }
