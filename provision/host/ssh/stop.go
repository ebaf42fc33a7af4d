package ssh

import (
	"context"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	hostscripts "slipway.io/slipway/templates/host"
)

// stop ends the processes of a command whose context has ended. SSH knows a
// signal request, but sshd obeys it neither for what sudo started nor in a root
// login, and closing a session without a terminal ends nothing: so everything
// that carries the command's label is looked for and ended on the machine.
func (c *conn) stop(ctx context.Context, session *gossh.Session, by sudo, label string) {
	if c.isLost() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.Timeouts.Stop)
	defer cancel()
	go func() { _ = session.Signal(gossh.SIGTERM) }()

	if c.hasSpare() {
		// Half of the time, since the server may allow fewer sessions than
		// were open up to now: then this one waits in vain.
		half, cancel := context.WithTimeout(ctx, c.options.Timeouts.Stop/2)
		defer cancel()
		if _, err := c.run(half, stopScript(label), by); err == nil {
			return
		}
	}
	// No session is free, since the command itself holds one until it ends: a
	// second connection has sessions of its own.
	second, err := dial(ctx, c.options)
	if err != nil {
		return
	}
	defer second.close()
	_, _ = second.run(ctx, stopScript(label), by)
}

func stopScript(label string) host.Cmd { return host.Script("stop", hostscripts.Stop, label) }

// hasSpare: a session can be opened without waiting for one to end.
func (c *conn) hasSpare() bool {
	s := c.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used < s.limit
}
