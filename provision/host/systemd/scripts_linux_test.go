package systemd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host/hosttest"
)

// withSystemctl is localhost with a fake systemctl and journalctl.
func withSystemctl(t *testing.T, script string) hosttest.Local {
	t.Helper()
	return hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{
		"systemctl": script, "journalctl": `echo "log of $*"`,
	})}}
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
			out, stderr, code := withSystemctl(t, test.systemctl).Script(t, "systemd/state.sh", "x.service", test.file)
			if code != 0 || out != test.want {
				t.Errorf("exit code %d, %q, want %q; %s", code, out, test.want, stderr)
			}
		})
	}
}

func TestStartScript(t *testing.T) {
	t.Parallel()
	t.Run("enables and restarts", func(t *testing.T) {
		t.Parallel()
		out, _, code := withSystemctl(t, `echo "$*"`).Script(t, "systemd/start.sh", "x.service")
		if want := "daemon-reload\nenable --quiet x.service\nrestart x.service\n"; code != 0 || out != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
	})
	t.Run("prints the log of a service that does not start", func(t *testing.T) {
		t.Parallel()
		_, stderr, code := withSystemctl(t, `[ "$1" != restart ]`).Script(t, "systemd/start.sh", "x.service")
		if code != 1 || !strings.Contains(stderr, "log of --no-pager --lines 20 --unit x.service") {
			t.Errorf("exit code %d, %q", code, stderr)
		}
	})
	t.Run("enabling does not start the service", func(t *testing.T) {
		t.Parallel()
		out, _, code := withSystemctl(t, `echo "$*"`).Script(t, "systemd/enable.sh", "x.service")
		if want := "daemon-reload\nenable --quiet x.service\n"; code != 0 || out != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
	})
}
