package ssh_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/ssh"
)

const (
	banner     = "Authorized use only.\nsudo: not really\n$ "
	unresolved = "sudo: unable to resolve host n1: Name or service not known\n"
)

// bobOn returns options to log in as a user who needs sudo.
func bobOn(s *hosttest.Server, password string) ssh.Options {
	o := optionsFor(s)
	o.User = "bob"
	if password != "" {
		o.SudoPassword = func(context.Context) (string, error) { return password, nil }
	}
	return o
}

func TestAWarningOfSudoDoesNotTurnAnExitCodeIntoADenial(t *testing.T) {
	t.Parallel()
	for name, password := range map[string]string{"without a password": "", "with a password": "pw"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sudo := "free"
			if password != "" {
				sudo = password
			}
			s := shellServer(t, hosttest.ServerConfig{}, "FAKE_SUDO="+sudo, "FAKE_SUDO_WARNING="+unresolved, "FAKE_SUDO_LOG=/dev/null")
			h := dial(t, bobOn(s, password))
			for code, script := range map[int]string{1: "exit 1", 127: "exit 127", 3: "echo no >&2; exit 3"} {
				_, err := h.Run(t.Context(), host.Script("fail", []byte(script)))
				var exit *host.ExitError
				if !errors.As(err, &exit) || errors.Is(err, host.ErrSudo) || exit.Code != code || strings.Contains(exit.Stderr, "sudo") {
					t.Errorf("%s: got %v", script, err)
				}
			}
			result, err := h.Query(t.Context(), host.Script("succeed", []byte("echo out; echo err >&2")))
			if err != nil || string(result.Stdout) != "out\n" || string(result.Stderr) != "err\n" {
				t.Errorf("got %q and %q, %v", result.Stdout, result.Stderr, err)
			}
		})
	}
}

func TestThePasswordIsTriedWhateverPrecedesTheRefusal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ banner, warning string }{
		"a banner":                        {banner: banner},
		"a warning of sudo":               {warning: unresolved},
		"a banner and a warning":          {banner: banner, warning: unresolved},
		"a long banner":                   {banner: strings.Repeat("All activity is logged.\n", 10_000)},
		"a banner without an end of line": {banner: "Welcome"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shellServer(t, hosttest.ServerConfig{Banner: test.banner}, "FAKE_SUDO=pw", "FAKE_SUDO_WARNING="+test.warning, "FAKE_SUDO_LOG=/dev/null")
			result, err := dial(t, bobOn(s, "pw")).Run(t.Context(), host.Script("id", []byte("echo $FAKE_ROOT")))
			if err != nil || string(result.Stdout) != "yes\n" {
				t.Errorf("got %q, %v", result.Stdout, err)
			}
			_, err = dial(t, bobOn(s, "wrong")).Run(t.Context(), host.Script("id", []byte("echo $FAKE_ROOT")))
			if !errors.Is(err, host.ErrSudo) || !strings.Contains(err.Error(), "sudo: 1 incorrect password attempt") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

func TestABannerIsNotPartOfTheOutput(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for name, user := range map[string]string{"without sudo": "root", "with sudo": "bob"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shellServer(t, hosttest.ServerConfig{Banner: banner}, "FAKE_SUDO=pw", "FAKE_SUDO_LOG=/dev/null")
			o := bobOn(s, "pw")
			o.User = user
			checkBannerIsSkipped(t, dial(t, o))
		})
	}
}

// checkBannerIsSkipped uses each method of a host that prints banners.
func checkBannerIsSkipped(t *testing.T, h *ssh.Host) {
	t.Helper()
	script := []byte(`cat; echo "out $1"; echo err >&2; exit "$2"`)
	for name, run := range map[string]func(context.Context, host.Cmd) (host.Result, error){"Query": h.Query, "Run": h.Run} {
		result, err := run(t.Context(), host.Script("both", script, "x", "0"))
		if err != nil || string(result.Stdout) != "out x\n" || string(result.Stderr) != "err\n" {
			t.Errorf("%s: got %q and %q, %v", name, result.Stdout, result.Stderr, err)
		}
		_, err = run(t.Context(), host.Script("fail", script, "x", "1"))
		var exit *host.ExitError
		if !errors.As(err, &exit) || exit.Code != 1 || exit.Stdout != "out x\n" || exit.Stderr != "err\n" {
			t.Errorf("%s: got %v (%+v)", name, err, exit)
		}
	}
	var streamed strings.Builder
	if _, err := h.Run(t.Context(), host.Cmd{Argv: []string{"echo", "line"}, Output: &streamed}); err != nil || streamed.String() != "line\n" {
		t.Errorf("streamed %q, %v", streamed.String(), err)
	}
	dir := t.TempDir()
	file := host.File{Path: filepath.Join(dir, "x", "f"), Content: []byte("content"), UID: os.Getuid(), GID: os.Getgid()}
	if err := h.WriteFiles(t.Context(), file); err != nil {
		t.Errorf("WriteFiles: %v", err)
	}
	if content, err := h.ReadFile(t.Context(), file.Path); err != nil || string(content) != "content" {
		t.Errorf("ReadFile: %q, %v", content, err)
	}
	if differ, err := h.Differs(t.Context(), file); err != nil || len(differ) > 0 {
		t.Errorf("Differs: %v, %v", differ, err)
	}
	blob := newBlob(t, filepath.Join(dir, "blob"), 1<<20)
	if err := h.Upload(t.Context(), blob); err != nil || !sameContent(t, blob.Path, blob.Source) {
		t.Errorf("Upload: %v", err)
	}
}

