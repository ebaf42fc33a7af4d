package hosttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	hostscripts "slipway.io/slipway/templates/host"
)

// Exec is a command that a client sends to a Server.
type Exec struct {
	// Command is a line for the user's shell.
	Command string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// token finds the token of the start mark in a command.
var token = regexp.MustCompile(`SLIPWAY_COMMAND=(\w+)`)

// Begin prints the mark with which a command starts. Call it before any output in an
// Exec that does not run the command.
func (e Exec) Begin() {
	if found := token.FindStringSubmatch(e.Command); found != nil {
		_, _ = fmt.Fprintln(e.Stdout, hostscripts.StartMark+found[1])
	}
}

// Shell returns a ServerConfig.Exec that runs each command with `sh -c` on
// localhost, as sshd does. The directory programs comes first on the PATH.
func Shell(programs string, env ...string) func(context.Context, Exec) int {
	return func(ctx context.Context, e Exec) int {
		cmd := exec.Command("sh", "-c", e.Command)
		cmd.Env = append(os.Environ(), "PATH="+programs+string(filepath.ListSeparator)+os.Getenv("PATH"))
		cmd.Env = append(cmd.Env, env...)
		// With cmd.Stdin, Wait would wait for the end of an input that nobody reads.
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return fail(e, err)
		}
		cmd.Stdout, cmd.Stderr = e.Stdout, e.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return fail(e, err)
		}
		// sshd sends no signal when a connection is lost: a script that reads the
		// end of its input has time to clean up.
		ended := make(chan struct{})
		defer close(ended)
		context.AfterFunc(ctx, func() {
			select {
			case <-ended:
			case <-time.After(time.Second):
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			}
		})
		go func() {
			_, _ = io.Copy(stdin, e.Stdin)
			_ = stdin.Close()
		}()
		err = cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		if err != nil {
			return fail(e, err)
		}
		return 0
	}
}

func fail(e Exec, err error) int {
	_, _ = fmt.Fprintln(e.Stderr, err)
	return 126
}

func (s *Server) serve(wire net.Conn) {
	defer func() { _ = wire.Close() }()
	conn, channels, requests, err := ssh.NewServerConn(wire, s.ssh)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	go answerRequests(requests)

	peer := &peer{server: s, ctx: ctx}
	for open := range channels {
		switch open.ChannelType() {
		case "session":
			peer.session(open)
		case "direct-tcpip":
			s.wg.Go(func() { forward(ctx, open) })
		default:
			_ = open.Reject(ssh.UnknownChannelType, "unknown channel type")
		}
	}
	cancel()
	peer.wg.Wait()
}

// answerRequests refuses all requests, as sshd refuses a keepalive request. The
// refusal is the answer that a keepalive needs.
func answerRequests(requests <-chan *ssh.Request) {
	for request := range requests {
		if request.WantReply {
			_ = request.Reply(false, nil)
		}
	}
}

// peer is the state of a connection.
type peer struct {
	server *Server
	ctx    context.Context // ends with the connection

	mu   sync.Mutex
	open int
	wg   sync.WaitGroup
}

func (p *peer) session(open ssh.NewChannel) {
	p.mu.Lock()
	full := p.server.config.MaxSessions > 0 && p.open >= p.server.config.MaxSessions
	if !full {
		p.open++
	}
	p.mu.Unlock()
	if full {
		// The message of sshd.
		_ = open.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	channel, requests, err := open.Accept()
	if err != nil {
		p.leave()
		return
	}
	p.server.count(1)
	p.wg.Go(func() {
		defer p.leave()
		code := p.handle(channel, requests)
		// Before the client receives the exit code, and opens another session.
		p.server.count(-1)
		if code != nil {
			exit(channel, *code)
		}
		_ = channel.Close()
	})
}

func (p *peer) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
}

func (s *Server) count(n int64) {
	now := s.sessions.Add(n)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
}

// handle returns the exit code, or nil if the client ran no command.
func (p *peer) handle(channel ssh.Channel, requests <-chan *ssh.Request) *int {
	code := 127
	for request := range requests {
		var payload struct{ Value string }
		_ = ssh.Unmarshal(request.Payload, &payload)
		config := p.server.config
		isSFTP := request.Type == "subsystem" && payload.Value == "sftp" ||
			request.Type == "exec" && strings.Contains(payload.Value, "/sftp-server")
		switch {
		case config.SFTP && isSFTP:
			_ = request.Reply(true, nil)
			go answerRequests(requests)
			p.server.greet(channel)
			if strings.Contains(payload.Value, " -S ") {
				skipLine(channel) // the password, which sudo would read
			}
			serveSFTP(channel)
			code = 0
			return &code
		case request.Type == "exec":
			_ = request.Reply(true, nil)
			go answerRequests(requests)
			p.server.greet(channel)
			if config.Exec != nil {
				code = config.Exec(p.ctx, Exec{payload.Value, channel, channel, channel.Stderr()})
			}
			return &code
		default:
			_ = request.Reply(false, nil)
		}
	}
	return nil
}

// greet prints the banner.
func (s *Server) greet(channel ssh.Channel) {
	_, _ = io.WriteString(channel, s.config.Banner)
	_, _ = io.WriteString(channel.Stderr(), s.config.Banner)
}

func skipLine(r io.Reader) {
	for b := make([]byte, 1); b[0] != '\n'; {
		if _, err := r.Read(b); err != nil {
			return
		}
	}
}

func serveSFTP(channel ssh.Channel) {
	server, err := sftp.NewServer(channel)
	if err == nil {
		_ = server.Serve()
	}
}

// exit sends the exit code. A negative code is sent as a signal.
func exit(channel ssh.Channel, code int) {
	if code < 0 {
		_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal   string
			Dumped   bool
			Msg, Tag string
		}{Signal: "KILL"}))
		return
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

// forward handles direct-tcpip (RFC 4254, section 7.2), to loopback only.
func forward(ctx context.Context, open ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(open.ExtraData(), &to); err != nil || !isLoopback(to.Host) {
		_ = open.Reject(ssh.Prohibited, "loopback only")
		return
	}
	out, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
	if err != nil {
		_ = open.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := open.Accept()
	if err != nil {
		_ = out.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	defer stop()
	go ssh.DiscardRequests(requests)
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(channel, out); _ = channel.CloseWrite() })
	both.Go(func() { _, _ = io.Copy(out, channel); _ = out.Close() })
	both.Wait()
	_ = channel.Close()
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
