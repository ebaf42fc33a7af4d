package lock

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slipway.io/slipway/provision/host/hosttest"
)

// lockScript runs lock.sh, and returns its standard output and exit code.
func lockScript(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, stderr, code := hosttest.Local{}.Script(t, "lock/lock.sh", args...)
	if stderr != "" {
		t.Log(stderr)
	}
	return out, code
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

func TestLockScript(t *testing.T) {
	t.Parallel()
	const (
		mine   = `{"token":"aa","holder":"me@here"}`
		theirs = `{"token":"bb","holder":"you@there"}`
	)
	at := func(age time.Duration) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir+"/lock", theirs+"\n")
			then := time.Now().Add(-age)
			if err := os.Chtimes(dir+"/lock", then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name, verb string
		before     func(t *testing.T, dir string)
		code       int
		out, after string
	}{
		{"a free lock is taken", "take", nil, 0, "", mine + "\n"},
		{"your own lock is renewed", "take", func(t *testing.T, dir string) { write(t, dir+"/lock", mine+"\n") }, 0, "", mine + "\n"},
		{"another's lock is held, and its record is printed", "take", at(0), 75, theirs + "\n", theirs + "\n"},
		{"another's lock is held until it expires", "take", at(30 * time.Second), 75, theirs + "\n", theirs + "\n"},
		{"an expired lock is taken over", "take", at(61 * time.Second), 0, "", mine + "\n"},
		{"a lock remains held if the clock was set back a little", "take", at(-30 * time.Second), 75, theirs + "\n", theirs + "\n"},
		{"a lock from the future is taken over", "take", at(-time.Hour), 0, "", mine + "\n"},
		{"an empty lock file is ignored", "take", func(t *testing.T, dir string) { write(t, dir+"/lock", "") }, 0, "", mine + "\n"},
		{"your own lock is released", "release", func(t *testing.T, dir string) { write(t, dir+"/lock", mine+"\n") }, 0, "", ""},
		{"another's lock is not released", "release", at(0), 0, "", theirs + "\n"},
		{"another's expired lock is not released", "release", at(time.Hour), 0, "", theirs + "\n"},
		{"a lock that nobody holds can be released", "release", nil, 0, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "run")
			if test.before != nil {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				test.before(t, dir)
			}
			out, code := lockScript(t, dir, test.verb, "aa", "60", mine, "", "10")
			if code != test.code || out != test.out {
				t.Errorf("exit code %d and %q, want %d and %q", code, out, test.code, test.out)
			}
			after, err := os.ReadFile(dir + "/lock")
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if string(after) != test.after {
				t.Errorf("the lock is %q, want %q", after, test.after)
			}
		})
	}
}

func TestOnlyTheLockOfAnInstallerThatHasEndedIsTakenOver(t *testing.T) {
	t.Parallel()
	const mine, theirs = `{"token":"aa"}`, `{"token":"bb"}`
	for ended, want := range map[string]int{"bb": 0, "cc": 75, "b": 75, "": 75} {
		dir := t.TempDir()
		write(t, dir+"/lock", theirs+"\n")
		if out, code := lockScript(t, dir, "take", "aa", "60", mine, ended, "10"); code != want {
			t.Errorf("installer %q has ended: exit code %d and %s, want %d", ended, code, out, want)
		}
	}
}

func TestRenewingALockExtendsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const mine, theirs = `{"token":"aa"}`, `{"token":"bb"}`
	take := func() {
		t.Helper()
		if out, code := lockScript(t, dir, "take", "aa", "60", mine, "", "10"); code != 0 || out != "" {
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	take()
	old := time.Now().Add(-55 * time.Second)
	if err := os.Chtimes(dir+"/lock", old, old); err != nil {
		t.Fatal(err)
	}
	take()
	if _, code := lockScript(t, dir, "take", "bb", "30", theirs, "", "10"); code != 75 {
		t.Errorf("exit code %d, want 75: the lock was not renewed", code)
	}
}

func TestOnlyOneOfManyInstallersGetsTheLock(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	var all sync.WaitGroup
	var won []string
	var mu sync.Mutex
	for i := range 10 {
		token := fmt.Sprintf("t%d", i)
		all.Go(func() {
			_, code := lockScript(t, dir, "take", token, "60", `{"token":"`+token+`"}`, "", "10")
			mu.Lock()
			defer mu.Unlock()
			switch code {
			case 0:
				won = append(won, token)
			case 75:
			default:
				t.Errorf("exit code %d", code)
			}
		})
	}
	all.Wait()
	record, err := os.ReadFile(dir + "/lock")
	if err != nil || len(won) != 1 || !strings.Contains(string(record), won[0]) {
		t.Errorf("%v have the lock, the record is %s, %v", won, record, err)
	}
}
