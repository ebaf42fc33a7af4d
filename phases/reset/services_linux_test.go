package reset

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/hosttest"
)

// fakeSystemctl is a systemd with one service: STATE/enabled exists if it is enabled,
// STATE/runs has the configuration with which it runs, and STATE/stopped the one that was
// on disk when it was stopped first.
const fakeSystemctl = `
conf=$STATE/haproxy.cfg
case $* in
"show --property=LoadState --value haproxy.service") [ -e "$conf" ] && echo loaded || echo not-found ;;
"is-enabled --quiet haproxy.service") [ -e $STATE/enabled ] ;;
"is-active --quiet haproxy.service") [ -e $STATE/runs ] ;;
"disable --quiet haproxy.service") rm -f $STATE/enabled ;;
"cat haproxy.service") [ -e "$conf" ] ;;
"restart haproxy.service") cat $conf >$STATE/runs ;;
"stop haproxy.service")
	[ -e $STATE/stopped ] || [ ! -e $STATE/runs ] || cat $conf >$STATE/stopped
	rm -f $STATE/runs ;;
daemon-reload | reset-failed*) ;;
*containerd.service* | *keepalived.service) exit 1 ;;
*) echo "systemctl $*" >&2; exit 9 ;;
esac`

func TestAResetLeavesAServiceAsItWasBefore(t *testing.T) {
	t.Parallel()
	const undo = `"undo":["systemctl","disable","--quiet","--now","haproxy.service"]`
	const debian, ours, theirs = "of Debian", "of slipway", "of the user"
	none, left := map[string]string{}, map[string]string{"haproxy.cfg": debian}
	tests := []struct {
		name   string
		before map[string]string // the state of the host
		steps  int               // those of apply that were made
		old    bool              // an earlier version of slipway has prepared the host
		want   map[string]string
		note   string
	}{
		{"a package that slipway installed", none, 4, false, map[string]string{"haproxy.cfg": debian, "stopped": ours}, ""},
		{"a run that was killed before the start", none, 3, false, map[string]string{"haproxy.cfg": debian, "stopped": ours}, ""},
		{"a run that was killed after the installation", none, 2, false, map[string]string{"haproxy.cfg": debian, "stopped": debian}, ""},
		{"a run that was killed before the installation", none, 1, false, none, ""},
		{"a host that was reset before", left, 4, false, map[string]string{"haproxy.cfg": debian, "stopped": ours}, ""},
		{
			"a service that ran and was enabled",
			map[string]string{"haproxy.cfg": theirs, "enabled": "", "runs": theirs},
			4, false,
			map[string]string{"haproxy.cfg": theirs, "enabled": "", "runs": theirs, "stopped": ours},
			"",
		},
		{
			"a service that ran and was not enabled",
			map[string]string{"haproxy.cfg": theirs, "runs": theirs},
			4, false,
			map[string]string{"haproxy.cfg": theirs, "runs": theirs, "stopped": ours},
			"",
		},
		{
			"a service that was enabled and did not run",
			map[string]string{"haproxy.cfg": theirs, "enabled": ""},
			4, false,
			map[string]string{"haproxy.cfg": theirs, "enabled": "", "stopped": ours},
			"",
		},
		{"an old journal of a service that was not enabled", left, 4, true, map[string]string{"haproxy.cfg": debian, "stopped": ours}, ""},
		{"an old journal of a run that was killed before the installation", none, 1, true, none, ""},
		{
			"an old journal", none, 4, true,
			map[string]string{"haproxy.cfg": debian, "stopped": ours},
			"systemctl enable --now haproxy\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			state, journal := t.TempDir(), t.TempDir()
			put := func(files map[string]string) {
				for name, content := range files {
					write(t, state+"/"+name, content, 0o600)
				}
			}
			script := func(name string, args ...string) string {
				t.Helper()
				return sh(t, name, map[string]string{"systemctl": "STATE=" + state + fakeSystemctl}, append([]string{journal}, args...)...)
			}
			put(test.before)
			if test.old {
				write(t, journal+"/entries.jsonl", "{}\n", 0o600)
			}
			apply := []func(){
				func() {
					script("journal/append.sh", `{"kind":"run","run":"packages.sh haproxy"}`, "packages.sh haproxy")
				},
				func() { // what the package of Debian does
					if len(test.before) == 0 {
						put(map[string]string{"haproxy.cfg": debian, "enabled": "", "runs": debian})
					}
				},
				func() {
					script("journal/files.sh", "haproxy", "file", state+"/haproxy.cfg", sum(ours))
					put(map[string]string{"haproxy.cfg": ours})
				},
				func() {
					script("journal/append.sh", "{"+undo+"}", undo, "haproxy.service", `{"kind":"run"}`)
					put(map[string]string{"enabled": "", "runs": ours})
				},
			}
			for _, step := range apply[:test.steps] {
				step()
			}
			var out string
			for range 2 { // the second time is after a reset that was killed
				out = script("reset/stop-services.sh", "", "haproxy.service")
				sh(t, "reset/undo.sh", nil, append([]string{journal}, undoArguments(t, journal)...)...)
				out += script("reset/services.sh", "haproxy.service")
			}
			if diff := cmp.Diff(test.want, existing(t, state, "haproxy.cfg", "enabled", "runs", "stopped")); diff != "" {
				t.Error(diff)
			}
			if test.note == "" && out != "" || !strings.HasSuffix(out, test.note) {
				t.Errorf("it printed %q, want %q", out, test.note)
			}
		})
	}
}

