package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	hostscripts "slipway.io/slipway/templates/host"
)

// sftpServers are where distributions put OpenSSH's SFTP server: Debian and
// Ubuntu, Fedora and RHEL, SUSE and Alpine, Arch and FreeBSD.
var sftpServers = []string{
	"/usr/lib/openssh/sftp-server",
	"/usr/libexec/openssh/sftp-server",
	"/usr/lib/ssh/sftp-server",
	"/usr/libexec/sftp-server",
	"/usr/lib/sftp-server",
}

// noServerCode is the exit code of sftp-server.sh if none of them exists, and
// of a shell that does not find a program.
const noServerCode = 127

type sftpSession struct {
	*sftp.Client
	session *gossh.Session
	users   int
	// dead is closed when the client has ended, exited when the program has, as
	// exit says.
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

// openSFTP runs the machine's SFTP server as root in a session. A subsystem
// would run it as the login user.
func (c *conn) openSFTP(ctx context.Context, by sudo) (*sftpSession, error) {
	s, err := c.startSFTP(ctx, by, func(session *gossh.Session) error {
		argv := append([]string{"sh", "-c", hostscripts.SFTPServer, "sh"}, sftpServers...)
		return session.Start(by.line(argv, mark+"=sftp"))
	})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == noServerCode && len(by.prefix) == 0 {
		// root may use what sshd has built in.
		return c.startSFTP(ctx, by, func(session *gossh.Session) error { return session.RequestSubsystem("sftp") })
	}
	if err != nil {
		return nil, fmt.Errorf("start SFTP server: %w", err)
	}
	return s, nil
}

type startFunc func(*gossh.Session) error

func (c *conn) startSFTP(ctx context.Context, by sudo, start startFunc) (*sftpSession, error) {
	session, err := c.openSession(ctx)
	if err != nil {
		return nil, err
	}
	s := &sftpSession{session: session, dead: make(chan struct{}), exited: make(chan struct{})}
	stderr := &headBuffer{}
	opened := make(chan error, 1)
	go func() { opened <- s.begin(start, by, stderr) }()
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

// begin starts the server program and greets it.
func (s *sftpSession) begin(start startFunc, by sudo, stderr *headBuffer) error {
	stdin, err := s.session.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := s.session.StdoutPipe()
	if err != nil {
		return err
	}
	s.session.Stderr = stderr
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
	s.Client, err = sftp.NewClientPipe(stdout, stdin,
		sftp.UseConcurrentWrites(true), sftp.UseConcurrentReads(true), sftp.UseFstat(true))
	if err != nil {
		return s.whyNot(err, by, stderr)
	}
	go func() {
		_ = s.Client.Wait()
		close(s.dead)
	}()
	return nil
}

// whyNot: the greeting failed since the program, or the connection, ended.
func (s *sftpSession) whyNot(err error, by sudo, stderr *headBuffer) error {
	<-s.exited
	var exit *gossh.ExitError
	if !errors.As(s.exit, &exit) {
		return err
	}
	failed := &host.ExitError{Command: "sftp-server", Code: exit.ExitStatus(), Stderr: stderr.String()}
	if denied := by.denied(failed); denied != nil {
		return denied
	}
	return failed
}

// headBuffer keeps the beginning of what a program says.
type headBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *headBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := 4096 - b.text.Len(); room > 0 {
		b.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *headBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
