package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host"
)

// sudo is how a command is run as root.
type sudo struct {
	// prefix precedes the command; empty: no sudo.
	prefix []string
	// password is the first line of standard input, if withPassword.
	password     string
	withPassword bool
}

var noSudo = sudo{}

// freeSudo needs no password: -n never asks, -H sets the home directory of root.
func freeSudo() sudo {
	return sudo{prefix: []string{"env", "LC_ALL=C", "sudo", "-n", "-H", "--"}}
}

// passwordSudo reads the password from standard input (-S), always (-k ignores a
// cached one), and byte by byte, so that the command reads the rest.
func passwordSudo(password string) sudo {
	return sudo{
		prefix:   []string{"env", "LC_ALL=C", "sudo", "-k", "-S", "-H", "-p", "", "--"},
		password: password, withPassword: true,
	}
}

// line is the command line for the login shell on the host.
func (s sudo) line(argv []string, token string) string {
	return host.Quote(slices.Concat(s.prefix, startArgv(token, argv)))
}

func (s sudo) input(stdin io.Reader) io.Reader {
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	if !s.withPassword {
		return stdin
	}
	return io.MultiReader(strings.NewReader(s.password+"\n"), stdin)
}

// privilege is how the user becomes root. It is probed once. A refusal is final,
// because repeated wrong passwords may lock the account.
type privilege struct {
	turn  chan struct{}
	known bool
	by    sudo
	err   error
}

func newPrivilege() privilege { return privilege{turn: make(chan struct{}, 1)} }

func (p *privilege) of(ctx context.Context, c *conn) (sudo, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return sudo{}, ctx.Err()
	}
	if p.known {
		return p.by, p.err
	}
	by, err := c.probeSudo(ctx)
	if err == nil || errors.Is(err, host.ErrSudo) {
		p.by, p.err, p.known = by, err, true
	}
	return by, err
}

func (c *conn) probeSudo(ctx context.Context) (sudo, error) {
	if c.options.User == "root" {
		return noSudo, nil
	}
	// The probe has the same prefix as later commands, since sudoers may treat
	// different options differently.
	probe := host.Cmd{Argv: []string{"true"}}
	by := freeSudo()
	_, err := c.run(ctx, probe, by)
	if !errors.Is(err, host.ErrSudo) {
		return by, err
	}
	// The login shell may refuse all commands: do not send it the password.
	if _, err := c.run(ctx, probe, noSudo); err != nil {
		return sudo{}, err
	}
	if c.options.SudoPassword == nil {
		return sudo{}, fmt.Errorf("%w (user %s; no password was given)", err, c.options.User)
	}
	password, err := c.options.SudoPassword(ctx)
	if err != nil {
		return sudo{}, fmt.Errorf("%w: password: %w", host.ErrSudo, err)
	}
	if strings.ContainsAny(password, "\n\x00") {
		return sudo{}, fmt.Errorf("%w: the password contains a newline or a NUL byte", host.ErrSudo)
	}
	by = passwordSudo(password)
	probe.Secret = []string{password}
	_, err = c.run(ctx, probe, by)
	return by, err
}