// existing returns the contents of those files of a directory that exist.
func existing(t *testing.T, dir string, names ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range names {
		if _, err := os.Stat(dir + "/" + name); !errors.Is(err, fs.ErrNotExist) {
			all[name] = contents(t, dir+"/"+name)
		}
	}
	return all
}

// A service that somebody has removed since, or that does not stop.
func TestStopServicesScript(t *testing.T) {
	t.Parallel()
	const services = "keepalived.service haproxy.service"
	for name, test := range map[string]struct {
		loaded, stop string
		want         string
		code         int
	}{
		"stops keepalived first":            {"loaded", "0", "stop keepalived.service\ndisable --quiet keepalived.service\nstop haproxy.service\ndisable --quiet haproxy.service\n", 0},
		"leaves out services that are gone": {"not-found", "5", "", 0},
		"fails if one does not stop":        {"loaded", "1", "stop keepalived.service\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := t.TempDir() + "/calls"
			write(t, calls, "", 0o600)
			local := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{"systemctl": `case $1 in
				show) echo ` + test.loaded + ` ;;
				stop) echo "$*" >>` + calls + `; exit ` + test.stop + ` ;;
				*) echo "$*" >>` + calls + ` ;;
				esac`})}}
			_, stderr, code := local.Script(t, "reset/stop-services.sh", append([]string{t.TempDir(), ""}, strings.Fields(services)...)...)
			if diff := cmp.Diff(test.want, contents(t, calls)); diff != "" || code != test.code {
				t.Errorf("exit code %d: %s%s", code, stderr, diff)
			}
		})
	}
}

// keepalived leaves the address if it is killed.
func TestStopServicesScriptDeletesOnlyTheAddressOfTheEndpoint(t *testing.T) {
	t.Parallel()
	const setUp = `
ip link add eth0 type bridge
ip address add 192.0.2.11/24 dev eth0
ip address add 192.0.2.100/32 dev eth0
ip address add 192.0.2.101/32 dev eth0`
	out, shown := namespace(t, setUp, "ip -4 -o address show dev eth0 | awk '{ print $4 }'", []string{"stop-services.sh", "stop-services.sh"}, "/nonexistent", "192.0.2.100")
	if diff := cmp.Diff("192.0.2.11/24\n192.0.2.101/32\n", shown); out != "" || diff != "" {
		t.Errorf("it printed %q: %s", out, diff)
	}
	// A host that has it as its own, with the prefix of its network.
	_, shown = namespace(t, "ip link add eth0 type bridge\nip address add 192.0.2.100/24 dev eth0",
		"ip -4 -o address show dev eth0 | awk '{ print $4 }'", []string{"stop-services.sh"}, "/nonexistent", "192.0.2.100")
	if shown != "192.0.2.100/24\n" {
		t.Errorf("an own address: left %q", shown)
	}
}
