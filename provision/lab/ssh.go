package lab

import (
	"context"
	"errors"
	"time"

	"slipway.io/slipway/provision/host/ssh"
)

// dialTimeout is short: a machine that boots does not answer, and one that runs
// is on this computer.
const dialTimeout = 5 * time.Second

// Dial logs in to a machine. It uses only the keys of the lab, and none of the
// user's settings.
func (m Machine) Dial(ctx context.Context, knownHostsFile string) (*ssh.Host, error) {
	conn, err := ssh.New(ssh.Options{
		Name: m.Name, Address: m.Address.String(), User: m.User,
		IdentityFile: m.IdentityFile, IdentitiesOnly: true, KnownHostsFile: knownHostsFile,
		Timeouts: ssh.Timeouts{Connect: dialTimeout},
	})
	if err != nil {
		return nil, err
	}
	if err := conn.Connect(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// SSHArgv is the ssh command line that logs in to a machine, or runs a command
// there. It uses only the keys of the lab, and none of the user's settings.
func (l *Lab) SSHArgv(machine string, command ...string) ([]string, error) {
	m, err := l.Machine(machine)
	if err != nil {
		return nil, err
	}
	argv := []string{
		"ssh", "-F", "none", "-i", m.IdentityFile,
		"-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + l.KnownHostsFile(),
		"-l", m.User, m.Address.String(),
	}
	if len(command) > 0 {
		argv = append(append(argv, "--"), command...)
	}
	return argv, nil
}
