package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/ssh"
)

// The tests in this file use the OpenSSH server. Without it they are skipped,
// unless SLIPWAY_REQUIRE_SSHD=1.

// sshd starts a server on the loopback interface for the current user, with
// additional lines of sshd_config, and returns the options to reach it.
func sshd(t testing.TB, config ...string) ssh.Options {
	t.Helper()
	binary, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_SSHD") == "1" {
			t.Fatal("no /usr/sbin/sshd: install the package openssh-server")
		}
		t.Skip("no /usr/sbin/sshd: install the package openssh-server (Debian)")
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil && os.Getuid() == 0 {
		t.Fatal(err)
	}
	current, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	hostKey, userKey, dir := hosttest.NewKeyFile(t), hosttest.NewKeyFile(t), t.TempDir()
	authorized := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(authorized, publicLine(t, userKey), 0o600); err != nil {
		t.Fatal(err)
	}
	port := closedPort(t)
	lines := append([]string{
		"ListenAddress 127.0.0.1:" + strconv.Itoa(port), "HostKey " + hostKey, "PidFile none", "UsePAM no",
		"StrictModes no", "AuthorizedKeysFile " + authorized, "PermitRootLogin yes", "PasswordAuthentication no",
		"Subsystem sftp internal-sftp", "MaxStartups 100", "LogLevel ERROR",
	}, config...)
	file := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	known := filepath.Join(dir, "known_hosts")
	line := fmt.Sprintf("[127.0.0.1]:%d %s", port, publicLine(t, hostKey))
	if err := os.WriteFile(known, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	startSSHD(t, binary, file, port)
	return ssh.Options{
		Name: "n1", Address: "127.0.0.1", Port: port, User: current.Username,
		IdentityFile: userKey, KnownHostsFile: known,
	}
}

