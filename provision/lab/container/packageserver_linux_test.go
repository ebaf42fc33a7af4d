package container

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain is also the program that serves packages, as slipway is.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "lab" && os.Args[2] == ServeCommand {
		_, dir, _ := strings.Cut(os.Args[3], "=")
		_, listen, _ := strings.Cut(os.Args[4], "=")
		if err := ServePackages(context.Background(), dir, netip.MustParseAddrPort(listen)); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// servingSession is a lab whose bridge is the loopback interface. Each has its own subnet.
func servingSession(t *testing.T, subnet string) *session {
	t.Helper()
	s := testSession(t)
	s.state.Subnet, s.state.Repository = prefix(subnet), &repository{Dir: t.TempDir()}
	if err := os.Mkdir(s.state.Repository.pool(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.state.Repository.pool(), "Packages"), []byte("Package: a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheServerRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	s := servingSession(t, "127.0.78.0/24")
	t.Cleanup(func() { _ = s.stopRepository(context.WithoutCancel(t.Context())) })
	if err := s.serveRepository(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	port, pid := s.state.Repository.Port, s.serverPID()
	if pid == 0 || port < firstPort || port > lastPort {
		t.Fatalf("process %d, port %d", pid, port)
	}
	if err := s.serveRepository(t.Context(), ""); err != nil || s.serverPID() != pid {
		t.Errorf("a second call: %v, process %d instead of %d", err, s.serverPID(), pid)
	}

	// A crash came before the record.
	s.state.Repository.Process = nil
	if got := s.serverPID(); got != pid {
		t.Errorf("without a record, the process is %d, want %d", got, pid)
	}
	if err := s.stopRepository(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := answers(t.Context(), s.repositoryAddress()); err == nil || s.serverPID() != 0 {
		t.Errorf("it still answers; process %d", s.serverPID())
	}

	// The machines know the port.
	if err := s.serveRepository(t.Context(), ""); err != nil || s.state.Repository.Port != port {
		t.Errorf("started again: %v, port %d instead of %d", err, s.state.Repository.Port, port)
	}
	if err := s.stopRepository(t.Context()); err != nil || s.state.Repository.Process != nil {
		t.Errorf("stopped again: %v, recorded %v", err, s.state.Repository.Process)
	}
	if err := s.stopRepository(t.Context()); err != nil {
		t.Errorf("stopped when it is off: %v", err)
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	s := servingSession(t, "127.0.79.0/24")
	if err := os.RemoveAll(s.state.Repository.Dir); err != nil {
		t.Fatal(err)
	}
	err := s.serveRepository(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "the server stopped") || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("got %v", err)
	}
	if s.serverPID() != 0 {
		t.Error("the server runs")
	}
}

func TestServedFilesAreOnlyThoseOfTheDirectory(t *testing.T) {
	t.Parallel()
	s := servingSession(t, "127.0.80.0/24")
	if err := os.Symlink("/etc/hostname", filepath.Join(s.state.Repository.pool(), "link")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.stopRepository(context.WithoutCancel(t.Context())) })
	if err := s.serveRepository(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get("http://" + s.repositoryAddress().String() + "/link")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode == http.StatusOK {
		t.Error("a link leads out of the directory")
	}
}

func TestServePackagesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := ServePackages(ctx, t.TempDir(), netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Errorf("got %v", err)
	}
}
