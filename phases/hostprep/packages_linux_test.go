package hostprep

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// packageManager runs the script that installs packages, with the locks below a directory
// and a limit of seconds, and returns its output, its error and the calls of the package
// manager.
func packageManager(t *testing.T, script, root, limit string, programs map[string]string) (out string, calls []string, err error) {
	t.Helper()
	log := t.TempDir() + "/calls"
	text := strings.ReplaceAll(string(templates.Script(script)), "/var/", root+"/var/")
	text = strings.Replace(text, "limit=900", "limit="+limit, 1)
	all := map[string]string{"dpkg": "exit 0"}
	for _, name := range []string{"apt-get", "dnf"} {
		all[name] = `echo "` + name + ` $*" >>` + log + "\n" + programs[name]
	}
	local := hosttest.Local{Env: []string{hosttest.Programs(t, all)}}
	var output bytes.Buffer
	cmd := host.Script("packages.sh", []byte(text), "haproxy")
	cmd.Output = &output
	_, err = local.Run(t.Context(), cmd)
	content, readErr := os.ReadFile(log)
	if readErr != nil && !os.IsNotExist(readErr) {
		t.Fatal(readErr)
	}
	return output.String(), strings.FieldsFunc(string(content), func(r rune) bool { return r == '\n' }), err
}

// hold locks a file as dpkg and rpm do, and returns a function that releases it. The lock
// belongs to this process.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	return func() { _ = file.Close() }
}

func TestPackagesWaitForTheLocksOfOthers(t *testing.T) {
	t.Parallel()
	const (
		debianScript, redHatScript = "hostprep/packages-debian.sh", "hostprep/packages-redhat.sh"
		apt                        = "apt-get -q -y -o DPkg::Lock::Timeout=60 --no-install-recommends install haproxy"
		dnf                        = "dnf -q -y install haproxy"
	)
	for name, test := range map[string]struct{ script, lock, want string }{
		"the lock of dpkg":        {debianScript, "/var/lib/dpkg/lock-frontend", apt},
		"the lists of apt":        {debianScript, "/var/lib/apt/lists/lock", apt},
		"the cache of apt":        {debianScript, "/var/cache/apt/archives/lock", apt},
		"the lock of rpm":         {redHatScript, "/var/lib/rpm/.rpm.lock", dnf},
		"no lock, with Debian":    {debianScript, "", apt},
		"no lock, with a Red Hat": {redHatScript, "", dnf},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if test.lock != "" {
				release := hold(t, root+test.lock)
				time.AfterFunc(1500*time.Millisecond, release)
			}
			out, calls, err := packageManager(t, test.script, root, "60", nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want}, calls); diff != "" {
				t.Error(diff)
			}
			said := strings.Contains(out, "slipway: waiting for ") && strings.Contains(out, ", which holds "+root+test.lock+" (0 of at most 60 s)\n")
			if said != (test.lock != "") {
				t.Errorf("it says %q", out)
			}
		})
	}
}

func TestPackagesDoNotWaitForever(t *testing.T) {
	t.Parallel()
	for script, lock := range map[string]string{
		"hostprep/packages-debian.sh": "/var/lib/apt/lists/lock", "hostprep/packages-redhat.sh": "/var/lib/rpm/.rpm.lock",
	} {
		root := t.TempDir()
		release := hold(t, root+lock)
		_, calls, err := packageManager(t, script, root, "1", nil)
		release()
		var exit *host.ExitError
		if !errors.As(err, &exit) || exit.Code != 75 || !strings.Contains(exit.Stderr, "the package manager is locked, after 1 s still by ") || len(calls) > 0 {
			t.Errorf("%s: %v, calls %q", script, err, calls)
		}
	}
}

// A program may take the lock of the lists after the script has looked.
func TestPackagesTryAgainIfAnotherProgramWasFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	release := hold(t, root+"/var/cache/dnf/other")
	defer release()
	// The first call of dnf starts a program that holds the lock for a second, and fails.
	taken := root + "/var/lib/rpm/.rpm.lock"
	if err := os.MkdirAll(filepath.Dir(taken), 0o755); err != nil {
		t.Fatal(err)
	}
	dnf := "[ -e " + taken + " ] && exit 0; flock " + taken + " sleep 2 >/dev/null 2>&1 & sleep 1; exit 1"
	out, calls, err := packageManager(t, "hostprep/packages-redhat.sh", root, "60", map[string]string{"dnf": dnf})
	if err != nil || len(calls) != 2 || !strings.Contains(out, "slipway: waiting for ") {
		t.Errorf("%v, calls %q, output %q", err, calls, out)
	}
}

func TestPackagesOfAFailedInstallationAreNotTriedForever(t *testing.T) {
	t.Parallel()
	_, calls, err := packageManager(t, "hostprep/packages-debian.sh", t.TempDir(), "60", map[string]string{"apt-get": "exit 100"})
	// Install, update the lists.
	if err == nil || len(calls) != 2 {
		t.Errorf("%v, calls %q", err, calls)
	}
}

// The number in a file of dnf may be that of another program.
func TestPackagesDoNotWaitForAProcessThatIsNoPackageManager(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	release := hold(t, root+"/var/cache/dnf/metadata_lock.pid")
	defer release()
	for _, pid := range []string{"1", "", "999999999"} {
		if err := os.WriteFile(root+"/var/cache/dnf/metadata_lock.pid", []byte(pid), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, calls, err := packageManager(t, "hostprep/packages-redhat.sh", root, "1", nil); err != nil || len(calls) != 1 {
			t.Errorf("pid %q: %v, calls %q, output %q", pid, err, calls, out)
		}
	}
}