func startSSHD(t testing.TB, binary, config string, port int) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(binary, "-D", "-e", "-f", config)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", log.String())
		}
	})
	waitUntil(t, "sshd listens", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func publicLine(t testing.TB, keyFile string) []byte {
	t.Helper()
	content, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.ParsePrivateKey(content)
	if err != nil {
		t.Fatal(err)
	}
	return gossh.MarshalAuthorizedKey(signer.PublicKey())
}

func TestSSHDRunsCommandsAndWritesFiles(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := dial(t, sshd(t))
	result, err := h.Run(t.Context(), host.Script("words", []byte(`printf '%s|' "$@"; id -u`), "a b", "$HOME", "", "it's"))
	if err != nil || string(result.Stdout) != "a b|$HOME||it's|0\n" {
		t.Errorf("got %q, %v", result.Stdout, err)
	}
	dir := t.TempDir()
	file := host.File{Path: filepath.Join(dir, "x", "f"), Content: []byte("content"), Mode: 0o640, GID: 7}
	for _, want := range []bool{true, false} {
		if changed, err := host.EnsureFiles(t.Context(), h, file); err != nil || changed != want {
			t.Errorf("write: changed %v, %v", changed, err)
		}
	}
	directory := host.File{Path: filepath.Join(dir, "directory"), Mode: fs.ModeDir | 0o700}
	for _, want := range []bool{true, false} {
		if changed, err := host.EnsureFiles(t.Context(), h, directory); err != nil || changed != want {
			t.Errorf("directory: changed %v, %v", changed, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "x")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("parent: %v, %v", info.Mode(), err)
	}
	if content, err := h.ReadFile(t.Context(), file.Path); err != nil || string(content) != "content" {
		t.Errorf("read %q, %v", content, err)
	}
	if content, err := h.ReadFile(t.Context(), "/proc/version"); err != nil || len(content) == 0 {
		t.Errorf("read %q, %v", content, err)
	}
	blob := newBlob(t, filepath.Join(dir, "blob"), 20<<20+1)
	if err := h.Upload(t.Context(), blob); err != nil || !sameContent(t, blob.Path, blob.Source) {
		t.Errorf("upload: %v", err)
	}
	if left := append(temps(t, dir), temps(t, filepath.Join(dir, "x"))...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestSSHDStopsACommandWhoseContextEnds(t *testing.T) {
	t.Parallel()
	for _, config := range []string{"MaxSessions 10", "MaxSessions 1"} {
		t.Run(config, func(t *testing.T) {
			t.Parallel()
			o := sshd(t, config)
			o.Timeouts.Stop = 4 * time.Second
			h := dial(t, o)
			seconds := fmt.Sprintf("7%d", time.Now().UnixNano()%1e8)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := h.Run(ctx, host.Cmd{Argv: []string{"sh", "-c", `sleep "$1"; true`, "sh", seconds}})
				done <- err
			}()
			waitUntil(t, "sleep runs", func() bool { return processes(t, "sleep\x00"+seconds) == 1 })
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if n := processes(t, "\x00"+seconds); n != 0 {
				t.Errorf("%d processes left", n)
			}
			if _, err := h.Run(within(t, 20*time.Second), hello); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSSHDWithFewSessions(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, limit := range []int{1, 2, 4, 10} {
		t.Run(fmt.Sprintf("MaxSessions %d", limit), func(t *testing.T) {
			t.Parallel()
			h := dial(t, sshd(t, fmt.Sprintf("MaxSessions %d", limit)))
			ctx, dir := within(t, 2*time.Minute), t.TempDir()
			var all sync.WaitGroup
			for i := range limit + 2 { // more callers than sessions
				all.Go(func() {
					path := filepath.Join(dir, strconv.Itoa(i))
					if err := h.WriteFiles(ctx, host.File{Path: path, Content: []byte("x")}); err != nil {
						t.Error(err)
					}
					if _, err := h.Run(ctx, host.Cmd{Argv: []string{"sleep", "0.05"}}); err != nil {
						t.Error(err)
					}
					if err := h.Upload(ctx, newBlob(t, path+".blob", 100000+i)); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestSSHDFallsBackToItsSubsystem(t *testing.T) {
	t.Parallel()
	needRoot(t)
	server, err := exec.LookPath("/usr/lib/openssh/sftp-server")
	if err != nil {
		t.Skip("no /usr/lib/openssh/sftp-server")
	}
	// As if the program were not installed, and sshd used its internal-sftp, which a
	// forced command cannot start.
	o := sshd(t, `ForceCommand case "$SSH_ORIGINAL_COMMAND" in *"-u 077"*) exit 127 ;; internal-sftp) exec `+server+
		` ;; *) eval "$SSH_ORIGINAL_COMMAND" ;; esac`)
	h := dial(t, o)
	path := filepath.Join(t.TempDir(), "f")
	if err := h.WriteFiles(t.Context(), host.File{Path: path, Content: []byte("x"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if content, err := h.ReadFile(t.Context(), path); err != nil || string(content) != "x" {
		t.Errorf("read %q, %v", content, err)
	}
}

func TestSSHDRefusesAnUnknownKey(t *testing.T) {
	t.Parallel()
	o := sshd(t)
	o.IdentityFile = hosttest.NewKeyFile(t)
	if _, err := connect(t.Context(), o); !errors.Is(err, host.ErrAuth) {
		t.Errorf("one key: %v", err)
	}
	for range 10 { // MaxAuthTries is 6
		o.DefaultIdentities = append(o.DefaultIdentities, hosttest.NewKeyFile(t))
	}
	if _, err := connect(t.Context(), o); !errors.Is(err, host.ErrAuth) {
		t.Errorf("many keys: %v", err)
	}
}

func TestSSHDHostKeyIsCheckedAndRecorded(t *testing.T) {
	t.Parallel()
	o := sshd(t)
	o.KnownHostsFile = filepath.Join(t.TempDir(), "known_hosts")
	var refused *host.HostKeyError
	if _, err := connect(t.Context(), o); !errors.As(err, &refused) || refused.Changed {
		t.Fatalf("got %v", err)
	}
	o.AcceptNewHostKeys = true
	dial(t, o)
	o.AcceptNewHostKeys = false
	dial(t, o)
}

func TestSSHDForwardsConnections(t *testing.T) {
	t.Parallel()
	o := sshd(t)
	bastion := sshd(t)
	o.Bastion = &bastion
	h := dial(t, o)
	conn, err := h.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	banner := make([]byte, 4)
	if _, err := conn.Read(banner); err != nil || string(banner) != "SSH-" {
		t.Errorf("got %q, %v", banner, err)
	}
}

func TestSSHDUploadOntoAFullDisk(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", dir).Run(); err != nil {
		t.Skip("cannot mount a tmpfs")
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	h := dial(t, sshd(t))
	blob := newBlob(t, filepath.Join(dir, "blob"), 5<<20)
	want := fmt.Sprintf("n1: upload to %s: n1: receive.sh: exit code 1: "+
		"no space left on device in %s: 2 MiB free, 5 MiB needed", dir, dir)
	if err := h.Upload(t.Context(), blob); err == nil || err.Error() != want {
		t.Errorf("upload: %v, want %s", err, want)
	}
	big := host.File{Path: filepath.Join(dir, "file"), Content: make([]byte, 4<<20)}
	if err := h.WriteFiles(t.Context(), big); err == nil || !strings.Contains(err.Error(), "no space left on device in "+dir) {
		t.Errorf("write: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
