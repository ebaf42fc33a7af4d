package journal

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"slipway.io/slipway/provision/host/hosttest"
)

// runScript runs a script of the journal, and returns its standard output and
// exit code.
func runScript(t *testing.T, script string, args ...string) (string, int) {
	t.Helper()
	out, stderr, code := hosttest.Local{}.Script(t, "journal/"+script, args...)
	if stderr != "" {
		t.Logf("%s: %s", script, stderr)
	}
	return out, code
}

// mustRun runs a script that must succeed and print nothing.
func mustRun(t *testing.T, script string, args ...string) {
	t.Helper()
	if out, code := runScript(t, script, args...); code != 0 || out != "" {
		t.Fatalf("%s %q: exit code %d: %s", script, args, code, out)
	}
}

// entries returns the entries of a journal directory.
func entries(t *testing.T, journal string) []Entry {
	t.Helper()
	var all []Entry
	for line := range strings.Lines(read(t, journal+"/entries.jsonl")) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339, e.Time); err != nil {
			t.Error(err)
		}
		all = append(all, e)
	}
	return all
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

var noTime = cmpopts.IgnoreFields(Entry{}, "Time")

func TestFilesScriptKeepsTheFilesThatExist(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal := root + "/lib/journal"
	write(t, root+"/fstab", "swap")
	if err := os.Symlink("fstab", root+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root+"/existing", 0o755); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "files.sh", journal, "swap-off", "file", root+"/fstab", "")
	mustRun(t, "files.sh", journal, "swap-off", "file", root+"/link", "")
	mustRun(t, "files.sh", journal, "kernel", "file", root+"/etc/sysctl.d/90.conf", "")
	mustRun(t, "files.sh", journal, "kubelet", "dir", root+"/existing", "")
	mustRun(t, "files.sh", journal, "kubelet", "dir", root+"/new", "")

	want := []Entry{
		{Phase: "swap-off", Kind: "file", Path: root + "/fstab", Existed: true},
		{Phase: "swap-off", Kind: "file", Path: root + "/link", Existed: true},
		{Phase: "kernel", Kind: "file", Path: root + "/etc/sysctl.d/90.conf", Made: root + "/etc"},
		{Phase: "kubelet", Kind: "dir", Path: root + "/existing", Existed: true},
		{Phase: "kubelet", Kind: "dir", Path: root + "/new"},
	}
	if diff := cmp.Diff(want, entries(t, journal), noTime); diff != "" {
		t.Error(diff)
	}
	if got := read(t, journal+"/before"+root+"/fstab"); got != "swap" {
		t.Errorf("kept %q", got)
	}
	if kept, err := os.Stat(journal + "/before" + root + "/fstab"); err != nil || kept.Mode().Perm() != 0o640 {
		t.Errorf("kept with mode %v, %v", kept.Mode(), err)
	}
	if target, err := os.Readlink(journal + "/before" + root + "/link"); err != nil || target != "fstab" {
		t.Errorf("the link points to %q, %v", target, err)
	}
	for _, private := range []string{journal, journal + "/before"} {
		if dir, err := os.Stat(private); err != nil || dir.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v: everybody can read the kept files", private, dir.Mode(), err)
		}
	}
}

func TestFilesScriptKeepsOnlyTheFirstState(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal, path := root+"/journal", root+"/hosts"
	write(t, path, "first")
	mustRun(t, "files.sh", journal, "hosts-file", "file", path, "")
	write(t, path, "second")
	mustRun(t, "files.sh", journal, "hosts-file", "file", path, "")
	// A path that is a prefix of the other one.
	mustRun(t, "files.sh", journal, "hosts-file", "file", root+"/host", "")

	if got := read(t, journal+"/before"+path); got != "first" {
		t.Errorf("kept %q, want the first state", got)
	}
	want := []Entry{
		{Phase: "hosts-file", Kind: "file", Path: path, Existed: true},
		{Phase: "hosts-file", Kind: "file", Path: root + "/host"},
	}
	if diff := cmp.Diff(want, entries(t, journal), noTime); diff != "" {
		t.Error(diff)
	}
}