func TestACommandThatASignalEndsIsNotDenied(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{Banner: banner}, "FAKE_SUDO=free", "FAKE_SUDO_WARNING="+unresolved)
	_, err := dial(t, bobOn(s, "")).Run(t.Context(), host.Script("kill", []byte("kill -KILL $$")))
	var exit *host.ExitError
	if !errors.As(err, &exit) || errors.Is(err, host.ErrSudo) || exit.Code == 0 || exit.Code == 1 {
		t.Errorf("got %v", err)
	}
}

func TestACommandUnderABannerStopsWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	s := shellServer(t, hosttest.ServerConfig{Banner: banner}, "FAKE_SUDO=free", "FAKE_SUDO_WARNING="+unresolved)
	h := dial(t, bobOn(s, ""))
	ctx, cancel := context.WithCancel(t.Context())
	pid := filepath.Join(t.TempDir(), "pid")
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, host.Script("sleep", []byte(`echo $$ >"$1.new"; mv "$1.new" "$1"; sleep 600`), pid))
		done <- err
	}()
	waitUntil(t, "the command runs", func() bool { _, err := os.Stat(pid); return err == nil })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	process, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(process))); err == nil {
		t.Error("the process still runs")
	}
	if _, err := h.Query(within(t, 10*time.Second), hello); err != nil {
		t.Error(err)
	}
}

// An account without a shell is not a refusal of sudo, and gets no password.
func TestALoginShellThatRunsNoCommandIsReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		user string
		code int
	}{
		"root, exit code 1":             {"root", 1},
		"root, exit code 0":             {"root", 0},
		"a user with sudo, exit code 1": {"bob", 1},
		"a user with sudo, exit code 0": {"bob", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var received atomic.Int64
			s := hosttest.NewServer(t, hosttest.ServerConfig{Exec: func(_ context.Context, e hosttest.Exec) int {
				// A wrapper may print the command line that it does not run.
				_, _ = io.WriteString(e.Stdout, e.Command+"\nThis account is currently not available.\n")
				n, _ := io.Copy(io.Discard, e.Stdin)
				received.Add(n)
				return test.code
			}})
			o := bobOn(s, "pw")
			o.User = test.user
			_, err := dial(t, o).Run(t.Context(), host.Cmd{Argv: []string{"true"}, Sudo: true})
			if err == nil || errors.Is(err, host.ErrSudo) || host.Exited(err) ||
				!strings.Contains(err.Error(), "the login shell does not run commands") || !strings.Contains(err.Error(), "This account is currently not available.") {
				t.Errorf("got %v", err)
			}
			if received.Load() > 0 {
				t.Error("the password was sent")
			}
		})
	}
}

func TestATextWithoutEndInPlaceOfSFTPIsAnError(t *testing.T) {
	t.Parallel()
	s := hosttest.NewServer(t, hosttest.ServerConfig{Exec: func(ctx context.Context, e hosttest.Exec) int {
		for ctx.Err() == nil {
			if _, err := io.WriteString(e.Stdout, strings.Repeat("y\n", 1000)); err != nil {
				break
			}
		}
		return 1
	}})
	_, err := dial(t, optionsFor(s)).ReadFile(within(t, 20*time.Second), "/proc/version")
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the SFTP server prints text") {
		t.Errorf("got %v", err)
	}
}

// bannerCommand is a forced command that prints a banner on both streams, as a
// profile does.
const bannerCommand = `ForceCommand echo Welcome; echo Welcome >&2; `

func TestSSHDBannersAreNotPartOfTheOutput(t *testing.T) {
	t.Parallel()
	needRoot(t)
	o := sshd(t, bannerCommand+`eval "$SSH_ORIGINAL_COMMAND"`)
	checkBannerIsSkipped(t, dial(t, o))
}

func TestSSHDBannerBeforeItsSubsystem(t *testing.T) {
	t.Parallel()
	needRoot(t)
	server, err := exec.LookPath("/usr/lib/openssh/sftp-server")
	if err != nil {
		t.Skip("no /usr/lib/openssh/sftp-server")
	}
	o := sshd(t, bannerCommand+`case "$SSH_ORIGINAL_COMMAND" in *"-u 077"*) exit 127 ;; internal-sftp) exec `+server+
		` ;; *) eval "$SSH_ORIGINAL_COMMAND" ;; esac`)
	checkBannerIsSkipped(t, dial(t, o))
}

func TestSSHDThatRunsOnlyAForcedCommandIsReported(t *testing.T) {
	t.Parallel()
	needRoot(t)
	_, err := dial(t, sshd(t, `ForceCommand echo "This service allows sftp connections only."`)).Query(t.Context(), hello)
	if err == nil || !strings.Contains(err.Error(), "the login shell does not run commands: This service allows sftp connections only.") {
		t.Errorf("got %v", err)
	}
}
