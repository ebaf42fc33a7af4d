package systemd_test

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/hosttest"
)

func TestEnableScriptDoesNotStartTheService(t *testing.T) {
	t.Parallel()
	h := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{"systemctl": `echo "$*"`})}}
	out, _, code := h.Script(t, "systemd/enable.sh", "x.service")
	if want := "daemon-reload\nenable --quiet x.service\n"; code != 0 || out != want {
		t.Errorf("exit code %d, %q, want %q", code, out, want)
	}
}

func TestAServiceThatDoesNotStartFailsWithTheEndOfItsLog(t *testing.T) {
	t.Parallel()
	h := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{
		"systemctl": `[ "$1" != restart ]`, "journalctl": `echo "log of $*"`,
	})}}
	_, stderr, code := h.Script(t, "systemd/service.sh", "start", t.TempDir(), "x.service", "/etc/x")
	if code != 1 || !strings.Contains(stderr, "log of --no-pager --lines 20 --unit x.service") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
