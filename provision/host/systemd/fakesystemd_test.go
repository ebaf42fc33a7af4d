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
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/systemd"
)

// These programs do what unit.sh needs of systemd.
const (
	fakeSystemdRun = `set -eu
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
# The outer shell reaps the command, as PID 1 does.
pid=$FAKE_SYSTEMD/$unit.pid
rm -f "$pid"
setsid sh -c 'pid=$0; "$@" & echo $! >"$pid.new"; mv "$pid.new" "$pid"; wait' "$pid" "$@" </dev/null >/dev/null 2>&1 9>&- &
while ! [ -e "$pid" ]; do sleep 0.01; done
`
	fakeSystemctl = `set -eu
if [ "$1" = stop ]; then
	echo "$2" >>"$FAKE_SYSTEMD/stops"
	pid=$(cat "$FAKE_SYSTEMD/$2.pid")
	group=$(ps -o pgid= -p "$pid" | tr -d ' ')
	[ -n "$group" ] || exit 5
	kill -KILL "-$group"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
	exit
fi
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

// unitHost is localhost with a fake systemd.
type unitHost struct {
	hosttest.Local
	dir, systemd string

	mu   sync.Mutex
	runs []string // the AGE argument of each Run
	// intercept may replace a Run: the last result tells whether it does.
	intercept func(ctx context.Context, n int, cmd host.Cmd) (host.Result, error, bool)
}

func newUnitHost(t *testing.T) *unitHost {
	t.Helper()
	dir := t.TempDir()
	path := hosttest.Programs(t, map[string]string{"systemd-run": fakeSystemdRun, "systemctl": fakeSystemctl})
	return &unitHost{Local: hosttest.Local{Env: []string{path, "FAKE_SYSTEMD=" + dir}}, dir: t.TempDir(), systemd: dir}
}

func (m *unitHost) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	m.mu.Lock()
	m.runs = append(m.runs, cmd.Argv[5])
	n := len(m.runs)
	m.mu.Unlock()
	if m.intercept != nil {
		if result, err, replaced := m.intercept(ctx, n, cmd); replaced {
			return result, err
		}
	}
	return m.Local.Run(ctx, cmd)
}

func (m *unitHost) run(t *testing.T, u systemd.Unit) (host.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return systemd.RunIn(ctx, m, u, m.dir)
}

func (m *unitHost) starts(t *testing.T) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(m.systemd, "starts"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(content), "\n")
}
