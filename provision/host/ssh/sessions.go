package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/retry"
)

// sessions limits the number of open sessions of a connection. It lowers the limit
// if the server allows fewer (MaxSessions in sshd_config, 10 by default).
type sessions struct {
	lost <-chan struct{}
	// makeRoom closes an unused session, and reports whether there was one.
	makeRoom func() bool

	mu      sync.Mutex
	limit   int
	used    int
	waiting int
	changed chan struct{}
}

func newSessions(limit int, lost <-chan struct{}) *sessions {
	return &sessions{lost: lost, limit: limit, changed: make(chan struct{})}
}

// acquire waits until a session may be opened. It reports whether it had to wait.
func (s *sessions) acquire(ctx context.Context) (waited bool, err error) {
	if free, _ := s.take(); free {
		return false, nil
	}
	s.queue(1)
	defer s.queue(-1)
	for {
		free, changed := s.take()
		if free {
			return true, nil
		}
		if s.makeRoom() {
			continue
		}
		if err := s.wait(ctx, changed); err != nil {
			return true, err
		}
	}
}

func (s *sessions) take() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.limit {
		return false, s.changed
	}
	s.used++
	return true, nil
}

func (s *sessions) queue(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting += n
	if s.waiting == 0 {
		s.broadcast() // The SFTP client may be used again: see crowded.
	}
}

func (s *sessions) wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.lost:
		return &lostError{err: errors.New("connection lost")}
	}
}

func (s *sessions) release() {
	s.mu.Lock()
	s.used--
	s.broadcast()
	s.mu.Unlock()
}

// broadcast wakes all waiting callers. The lock is held.
func (s *sessions) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// nudge wakes all waiting callers, because makeRoom may now close a session.
func (s *sessions) nudge() {
	s.mu.Lock()
	s.broadcast()
	s.mu.Unlock()
}

// crowded reports whether a caller waits for a session. The channel is closed when
// that may have changed.
func (s *sessions) crowded() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting > 0, s.changed
}

// refused releases a session that the server refused, and lowers the limit to the
// number of open sessions. It reports whether any is open.
func (s *sessions) refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	s.limit = max(1, min(s.limit, s.used))
	s.broadcast()
	return s.used > 0
}

// openSession opens a session within the limit. Call sessions.release after
// closing it.
func (c *conn) openSession(ctx context.Context) (*gossh.Session, error) {
	const firstPause = 20 * time.Millisecond
	pause := firstPause
	var alone time.Time // when the server first refused although none was open
	for {
		waited, err := c.sessions.acquire(ctx)
		if err != nil {
			return nil, err
		}
		if waited {
			alone, pause = time.Time{}, firstPause
		}
		session, err := openChannel(ctx, c, c.client.NewSession)
		var refused *gossh.OpenChannelError
		if err == nil {
			return session, nil
		}
		if !errors.As(err, &refused) {
			c.sessions.release()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, c.lose(err, false)
		}
		if c.sessions.refused() {
			continue // wait until another session ends
		}
		// The server may still count a session that has just ended.
		if alone.IsZero() {
			alone = time.Now()
		}
		if time.Since(alone) > c.options.Timeouts.Connect {
			return nil, fmt.Errorf("the server allows no session: %w", err)
		}
		if err := retry.Sleep(ctx, pause); err != nil {
			return nil, err
		}
		pause = min(2*pause, time.Second)
	}
}
