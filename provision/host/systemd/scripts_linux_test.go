package systemd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/templates"
)

// systemd is a stand-in for systemctl and journalctl in a folder of programs.
func systemd(t *testing.T, systemctl string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"systemctl": systemctl, "journalctl": `echo "log of $*"`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir + string(filepath.ListSeparator) + os.Getenv("PATH")
}

// runScript runs a script as hosts do, with another PATH.
func runScript(t *testing.T, script, path string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = bytes.NewReader(templates.Script(script))
	cmd.Env = append(os.Environ(), "PATH="+path)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestStateScript(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
	answers := func(enabled, active, started string) string {
		return `case $1 in is-enabled) echo ` + enabled + `; [ ` + enabled + ` = enabled ] ;;
			is-active) echo ` + active + `; [ ` + active + ` = active ] ;;
			show) echo "@` + started + `" ;; *) exit 9 ;; esac`
	}
	tests := []struct{ name, systemctl, file, want string }{
		{"it runs with the file", answers("enabled", "active", "1700000001"), file, "ok\n"},
		{"it was started in the second in which the file was written", answers("enabled", "active", "1700000000"), file, "ok\n"},
		{"the file was written later", answers("enabled", "active", "1699999999"), file, file + " is newer than the running x.service\n"},
		{"the file is missing", answers("enabled", "active", "1700000001"), file + "x", file + "x is missing\n"},
		{"it is not enabled", answers("disabled", "active", "1700000001"), file, "x.service is not enabled\n"},
		{"it does not run", answers("enabled", "failed", "0"), file, "x.service is failed\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, complaints, code := runScript(t, "systemd/state.sh", systemd(t, test.systemctl), "x.service", test.file)
			if code != 0 || out != test.want {
				t.Errorf("exit code %d, %q, want %q; %s", code, out, test.want, complaints)
			}
		})
	}
}

func TestStartScript(t *testing.T) {
	t.Parallel()
	t.Run("enables and restarts", func(t *testing.T) {
		t.Parallel()
		out, _, code := runScript(t, "systemd/start.sh", systemd(t, `echo "$*"`), "x.service")
		if want := "daemon-reload\nenable --quiet x.service\nrestart x.service\n"; code != 0 || out != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
	})
	t.Run("tells the log of what does not come up", func(t *testing.T) {
		t.Parallel()
		_, complaints, code := runScript(t, "systemd/start.sh", systemd(t, `[ "$1" != restart ]`), "x.service")
		if code != 1 || !strings.Contains(complaints, "log of --no-pager --lines 20 --unit x.service") {
			t.Errorf("exit code %d, %q", code, complaints)
		}
	})
	t.Run("enabling starts nothing", func(t *testing.T) {
		t.Parallel()
		out, _, code := runScript(t, "systemd/enable.sh", systemd(t, `echo "$*"`), "x.service")
		if want := "daemon-reload\nenable --quiet x.service\n"; code != 0 || out != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
	})
}
