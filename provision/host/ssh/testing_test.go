package ssh_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/ssh"
)

// fakeSudo replaces sudo. FAKE_SUDO is "free", "denied" or the password. Like sudo, it
// prints warnings first (FAKE_SUDO_WARNING), and the command that it denies.
const fakeSudo = `#!/bin/sh
printf '%s' "$FAKE_SUDO_WARNING" >&2
ask=yes
while :; do
	case $1 in
	-n) ask=no ;;
	-k | -S | -H) ;;
	-p) shift ;;
	--) shift; break ;;
	*) echo "fake sudo: unknown option $1" >&2; exit 99 ;;
	esac
	shift
done
case $FAKE_SUDO in
free) ;;
denied) echo "Sorry, user bob is not allowed to execute '$*' as root on n1." >&2; exit 1 ;;
*)
	if [ $ask = no ]; then echo "sudo: a password is required" >&2; exit 1; fi
	IFS= read -r line
	echo "asked" >>"$FAKE_SUDO_LOG"
	if [ "$line" != "$FAKE_SUDO" ]; then echo "sudo: 1 incorrect password attempt" >&2; exit 1; fi
	;;
esac
FAKE_ROOT=yes exec "$@"
`

// sudoProgram returns a directory with the fake sudo.
func sudoProgram(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte(fakeSudo), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shellServer runs commands on localhost and serves SFTP in the process.
func shellServer(t testing.TB, config hosttest.ServerConfig, env ...string) *hosttest.Server {
	t.Helper()
	config.SFTP = true
	config.Exec = hosttest.Shell(sudoProgram(t), env...)
	return hosttest.NewServer(t, config)
}

// optionsFor returns options to log in to the server as root.
func optionsFor(s *hosttest.Server) ssh.Options {
	return ssh.Options{
		Name: "n1", Address: s.Address, Port: s.Port, User: "root",
		IdentityFile: s.KeyFile, KnownHostsFile: s.KnownHosts(),
		Timeouts: ssh.Timeouts{Connect: 10 * time.Second},
	}
}

// connect returns a host that is connected.
func connect(ctx context.Context, o ssh.Options) (*ssh.Host, error) {
	h, err := ssh.New(o)
	if err != nil {
		return nil, err
	}
	return h, h.Connect(ctx)
}

func dial(t testing.TB, o ssh.Options) *ssh.Host {
	t.Helper()
	h, err := connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// shellHost is a host that runs commands on localhost.
func shellHost(t testing.TB, config hosttest.ServerConfig) (*ssh.Host, *hosttest.Server) {
	t.Helper()
	s := shellServer(t, config)
	return dial(t, optionsFor(s)), s
}

// waitUntil polls for 20 s.
func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// processes counts the processes of localhost whose command line contains text.
func processes(t testing.TB, text string) int {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, entry := range entries {
		line, err := os.ReadFile(entry)
		if err == nil && strings.Contains(string(line), text) {
			count++
		}
	}
	return count
}

// temps lists temporary files.
func temps(t testing.TB, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".slipway-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// needRoot skips a test that uploads files, unless it runs as root.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: uploads belong to root")
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
