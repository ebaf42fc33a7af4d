package ssh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
)

// Query runs a command that only reads. If the connection is lost, Query runs the
// command again, once.
func (h *Host) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	return h.command(ctx, cmd, true)
}

// Run runs a command that changes the host. It is never started twice: if the
// connection breaks after the start, the error wraps host.ErrOutcomeUnknown.
func (h *Host) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	return h.command(ctx, cmd, false)
}

func (h *Host) command(ctx context.Context, cmd host.Cmd, repeatable bool) (host.Result, error) {
	if err := cmd.Check(); err != nil {
		return host.Result{}, fmt.Errorf("%s: %s: %w", h, cmd, err)
	}
	stdin := newInput(cmd.Stdin)
	defer stdin.close()
	var result host.Result
	var exit *host.ExitError
	err := h.retryOnce(ctx, cmd.String(), func(c *conn) error {
		cmd.Stdin = stdin.reader()
		var err error
		result, err = h.attempt(ctx, c, cmd)
		var lost *lostError
		switch {
		case errors.As(err, &exit):
			return nil // an ExitError contains host and command
		case !errors.As(err, &lost) || !lost.started || ctx.Err() != nil:
			return err
		case !repeatable:
			return fmt.Errorf("%w: %w", host.ErrOutcomeUnknown, lost.err)
		case !stdin.rewind():
			return fmt.Errorf("%w: %w", host.ErrUnreachable, lost.err)
		}
		return err
	})
	if exit != nil {
		return host.Result{}, exit
	}
	return result, err
}

func (h *Host) attempt(ctx context.Context, c *conn, cmd host.Cmd) (host.Result, error) {
	by := noSudo
	if cmd.Sudo {
		var err error
		if by, err = h.privilege.of(ctx, c); err != nil {
			return host.Result{}, notStarted(err)
		}
	}
	return c.run(ctx, cmd, by)
}

// notStarted marks the command as not started: the connection was lost before,
// during the probe of sudo.
func notStarted(err error) error {
	var lost *lostError
	if errors.As(err, &lost) {
		return &lostError{err: lost.err}
	}
	return err
}

// run runs one command in its own session.
func (c *conn) run(ctx context.Context, cmd host.Cmd, by sudo) (host.Result, error) {
	session, err := c.openSession(ctx)
	if err != nil {
		return host.Result{}, err
	}
	defer c.sessions.release()
	defer func() { _ = session.Close() }()

	var out host.Output
	stdout, stderr := out.Stdout(), out.Stderr()
	if cmd.Output != nil {
		gate := &gate{w: cmd.Output}
		defer gate.close()
		combined := host.NewRedactWriter(gate, cmd.Secret)
		stdout, stderr = io.MultiWriter(stdout, combined), io.MultiWriter(stderr, combined)
		defer func() {
			if !c.isLost() { // systemd.Run resumes the output at a whole line
				combined.Flush()
			}
		}()
	}
	token := rand.Text()
	output := newStreams(token, stdout, stderr)
	session.Stdout, session.Stderr = output.stdout, output.stderr
	ended := make(chan error, 1)
	go func() { ended <- execute(session, by.line(cmd.Argv, token), by.input(cmd.Stdin)) }()

	select {
	case err = <-ended:
	case <-ctx.Done():
		c.stop(ctx, session, by, token)
		return host.Result{}, ctx.Err()
	}
	result, limit := out.Result()
	switch {
	case err != nil:
		return host.Result{}, c.explain(err, cmd, by, output, result)
	case !output.started():
		return host.Result{}, by.refusal(host.Redact(output.reason(), cmd.Secret))
	}
	return result, limit
}

// gate stops a session that is slow to end from writing to the caller's Output
// after the call has returned.
type gate struct {
	mu sync.Mutex
	w  io.Writer
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return len(p), nil
	}
	return g.w.Write(p)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w = nil
}

// errNotStarted: the server refused to run the command.
var errNotStarted = errors.New("the server refuses to run commands")

// execute starts a command line and waits until it ends. It does not wait for
// the input: a command may end without reading all of it.
func execute(session *gossh.Session, line string, input io.Reader) error {
	pipe, err := session.StdinPipe()
	if err != nil {
		return err
	}
	if err := session.Start(line); err != nil {
		if isBroken(err) {
			return err
		}
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	go func() {
		_, _ = io.Copy(pipe, input)
		_ = pipe.Close()
	}()
	return session.Wait()
}

// explain returns a typed error for a session that ended with err.
func (c *conn) explain(err error, cmd host.Cmd, by sudo, output streams, result host.Result) error {
	var exit *gossh.ExitError
	if errors.Is(err, errNotStarted) && !c.isLost() {
		return errNotStarted // the text of gossh contains the command line with its secrets
	}
	if !errors.As(err, &exit) {
		// No exit code: the connection broke, or sshd ended the session.
		return c.lose(err, true)
	}
	stderr := string(result.Stderr)
	if !output.started() {
		stderr = output.reason()
		if exit.Signal() == "" {
			return by.refusal(host.Redact(stderr, cmd.Secret))
		}
	}
	failed := &host.ExitError{
		Host:    c.options.Name,
		Command: cmd.String(),
		Code:    exit.ExitStatus(),
		Signal:  exit.Signal(),
		Stdout:  host.Redact(string(result.Stdout), cmd.Secret),
		Stderr:  host.Redact(stderr, cmd.Secret),
	}
	if failed.Signal != "" {
		failed.Code = -1
	}
	return failed
}
