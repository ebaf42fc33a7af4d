package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"slipway.io/slipway/provision/host"
)

// sudo is how a command becomes root's.
type sudo struct {
	// prefix goes before the command; empty: no sudo.
	prefix []string
	// password goes first on standard input, if withPassword.
	password     string
	withPassword bool
}

var (
	// plain messages: LC_ALL=C, since some of them are looked at.
	plain  = []string{"env", "LC_ALL=C"}
	noSudo = sudo{}
)

// freeSudo needs no password. -n never asks, -H gives root's home directory.
func freeSudo() sudo {
	return sudo{prefix: append(plain[:2:2], "sudo", "-n", "-H", "--")}
}

// passwordSudo reads the password from standard input, always (-k: even if it
// was given a moment ago), and byte by byte, so that the rest is the command's.
func passwordSudo(password string) sudo {
	return sudo{
		prefix:   append(plain[:2:2], "sudo", "-k", "-S", "-H", "-p", "", "--"),
		password: password, withPassword: true,
	}
}

// line is what the login shell on the machine gets.
func (s sudo) line(argv []string, label string) string {
	command := append(plain[:2:2], label)
	return host.Quote(append(append(s.prefix[:len(s.prefix):len(s.prefix)], command...), argv...))
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

// denied: it was sudo, and not the command, that ended. sudo has no exit code
// of its own for that: it is 1, or env's 127 where there is no sudo.
func (s sudo) denied(exit *host.ExitError) error {
	text := strings.TrimSpace(exit.Stderr)
	isSudo := exit.Code == 1 && (strings.HasPrefix(text, "sudo: ") || strings.HasPrefix(text, "Sorry, ")) ||
		exit.Code == 127 && strings.HasPrefix(text, "env: ") && strings.Contains(text, "sudo")
	if len(s.prefix) == 0 || !isSudo {
		return nil
	}
	return fmt.Errorf("%w: %s", host.ErrSudo, text)
}

// privilege remembers how the user becomes root. It is probed once. A refusal is
// final, since every wrong password brings the account closer to being locked.
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
	// The probe is the very command line that is used later, since sudoers may
	// treat different commands differently.
	probe := host.Cmd{Argv: []string{"true"}}
	by := freeSudo()
	_, err := c.run(ctx, probe, by)
	if err == nil {
		return by, nil
	}
	if !errors.Is(err, host.ErrSudo) {
		return sudo{}, asDenied(err)
	}
	if c.options.SudoPassword == nil {
		return sudo{}, fmt.Errorf("%w (user %s; no password was given)", err, c.options.User)
	}
	password, err := c.options.SudoPassword(ctx)
	if err != nil {
		return sudo{}, fmt.Errorf("%w: password: %w", host.ErrSudo, err)
	}
	if strings.ContainsAny(password, "\n\x00") {
		return sudo{}, fmt.Errorf("%w: the password holds a line end", host.ErrSudo)
	}
	by = passwordSudo(password)
	probe.Secret = []string{password}
	if _, err := c.run(ctx, probe, by); err != nil {
		return sudo{}, asDenied(err)
	}
	return by, nil
}

// asDenied: `sudo true` that ends otherwise than with 0 is a denial, whatever
// it says.
func asDenied(err error) error {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", host.ErrSudo, strings.TrimSpace(exit.Stderr))
	}
	return err
}
