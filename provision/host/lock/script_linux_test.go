package lock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slipway.io/slipway/templates"
)

// sh runs the script as hosts do, and returns its output and exit code.
func sh(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = bytes.NewReader(templates.Script("lock/lock.sh"))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Logf("%s", exit.Stderr)
	} else if err != nil {
		t.Error(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func mustSh(t *testing.T, args ...string) {
	t.Helper()
	if out, code := sh(t, args...); code != 0 || out != "" {
		t.Fatalf("%q: exit code %d: %s", args, code, out)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
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
		{"one's own lock is renewed", "take", func(t *testing.T, dir string) { write(t, dir+"/lock", mine+"\n") }, 0, "", mine + "\n"},
		{"another's lock is held, and says by whom", "take", at(0), 75, theirs + "\n", theirs + "\n"},
		{"another's lock is held until it expires", "take", at(30 * time.Second), 75, theirs + "\n", theirs + "\n"},
		{"a lock that expired is taken over", "take", at(61 * time.Second), 0, "", mine + "\n"},
		{"a lock is held though the clock was set back a little", "take", at(-30 * time.Second), 75, theirs + "\n", theirs + "\n"},
		{"a lock from the future is taken over", "take", at(-time.Hour), 0, "", mine + "\n"},
		{"an empty lock is none", "take", func(t *testing.T, dir string) { write(t, dir+"/lock", "") }, 0, "", mine + "\n"},
		{"one's own lock is released", "release", func(t *testing.T, dir string) { write(t, dir+"/lock", mine+"\n") }, 0, "", ""},
		{"another's lock is not released", "release", at(0), 0, "", theirs + "\n"},
		{"another's lock is not released though it expired", "release", at(time.Hour), 0, "", theirs + "\n"},
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
			out, code := sh(t, dir, test.verb, "aa", "60", mine)
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

func TestARenewedLockIsAsFreshAsANewOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const mine, theirs = `{"token":"aa"}`, `{"token":"bb"}`
	mustSh(t, dir, "take", "aa", "60", mine)
	old := time.Now().Add(-55 * time.Second)
	if err := os.Chtimes(dir+"/lock", old, old); err != nil {
		t.Fatal(err)
	}
	mustSh(t, dir, "take", "aa", "60", mine)
	if _, code := sh(t, dir, "take", "bb", "30", theirs); code != 75 {
		t.Errorf("exit code %d, want 75: the renewal did not count", code)
	}
}

func TestOfManyInstallersOneGetsTheLock(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	var all sync.WaitGroup
	var won []string
	var mu sync.Mutex
	for i := range 10 {
		token := fmt.Sprintf("t%d", i)
		all.Go(func() {
			_, code := sh(t, dir, "take", token, "60", `{"token":"`+token+`"}`)
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
	if len(won) != 1 || !strings.Contains(read(t, dir+"/lock"), won[0]) {
		t.Errorf("%v have the lock, which says %s", won, read(t, dir+"/lock"))
	}
}
