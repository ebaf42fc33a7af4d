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
	t.Run("a read that waits ends at its deadline", func(t *testing.T) {
		t.Parallel()
		conn, _ := pipe(t)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v, want deadline exceeded", err)
		}
	})
	t.Run("a deadline set while a read waits counts for it", func(t *testing.T) {
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
	t.Run("a deadline that passes while nothing is under way, and is taken back, does no harm", func(t *testing.T) {
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

// pipe has no deadlines of its own that the test could mistake for ours.
func pipe(t *testing.T) (ours, other net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return withDeadlines(noDeadlines{a}), b
}

type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error      { return errors.New("not supported") }
func (noDeadlines) SetReadDeadline(time.Time) error  { return errors.New("not supported") }
func (noDeadlines) SetWriteDeadline(time.Time) error { return errors.New("not supported") }
