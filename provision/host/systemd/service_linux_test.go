package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// serviceSystemctl runs x.service as a real process, with the drop-ins of the last
// reload. The pauses let the clock of /proc advance.
const serviceSystemctl = `set -eu
cd "$ROOT"
echo "$*" >>calls
case $1 in
is-enabled) cat enabled ;;
daemon-reload) ls unit.d/x.service.d/*.conf 2>/dev/null | sed "s|^|$ROOT/|" | tr '\n' ' ' >loaded ;;
enable) echo enabled >enabled ;;
restart)
	sleep 0.2
	setsid bin/program 60 </dev/null >/dev/null 2>&1 &
	echo $! | tee -a pids >pid
	cat /proc/sys/kernel/random/uuid >invocation
	echo active >state
	until [ "/proc/$(cat pid)/exe" -ef bin/program ]; do sleep 0.05; done
	sleep 0.05
	;;
reload) ;;
show)
	if [ "$2" = --property=UnitPath ]; then
		echo "$ROOT/unit.d /nonexistent $ROOT/vendor.d"
		exit
	fi
	echo "ActiveState=$(cat state)"
	echo "MainPID=$(cat pid)"
	echo "InvocationID=$(cat invocation)"
	echo "ExecStart={ path=$ROOT/bin/program ; argv[]=$ROOT/bin/program 60 ; ignore_errors=no ; pid=0 }"
	echo "FragmentPath=$ROOT/unit.d/x.service"
	echo "DropInPaths=$(cat loaded)"
	echo "EnvironmentFiles=$ROOT/flags.env (ignore_errors=yes)"
	echo "EnvironmentFiles=$ROOT/default (ignore_errors=yes)"
	;;
*) exit 9 ;;
esac
`

// runningService is x.service on localhost, with a fake systemd.
type runningService struct {
	t    *testing.T
	root string
	host hosttest.Local
}

func newRunningService(t *testing.T) runningService {
	t.Helper()
	s := runningService{t: t, root: t.TempDir()}
	s.host.Env = []string{"ROOT=" + s.root, hosttest.Programs(t, map[string]string{"systemctl": serviceSystemctl})}
	for _, path := range []string{"config", "flags.env", "unit.d/x.service", "unit.d/x.service.d/10-a.conf"} {
		s.write(path, "old")
	}
	s.write("state", "inactive")
	s.write("enabled", "enabled")
	s.installProgram()
	t.Cleanup(func() {
		for pid := range strings.Lines(s.read("pids")) {
			_ = exec.Command("kill", strings.TrimSpace(pid)).Run()
		}
	})
	s.restart()
	return s
}

func (s runningService) path(name string) string { return filepath.Join(s.root, name) }

