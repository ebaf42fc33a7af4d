package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/retry"
)

// repository is the record of a lab's package repository.
type repository struct {
	// Dir contains the packages, in the directory pool. Labs share it.
	Dir string `json:"dir"`
	// Port on the bridge's address; the machines know it, so it never changes.
	Port uint16 `json:"port,omitempty"`
	// Process serves the packages; nil if no machine runs.
	Process *process `json:"process,omitempty"`
}

func (r *repository) pool() string { return filepath.Join(r.Dir, "pool") }

// ServeCommand is the command of slipway lab that calls ServePackages.
const ServeCommand = "serve-packages"

// The ports for package servers, below those that Linux gives to outgoing connections.
const firstPort, lastPort = 7780, 7799

// serverTimeout is how long the server may take to start, and to end.
const serverTimeout = 10 * time.Second

func (s *session) repositoryAddress() netip.AddrPort {
	return netip.AddrPortFrom(lab.Nth(s.state.Subnet, 1), s.state.Repository.Port)
}

func (s *session) serverLogPath() string { return filepath.Join(s.dir, "packages.log") }

// serverArgs are the arguments of slipway that serve the repository. No other process
// has them: the bridge belongs to this lab.
func (s *session) serverArgs() []string {
	return []string{
		"lab", ServeCommand, "--directory=" + s.state.Repository.pool(), "--listen=" + s.repositoryAddress().String(),
	}
}

// serverPID is the process that serves the repository, 0 if none does. One that was not
// recorded, because of a crash, is found by its arguments.
func (s *session) serverPID() int {
	r := s.state.Repository
	if r == nil {
		return 0
	}
	if proc.alive(r.Process) {
		return r.Process.PID
	}
	if pids := proc.withArgs(s.serverArgs()); len(pids) > 0 {
		return pids[0]
	}
	return 0
}

// serveRepository starts the server unless it runs, in a session of its own, so that it
// outlives this process.
func (s *session) serveRepository(ctx context.Context, program string) error {
	if s.serverPID() != 0 {
		return nil
	}
	if s.state.Repository.Port == 0 {
		port, err := freePort(ctx, lab.Nth(s.state.Subnet, 1))
		if err != nil {
			return err
		}
		if err := s.record(func() { s.state.Repository.Port = port }); err != nil {
			return err
		}
	}
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(s.serverLogPath(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Not CommandContext: the server runs on after the context ends.
	cmd := exec.Command(program, s.serverArgs()...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	ownSession(cmd)
	s.Logf("", "serves packages at http://%s", s.repositoryAddress())
	if err := cmd.Start(); err != nil {
		return err
	}
	identity, err := proc.identify(cmd.Process.Pid)
	// Reap it if it ends before this process; init does otherwise.
	go cmd.Wait()
	if err != nil {
		return err
	}
	if err := s.record(func() { s.state.Repository.Process = identity }); err != nil {
		return err
	}
	return retry.Until(ctx, "http://"+s.repositoryAddress().String()+" to answer", func(ctx context.Context) error {
		if !proc.alive(identity) {
			said, _ := os.ReadFile(s.serverLogPath())
			return retry.Stop(fmt.Errorf("the server stopped: %s (see %s)", localhost.LastLines(said, 3), s.serverLogPath()))
		}
		return answers(ctx, s.repositoryAddress())
	}, retry.Options{Timeout: serverTimeout})
}

// answers reads the head of the index. A proxy of the environment must not come between.
func answers(ctx context.Context, address netip.AddrPort) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+address.String()+"/Packages", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %s", response.Status)
	}
	return nil
}

// freePort finds a port on an address of localhost.
func freePort(ctx context.Context, address netip.Addr) (uint16, error) {
	var errs []error
	for port := uint16(firstPort); port <= lastPort; port++ {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", netip.AddrPortFrom(address, port).String())
		if err == nil {
			return port, listener.Close()
		}
		errs = append(errs, err)
	}
	return 0, errors.Join(errs...)
}

// stopRepository ends the server.
func (s *session) stopRepository(ctx context.Context) error {
	if pid := s.serverPID(); pid != 0 {
		err := s.endServer(ctx, pid, terminate)
		if err != nil && ctx.Err() == nil {
			err = s.endServer(ctx, pid, kill)
		}
		if err != nil {
			return fmt.Errorf("end the package server, process %d: %w", pid, err)
		}
	}
	if r := s.state.Repository; r == nil || r.Process == nil {
		return nil
	}
	return s.record(func() { s.state.Repository.Process = nil })
}

func (s *session) endServer(ctx context.Context, pid int, end func(int) error) error {
	if err := end(pid); err != nil {
		return err
	}
	return retry.Until(ctx, "the package server to end", func(context.Context) error {
		if s.serverPID() == pid {
			return errors.New("it still runs")
		}
		return nil
	}, retry.Options{Timeout: serverTimeout})
}

// ServePackages serves the files of a directory until the context ends.
func ServePackages(ctx context.Context, dir string, listen netip.AddrPort) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", listen.String())
	if err != nil {
		return err
	}
	server := http.Server{Handler: readOnly(root.FS()), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func readOnly(files fs.FS) http.Handler {
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "the repository is read-only", http.StatusMethodNotAllowed)
			return
		}
		serve.ServeHTTP(w, r)
	})
}
