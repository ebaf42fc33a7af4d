package systemd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/systemd"
)

// What the script needs of systemd, for hosts without one.
const (
	fakeSystemdRun = `#!/bin/sh
set -eu
while :; do
	case $1 in
	--unit=*) unit=${1#--unit=} ;;
	--*) ;;
	*) break ;;
	esac
	echo "$1" >>"$FAKE_SYSTEMD/options"
	shift
done
echo "$unit" >>"$FAKE_SYSTEMD/starts"
# A parent that reaps it, as PID 1 does.
pid=$FAKE_SYSTEMD/$unit.pid
rm -f "$pid"
setsid sh -c 'pid=$0; "$@" & echo $! >"$pid.new"; mv "$pid.new" "$pid"; wait' "$pid" "$@" </dev/null >/dev/null 2>&1 9>&- &
while ! [ -e "$pid" ]; do sleep 0.01; done
`
	fakeSystemctl = `#!/bin/sh
set -eu
[ "$1" = show ] || exit 0
pid=$(cat "$FAKE_SYSTEMD/$4.pid" 2>/dev/null || echo 0)
[ "$pid" -gt 0 ] && kill -0 "$pid" 2>/dev/null || pid=0
case $2 in
--property=ActiveState) if [ "$pid" -gt 0 ]; then echo active; else echo inactive; fi ;;
--property=MainPID) echo "$pid" ;;
--property=Result) echo oom-kill ;;
esac
`
)

// unitMachine is this computer with a fake systemd.
type unitMachine struct {
	localHost
	dir, systemd string

	mu   sync.Mutex
	runs []string // the AGE argument of each Run
	// meddle may replace a Run by something else.
	meddle func(ctx context.Context, n int, cmd host.Cmd) (host.Result, error, bool)
}

func newUnitMachine(t *testing.T) *unitMachine {
	t.Helper()
	programs, systemd := t.TempDir(), t.TempDir()
	program(t, programs, "systemd-run", fakeSystemdRun)
	program(t, programs, "systemctl", fakeSystemctl)
	return &unitMachine{
		localHost: localHost{programs: programs, env: []string{"FAKE_SYSTEMD=" + systemd}},
		dir:       t.TempDir(), systemd: systemd,
	}
}

func (m *unitMachine) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	m.mu.Lock()
	m.runs = append(m.runs, cmd.Argv[5])
	n := len(m.runs)
	m.mu.Unlock()
	if m.meddle != nil {
		if result, err, instead := m.meddle(ctx, n, cmd); instead {
			return result, err
		}
	}
	return m.localHost.Run(ctx, cmd)
}

func (m *unitMachine) run(t *testing.T, u systemd.Unit) (host.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return systemd.RunIn(ctx, m, u, m.dir)
}

func (m *unitMachine) starts(t *testing.T) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(m.systemd, "starts"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(content), "\n")
}