// write replaces a file as an upload does: by another inode, with a date in the past.
func (s runningService) write(name, content string) {
	s.t.Helper()
	path, past := s.path(name), time.Unix(0, 0)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chtimes(path+".new", past, past); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

func (s runningService) remove(name string) {
	s.t.Helper()
	if err := os.Remove(s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

func (s runningService) installProgram() {
	s.t.Helper()
	program, err := os.ReadFile("/bin/sleep")
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("bin/program", string(program))
}

// shell runs a line of shell.
func (s runningService) shell(line string) {
	s.t.Helper()
	if _, err := s.host.Run(s.t.Context(), host.Cmd{Argv: []string{"sh", "-c", line}}); err != nil {
		s.t.Fatal(err)
	}
}

// restart starts the service as kubeadm or an administrator does.
func (s runningService) restart() {
	s.t.Helper()
	s.shell("systemctl daemon-reload && systemctl restart x.service")
}

func (s runningService) script(verb string) string {
	s.t.Helper()
	out, stderr, code := s.host.Script(s.t, "systemd/service.sh", verb, s.path("records"), "x.service",
		s.path("bin/program"), s.path("config"), s.path("unit.d/x.service"))
	if code != 0 || stderr != "" {
		s.t.Fatalf("%s: exit code %d: %s", verb, code, stderr)
	}
	return strings.ReplaceAll(out, s.root+"/", "")
}

// A change must be seen whoever started the service: slipway records what it
// started, for others the time of the start is compared.
func TestServiceScriptFindsChangedFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(runningService)
		want   string
	}{
		{"no change", func(runningService) {}, ""},
		{"a new program", runningService.installProgram, "changed bin/program\n"},
		{"a new configuration", func(s runningService) { s.write("config", "new") }, "changed config\n"},
		{"a new unit", func(s runningService) { s.write("unit.d/x.service", "new") }, "changed unit.d/x.service\n"},
		{
			"a unit that something else reloaded",
			func(s runningService) { s.write("unit.d/x.service", "new"); s.shell("systemctl daemon-reload") },
			"changed unit.d/x.service\n",
		},
		{
			"another drop-in",
			func(s runningService) { s.write("unit.d/x.service.d/20-b.conf", "new") },
			"changed unit.d/x.service.d/20-b.conf\n",
		},
		{
			"a changed drop-in",
			func(s runningService) { s.write("unit.d/x.service.d/10-a.conf", "new") },
			"changed unit.d/x.service.d/10-a.conf\n",
		},
		{
			"a deleted drop-in",
			func(s runningService) { s.remove("unit.d/x.service.d/10-a.conf") },
			"changed unit.d/x.service.d/10-a.conf\n",
		},
		{
			"a drop-in that another one replaces",
			func(s runningService) { s.write("vendor.d/x.service.d/10-a.conf", "new") },
			"",
		},
		{"changed flags", func(s runningService) { s.write("flags.env", "new") }, "changed flags.env\n"},
		{"a new environment file", func(s runningService) { s.write("default", "new") }, "changed default\n"},
		{
			"several files",
			func(s runningService) { s.write("config", "new"); s.installProgram() },
			"changed bin/program\nchanged config\n",
		},
	}
	for _, start := range []string{"slipway", "something else"} {
		for _, test := range tests {
			t.Run(test.name+", started by "+start, func(t *testing.T) {
				t.Parallel()
				s := newRunningService(t)
				if start == "slipway" {
					s.script("start")
				}
				test.change(s)
				if got := s.script("state"); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
				s.script("start")
				if got := s.script("state"); got != "" {
					t.Errorf("after a start: got %q", got)
				}
			})
		}
	}
}

func (s runningService) read(name string) string {
	s.t.Helper()
	content, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

func TestServiceScriptFindsAServiceThatIsStoppedOrDisabled(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(runningService)
		want   string
	}{
		{"a failed service", func(s runningService) { s.write("state", "failed") }, "stopped failed\n"},
		{"a process that has just exited", func(s runningService) { s.write("pid", "4194304") }, "stopped exited\n"},
		{"a disabled service", func(s runningService) { s.write("enabled", "disabled") }, "disabled\n"},
		{
			"a disabled service that is stopped",
			func(s runningService) { s.write("enabled", "disabled"); s.write("state", "inactive") },
			"disabled\nstopped inactive\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newRunningService(t)
			test.change(s)
			if got := s.script("state"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			s.script("start")
			if got := s.script("state"); got != "" {
				t.Errorf("after a start: got %q", got)
			}
		})
	}
}

func TestServiceScriptStartsOnce(t *testing.T) {
	t.Parallel()
	s := newRunningService(t)
	s.write("calls", "")
	s.script("start")
	want := "daemon-reload\nenable --quiet x.service\nrestart x.service\n"
	var changing strings.Builder
	for line := range strings.Lines(s.read("calls")) {
		if !strings.HasPrefix(line, "show ") {
			changing.WriteString(line)
		}
	}
	if got := changing.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The process stays, and so does its start.
func TestServiceScriptRecordsWhatAReloadReads(t *testing.T) {
	t.Parallel()
	for _, start := range []string{"slipway", "something else"} {
		t.Run("started by "+start, func(t *testing.T) {
			t.Parallel()
			s := newRunningService(t)
			if start == "slipway" {
				s.script("start")
			}
			before := s.read("pid")
			s.write("config", "new")
			s.script("reload")
			if got := s.script("state"); got != "" || s.read("pid") != before {
				t.Errorf("got %q, a new process: %v", got, s.read("pid") != before)
			}
			s.write("config", "newer")
			if got, want := s.script("state"), "changed config\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Not even a new inode and a new change time restart a service that slipway
// started.
func TestServiceScriptIgnoresAFileThatIsWrittenWithTheSameContent(t *testing.T) {
	t.Parallel()
	s := newRunningService(t)
	s.script("start")
	s.write("config", "old")
	if got := s.script("state"); got != "" {
		t.Errorf("got %q", got)
	}
}

// The record is that of another start: the service runs with the edited file.
func TestServiceScriptDoesNotTrustTheRecordOfAnEarlierStart(t *testing.T) {
	t.Parallel()
	s := newRunningService(t)
	s.script("start")
	s.write("config", "edited")
	s.restart()
	s.write("config", "old")
	if got, want := s.script("state"), "changed config\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A service of the distribution runs on after an upgrade of its package.
func TestServiceScriptIgnoresTheUnitOfAServiceWithoutFiles(t *testing.T) {
	t.Parallel()
	s := newRunningService(t)
	s.write("unit.d/x.service", "new")
	s.installProgram()
	out, stderr, code := s.host.Script(t, "systemd/service.sh", "state", s.path("records"), "x.service")
	if code != 0 || out != "" {
		t.Errorf("exit code %d: %q %s", code, out, stderr)
	}
}
