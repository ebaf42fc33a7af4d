package ssh

import (
	"context"
	"sync"
	"time"

	"github.com/pkg/sftp"
)

// files holds the SFTP client of a connection. The client is opened on first use
// and kept open. If a command waits for a session, an unused client is closed.
type files struct {
	conn *conn

	mu   sync.Mutex
	open *sftpSession
	// opening is closed when the caller that opens the client is done.
	opening chan struct{}
}

// cleanupGrace limits the wait for work whose context has ended, and which removes
// its temporary files.
const cleanupGrace = 3 * time.Second

// withFiles calls work with the SFTP client, whose server runs as root. It returns
// when the context ends. If the connection is lost, it calls work again, once. The
// work must not open another session, because the server may allow only one, and
// must check its context before each change.
func withFiles[T any](ctx context.Context, h *Host, doing string, work func(*sftp.Client) (T, error)) (T, error) {
	var value T
	err := h.retryOnce(ctx, doing, func(c *conn) error {
		by, err := h.privilege.of(ctx, c)
		if err != nil {
			return notStarted(err)
		}
		value, err = workWithFiles(ctx, c, by, work)
		return err
	})
	return value, err
}

func workWithFiles[T any](ctx context.Context, c *conn, by sudo, work func(*sftp.Client) (T, error)) (T, error) {
	var none T
	s, err := c.files.acquire(ctx, by)
	if err != nil {
		return none, err
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer c.files.release(s)
		value, err := work(s.Client)
		if err != nil && s.isDead() {
			err = c.lose(err, true)
		}
		done <- outcome{value, c.asLost(err, true)}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(cleanupGrace)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return none, ctx.Err()
}

func (f *files) acquire(ctx context.Context, by sudo) (*sftpSession, error) {
	for {
		f.mu.Lock()
		switch s := f.open; {
		case s != nil && s.isDead():
			f.open = nil
			f.mu.Unlock()
			f.dispose(s)
		case s != nil:
			if crowded, changed := f.conn.sessions.crowded(); crowded && s.users > 0 {
				// A command waits until the client is unused: let it run first.
				f.mu.Unlock()
				if err := f.conn.sessions.wait(ctx, changed); err != nil {
					return nil, err
				}
				continue
			}
			s.users++
			f.mu.Unlock()
			return s, nil
		case f.opening != nil:
			opening := f.opening
			f.mu.Unlock()
			if err := f.conn.sessions.wait(ctx, opening); err != nil {
				return nil, err
			}
		default:
			f.opening = make(chan struct{})
			f.mu.Unlock()
			s, err := f.conn.openSFTP(ctx, by)
			f.mu.Lock()
			close(f.opening)
			f.opening = nil
			if err == nil {
				s.users++
				f.open = s
			}
			f.mu.Unlock()
			return s, err
		}
	}
}

func (f *files) release(s *sftpSession) {
	f.mu.Lock()
	s.users--
	idle := s.users == 0
	f.mu.Unlock()
	if idle {
		f.conn.sessions.nudge()
	}
}

// closeIdle closes an unused client, and reports whether there was one.
func (f *files) closeIdle() bool {
	f.mu.Lock()
	s := f.open
	if s == nil || s.users > 0 {
		f.mu.Unlock()
		return false
	}
	f.open = nil
	f.mu.Unlock()
	f.dispose(s)
	return true
}

// dispose closes an unused session, and releases its slot when the server program
// has ended: until then sshd counts it.
func (f *files) dispose(s *sftpSession) {
	_ = s.Close()
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-s.exited:
	case <-f.conn.lost:
	case <-timer.C:
	}
	_ = s.session.Close()
	f.conn.sessions.release()
}
