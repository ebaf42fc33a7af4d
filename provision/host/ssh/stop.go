package ssh

import (
	"context"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	hostscripts "slipway.io/slipway/templates/host"
)

// stop ends the processes of a command whose context has ended. A signal request
// of SSH is not enough: sshd ignores it for root and for what sudo started, and
// closing a session without a terminal ends no process. So a script on the host
// finds and ends all processes that carry the label of the command.
func (c *conn) stop(ctx context.Context, session *gossh.Session, by sudo, token string) {
	if c.isLost() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.Timeouts.Stop)
	defer cancel()
	go func() { _ = session.Signal(gossh.SIGTERM) }()

	if c.hasSpare() {
		// Use half of the time: if the server allows fewer sessions than assumed,
		// this one never opens.
		half, cancel := context.WithTimeout(ctx, c.options.Timeouts.Stop/2)
		defer cancel()
		if _, err := c.run(half, stopScript(token), by); err == nil {
			return
		}
	}
	// The command holds the last session: open a second connection.
	second, err := dial(ctx, c.options)
	if err != nil {
		return
	}
	defer second.close()
	_, _ = second.run(ctx, stopScript(token), by)
}

func stopScript(token string) host.Cmd {
	return host.Script("stop", hostscripts.Stop, label+"="+token)
}

// hasSpare reports whether a session can be opened without waiting.
func (c *conn) hasSpare() bool {
	s := c.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used < s.limit
}