func TestAppendScriptAppendsACommandOnce(t *testing.T) {
	t.Parallel()
	journal := t.TempDir() + "/journal"
	line := func(e Entry) string {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := Entry{Time: "2026-01-01T00:00:00Z", Kind: "run", Run: "swapoff -- '$x' \"y\"", Undo: []string{"swapon", "-a"}}
	again, other := first, first
	again.Time, other.Undo = "2026-01-02T00:00:00Z", []string{"swapon", "-a", "b"}
	for _, e := range []Entry{first, again, other} {
		undo, err := json.Marshal(e.Undo)
		if err != nil {
			t.Fatal(err)
		}
		mustRun(t, "append.sh", journal, line(e), `"undo":`+string(undo))
	}
	if diff := cmp.Diff([]Entry{first, other}, entries(t, journal)); diff != "" {
		t.Error(diff)
	}
}

// A full disk may truncate a line.
func TestATruncatedLineDoesNotAffectTheNextEntry(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := root + "/hosts"
	whole := `{"time":"2026-01-01T00:00:00Z","phase":"hosts-file","kind":"file","path":"` + path + `","existed":false,"made":""}`
	for name, next := range map[string]func(journal string){
		"a file":    func(journal string) { mustRun(t, "files.sh", journal, "hosts-file", "file", path, "") },
		"a command": func(journal string) { mustRun(t, "append.sh", journal, whole, whole[:len(whole)-20]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journal := t.TempDir()
			write(t, journal+"/entries.jsonl", whole[:len(whole)-12])
			next(journal)
			lines := strings.Split(read(t, journal+"/entries.jsonl"), "\n")
			if len(lines) != 3 || lines[0] != whole[:len(whole)-12] || len(lines[1]) != len(whole) || lines[2] != "" {
				t.Errorf("the journal is %q", lines)
			}
		})
	}
}

func TestFilesScriptsMayRunInParallel(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal := root + "/journal"
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			// Two scripts for each path.
			if out, code := runScript(t, "files.sh", journal, "kubelet", "file", fmt.Sprintf("%s/bin/%d", root, i/2), ""); code != 0 {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
	all.Wait()
	if got := entries(t, journal); len(got) != 10 {
		t.Errorf("%d entries, want 10: %v", len(got), got)
	}
}

func TestSumsScriptHashesOnlyChangedFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal := root + "/journal"
	if err := os.Mkdir(journal, 0o700); err != nil {
		t.Fatal(err)
	}
	sum := func(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }
	hashed, other, missing := root+"/hashed", root+"/other", root+"/missing"
	write(t, hashed, "one")
	write(t, other, "two")
	// Not a checksum, so that the output shows whether the record is used.
	const recorded = "recorded"
	mustRun(t, "sums-add.sh", journal, recorded, hashed)
	sums := func() string {
		t.Helper()
		out, code := runScript(t, "sums.sh", journal, hashed, missing, root, other)
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		return out
	}
	if got, want := sums(), recorded+"  "+hashed+"\n"+sum("two")+" *"+other+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write(t, hashed, "six")
	// touch can reset the modification time, but not the change time.
	info, err := os.Stat(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(hashed, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got, want := sums(), sum("six")+" *"+hashed+"\n"+sum("two")+" *"+other+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	mustRun(t, "sums-add.sh", journal, "newer", hashed)
	if got := sums(); !strings.HasPrefix(got, "newer  "+hashed+"\n") {
		t.Errorf("the last record is not used: %q", got)
	}
	if out, code := runScript(t, "sums.sh", journal, missing); code != 0 || out != "" {
		t.Errorf("for a missing file: %q, exit code %d", out, code)
	}
	mustRun(t, "sums-add.sh", root+"/none", recorded, hashed)
	if _, err := os.Stat(root + "/none"); !os.IsNotExist(err) {
		t.Errorf("a host without a journal has one: %v", err)
	}
}

func TestFilesScriptAcceptsManyPaths(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal := root + "/journal"
	write(t, root+"/old", "old")
	mustRun(t, "files.sh", journal, "kubelet", "file", root+"/old", "", "dir", root+"/etc/new", "", "file", root+"/etc/new/file", "", "file", root+"/old", "")
	want := []Entry{
		{Phase: "kubelet", Kind: "file", Path: root + "/old", Existed: true},
		{Phase: "kubelet", Kind: "dir", Path: root + "/etc/new", Made: root + "/etc"},
		{Phase: "kubelet", Kind: "file", Path: root + "/etc/new/file", Made: root + "/etc"},
	}
	if diff := cmp.Diff(want, entries(t, journal), noTime); diff != "" {
		t.Error(diff)
	}
}

// A reset restores a replaced file only if its content is one that slipway wrote.
func TestFilesScriptRecordsEachContentOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal, path := root+"/journal", root+"/config.toml"
	for _, sum := range []string{"aa", "bb", "aa"} {
		mustRun(t, "files.sh", journal, "containerd", "file", path, sum)
	}
	want := []Entry{
		{Phase: "containerd", Kind: "file", Path: path},
		{Phase: "containerd", Kind: "content", Path: path, Sum: "aa"},
		{Phase: "containerd", Kind: "content", Path: path, Sum: "bb"},
	}
	if diff := cmp.Diff(want, entries(t, journal), noTime); diff != "" {
		t.Error(diff)
	}
}

func TestAppendScriptLeavesOutTheUndoOfAServiceThatIsEnabled(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, journal, code, want string
	}{
		{"a disabled service", "", "1", `{"undo":["x"]}`},
		{"an enabled service", "", "0", `{}`},
		{"a service that slipway enabled before", `{"undo":["x"]}`, "0", `{"undo":["x"]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			journal := t.TempDir()
			if test.journal != "" {
				write(t, journal+"/entries.jsonl", test.journal+"\n")
			}
			local := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{
				"systemctl": `[ "$*" = "is-enabled --quiet containerd.service" ] || exit 9; exit ` + test.code,
			})}}
			_, stderr, code := local.Script(t, "journal/append.sh", journal, `{"undo":["x"]}`, `"undo":["x"]`, "containerd.service", "{}")
			if got := read(t, journal+"/entries.jsonl"); code != 0 || got != test.want+"\n" {
				t.Errorf("exit code %d, %s: the journal is %q, want %q", code, stderr, got, test.want)
			}
		})
	}
}

// Kubernetes changes kernel settings, and packages start their services: the first entry
// records both, and no later one does.
func TestTheFirstEntryRecordsTheKernelSettingsAndServices(t *testing.T) {
	t.Parallel()
	for script, args := range map[string][]string{
		"files.sh":  {"kubelet", "file", "/nonexistent/x", ""},
		"append.sh": {"{}", "{}"},
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			local := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{
				"sysctl": "echo vm.panic_on_oom = 1",
				"systemctl": `case $* in
				"is-enabled --quiet haproxy.service" | "is-active --quiet haproxy.service" | "is-active --quiet keepalived.service") ;;
				"is-enabled --quiet keepalived.service") exit 1 ;;
				*) exit 9 ;;
				esac`,
			})}}
			run := func(journal string) {
				t.Helper()
				if _, stderr, code := local.Script(t, "journal/"+script, append([]string{journal}, args...)...); code != 0 {
					t.Fatal(stderr)
				}
			}
			fresh, old := t.TempDir(), t.TempDir()
			write(t, old+"/entries.jsonl", "{\"kind\":\"run\"}\n")
			run(fresh)
			run(old)
			for name, want := range map[string]string{
				"sysctls":  "vm.panic_on_oom = 1\n",
				"services": "active keepalived.service\nenabled haproxy.service\nactive haproxy.service\n",
			} {
				if got := read(t, fresh+"/"+name); got != want {
					t.Errorf("%s: recorded %q, want %q", name, got, want)
				}
				if _, err := os.Stat(old + "/" + name); err == nil {
					t.Errorf("%s: a journal that has entries records the state of a running cluster", name)
				}
			}
		})
	}
}

func TestFilesScriptPrintsWhatSELinuxMustLabel(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		programs map[string]string
		want     string
	}{
		"with SELinux":            {map[string]string{"selinuxenabled": "exit 0", "restorecon": "exit 1"}, "ROOT/opt\nROOT/opt/bin\nROOT/opt/bin/a\nROOT/file\n"},
		"with SELinux off":        {map[string]string{"selinuxenabled": "exit 1", "restorecon": "exit 1"}, ""},
		"without its programs":    {nil, ""},
		"without restorecon only": {map[string]string{"selinuxenabled": "exit 0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			local := hosttest.Local{Env: []string{hosttest.Programs(t, test.programs)}}
			out, stderr, code := local.Script(t, "journal/files.sh", root+"/journal", "kubelet", "file", root+"/opt/bin/a", "", "file", root+"/file", "")
			if want := strings.ReplaceAll(test.want, "ROOT", root); code != 0 || out != want {
				t.Errorf("exit code %d, %s\ngot  %q\nwant %q", code, stderr, out, want)
			}
		})
	}
}
