package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/remote"
	remotescripts "slipway.io/slipway/templates/remote"
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

// files is a connection's one SFTP client, opened when it is first needed and
// kept. Where the server allows only few sessions it makes room for commands
// whenever nobody uses it.
type files struct {
	conn *conn

	mu   sync.Mutex
	open *sftpSession
	// opening is closed when another caller's opening has ended.
	opening chan struct{}
}

type sftpSession struct {
	*sftp.Client
	session *gossh.Session
	users   int
	// dead is closed when the server program has ended.
	dead chan struct{}
}

// cleanupGrace is how long work that is cut short by its context may take to
// remove what it left half done.
const cleanupGrace = 3 * time.Second

// withFiles lends the SFTP client out, with the rights of root, and returns when
// the context ends. The work must not open another session: there may be room
// for only one. It may be cut off at any point, so it must look at its context
// between steps that change something.
func withFiles[T any](ctx context.Context, h *Host, c *conn, work func(*sftp.Client) (T, error)) (T, error) {
	var none T
	by, err := h.rights.of(ctx, c)
	if err != nil {
		return none, notStarted(err)
	}
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

// repeatFiles is withFiles, once more if the connection breaks.
func repeatFiles[T any](ctx context.Context, h *Host, work func(*sftp.Client) (T, error)) (T, error) {
	var value T
	err := h.again(ctx, func(c *conn) error {
		var err error
		value, err = withFiles(ctx, h, c, work)
		return err
	})
	return value, err
}

func (s *sftpSession) isDead() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
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
				// Commands wait for this one to become idle: stand behind them.
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

// closeIdle makes room for another session. It says whether it did.
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

// dispose ends a session that nobody uses, and gives its place back once the
// server program has ended.
func (f *files) dispose(s *sftpSession) {
	_ = s.Close()
	select {
	case <-s.dead:
	case <-f.conn.lost:
	}
	_ = s.session.Close()
	f.conn.sessions.release()
}

// openSFTP runs the machine's SFTP server as root in a session. A subsystem
// would run it as the login user.
func (c *conn) openSFTP(ctx context.Context, by sudo) (*sftpSession, error) {
	s, err := c.startSFTP(ctx, by, func(session *gossh.Session) error {
		argv := append([]string{"sh", "-c", remotescripts.SFTPServer, "sh"}, sftpServers...)
		return session.Start(by.line(argv, mark+"=sftp"))
	})
	var exit *remote.ExitError
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
	s := &sftpSession{session: session, dead: make(chan struct{})}
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
	var exit *gossh.ExitError
	if !errors.As(s.session.Wait(), &exit) {
		return err
	}
	failed := &remote.ExitError{Argv: []string{"sftp-server"}, Code: exit.ExitStatus(), Stderr: stderr.String()}
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
