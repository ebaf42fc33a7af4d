package ssh

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	hostscripts "slipway.io/slipway/templates/host"
)

// sftpServers are the paths of the SFTP server of OpenSSH on Debian and Ubuntu,
// Fedora and RHEL, SUSE and Alpine, Arch and FreeBSD.
var sftpServers = []string{
	"/usr/lib/openssh/sftp-server",
	"/usr/libexec/openssh/sftp-server",
	"/usr/lib/ssh/sftp-server",
	"/usr/libexec/sftp-server",
	"/usr/lib/sftp-server",
}

// noServerCode is the exit code of sftp-server.sh if none of them exists, and of
// a shell for an unknown command.
const noServerCode = 127

type sftpSession struct {
	*sftp.Client
	session *gossh.Session
	host    string
	stderr  host.Output
	// output is what the program prints; without a start mark if it is a subsystem.
	output streams
	users  int
	// dead is closed when the client has ended, exited when the program has ended.
	// exit is the error of the program.
	dead, exited chan struct{}
	exit         error
}

func (s *sftpSession) isDead() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// openSFTP runs the SFTP server of the host as root in a session. A subsystem
// runs it as the login user.
func (c *conn) openSFTP(ctx context.Context, by sudo) (*sftpSession, error) {
	token := rand.Text()
	s, err := c.startSFTP(ctx, by, token, func(session *gossh.Session) error {
		argv := append([]string{"sh", "-c", hostscripts.SFTPServer, "sh"}, sftpServers...)
		return session.Start(by.line(argv, token))
	})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == noServerCode && len(by.prefix) == 0 {
		// The login user is root, so the subsystem runs as root too.
		return c.startSFTP(ctx, by, token, func(session *gossh.Session) error { return session.RequestSubsystem("sftp") })
	}
	if err != nil {
		return nil, fmt.Errorf("start SFTP server: %w", err)
	}
	return s, nil
}

type startFunc func(*gossh.Session) error

func (c *conn) startSFTP(ctx context.Context, by sudo, token string, start startFunc) (*sftpSession, error) {
	session, err := c.openSession(ctx)
	if err != nil {
		return nil, err
	}
	s := &sftpSession{session: session, host: c.options.Name, dead: make(chan struct{}), exited: make(chan struct{})}
	s.output = newStreams(token, io.Discard, s.stderr.Stderr())
	opened := make(chan error, 1)
	go func() { opened <- s.begin(start, by) }()
	select {
	case err = <-opened:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return s, nil
	}
	_ = session.Close()
	c.sessions.release()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, c.asLost(err, false)
}

// begin starts the server program and the client.
func (s *sftpSession) begin(start startFunc, by sudo) error {
	stdin, err := s.session.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := s.session.StdoutPipe()
	if err != nil {
		return err
	}
	s.session.Stderr = s.output.stderr
	if err := start(s.session); err != nil {
		return err
	}
	go func() {
		s.exit = s.session.Wait()
		close(s.exited)
	}()
	if by.withPassword {
		if _, err := io.WriteString(stdin, by.password+"\n"); err != nil {
			return err
		}
	}
	packets := &afterBanner{Reader: bufio.NewReader(stdout)}
	s.Client, err = sftp.NewClientPipe(packets, stdin,
		sftp.UseConcurrentWrites(true), sftp.UseConcurrentReads(true), sftp.UseFstat(true))
	if err != nil {
		return s.startError(err, by)
	}
	go func() {
		_ = s.Client.Wait()
		close(s.dead)
	}()
	return nil
}

// startError returns the reason why the client did not start: the end of the
// program or of the connection.
func (s *sftpSession) startError(err error, by sudo) error {
	if errors.Is(err, errNoPacket) {
		return err
	}
	<-s.exited
	var exit *gossh.ExitError
	if !errors.As(s.exit, &exit) {
		return err
	}
	result, _ := s.stderr.Result() // the error is about the limit of standard output
	text := string(result.Stderr)
	if !s.output.started() {
		text = s.output.reason()
		if len(by.prefix) > 0 && exit.Signal() == "" {
			return by.refusal(text)
		}
	}
	return &host.ExitError{Host: s.host, Command: "sftp-server", Code: exit.ExitStatus(), Signal: exit.Signal(), Stderr: text}
}
