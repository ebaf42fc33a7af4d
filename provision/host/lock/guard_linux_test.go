package lock

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"slipway.io/slipway/provision/host/hosttest"
)

// mode returns the type and the permissions of a file.
func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func TestOtherUsersCannotOpenTheLock(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(dir string) error{
		"in a new directory": func(string) error { return nil },
		"in the directory of an earlier version": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/lock.guard", nil, 0o644))
		},
		"in a directory that everybody can write to": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o777))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "run")
			if err := before(dir); err != nil {
				t.Fatal(err)
			}
			if out, code := lockScript(t, dir, "take", "aa", "60", `{"token":"aa"}`, "", "10"); code != 0 {
				t.Fatalf("exit code %d: %s", code, out)
			}
			for path, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, dir + "/lock.guard": 0o600, dir + "/lock": 0o600} {
				if got := mode(t, path); got != want {
					t.Errorf("%s has the mode %s, want %s", path, got, want)
				}
			}
		})
	}
}

func TestFilesThatAnotherUserPreparedAreRefused(t *testing.T) {
	t.Parallel()
	mkdir := func(dir string) error { return os.Mkdir(dir, 0o777) }
	tests := []struct {
		name, refused string
		before        func(dir, victim string) error
		id            string // of this user, if the test needs another one
	}{
		{"a link to a directory", "/run", func(dir, victim string) error { return os.Symlink(filepath.Dir(victim), dir) }, ""},
		{"a link to nothing", "/run", func(dir, victim string) error { return os.Symlink(victim+"-none", dir) }, ""},
		{"a directory of another user", "/run", func(dir, _ string) error { return mkdir(dir) }, "12345"},
		{"a link in the place of the guard", "/run/lock.guard", func(dir, victim string) error {
			return errors.Join(mkdir(dir), os.Symlink(victim, dir+"/lock.guard"))
		}, ""},
		{"a guard that blocks whoever opens it", "/run/lock.guard", func(dir, _ string) error {
			return errors.Join(mkdir(dir), syscall.Mkfifo(dir+"/lock.guard", 0o666))
		}, ""},
		{"a link in the place of the lock", "/run/lock", func(dir, victim string) error {
			return errors.Join(mkdir(dir), os.Symlink(victim, dir+"/lock"))
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir, victim := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "victim")
			write(t, victim, "precious")
			if err := test.before(dir, victim); err != nil {
				t.Fatal(err)
			}
			on := hosttest.Local{}
			if test.id != "" {
				on.Env = []string{hosttest.Programs(t, map[string]string{"id": "echo " + test.id})}
			}
			_, stderr, code := on.Script(t, "lock/lock.sh", dir, "take", "aa", "60", `{"token":"aa"}`, "", "10")
			want := filepath.Dir(dir) + test.refused + " is not a file or directory of slipway: find out who created it, and delete it\n"
			if code != 1 || stderr != want {
				t.Errorf("exit code %d and %q, want %q", code, stderr, want)
			}
			content, err := os.ReadFile(victim)
			if err != nil || string(content) != "precious" || mode(t, victim) != 0o640 {
				t.Errorf("the file behind the link is now %q, mode %s, %v", content, mode(t, victim), err)
			}
		})
	}
}

func TestAGuardThatIsLockedEndsTheWait(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	guard, err := os.OpenFile(dir+"/lock.guard", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	if err := syscall.Flock(int(guard.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := hosttest.Local{}.Script(t, "lock/lock.sh", dir, "take", "aa", "60", `{"token":"aa"}`, "", "1")
	if want := "timed out waiting for " + dir + "/lock.guard after 1 s: another program locks it"; code != 1 || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit code %d and %q, want %q", code, stderr, want)
	}
	if _, err := os.Stat(dir + "/lock"); !os.IsNotExist(err) {
		t.Errorf("the lock is taken: %v", err)
	}
}
