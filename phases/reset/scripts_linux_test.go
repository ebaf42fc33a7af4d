package reset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/hosttest"
)

// sh runs a script that must succeed, and returns what it prints. Fake programs come
// first on its PATH.
func sh(t *testing.T, script string, programs map[string]string, args ...string) string {
	t.Helper()
	local := hosttest.Local{Env: []string{hosttest.Programs(t, programs)}}
	out, stderr, code := local.Script(t, script, args...)
	if code != 0 {
		t.Fatalf("%s: exit code %d: %s%s", script, code, out, stderr)
	}
	return out
}

// tree is what a directory holds: mode, and content or where a link leads.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			all[path] = "-> " + target
			return err
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			all[path] = what + " " + info.ModTime().String() + " " + string(content)
			return err
		}
		all[path] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// As WriteFile of a host: another file takes the place of the old one.
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestArchiveScriptKeepsTheJournal(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/journal/entries.jsonl", "{}\n", 0o600)
	write(t, root+"/run/services/containerd.service/1", "x", 0o600)
	// The second time is after a reset that was killed.
	for _, archive := range []string{root + "/old/journal-1", root + "/old/journal-2"} {
		sh(t, "reset/archive.sh", nil, root+"/journal", archive, root+"/run", root+"/missing")
	}
	if _, err := os.Stat(root + "/old/journal-1/entries.jsonl"); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{root + "/journal", root + "/run"} {
		if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
}

func TestServicesScriptStartsTheContainerdOfAnotherInstallation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                       string
		enabled, exists, startable bool
		started                    bool
		note                       string
	}{
		{"only slipway's, which is gone", false, false, false, false, ""},
		{"enabled before slipway", true, true, true, true, ""},
		{"enabled before slipway, with a bad configuration", true, true, false, true, "does not start"},
		{"disabled", false, true, true, false, "systemctl enable --now containerd"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			calls := t.TempDir() + "/calls"
			out := sh(t, "reset/services.sh", map[string]string{"systemctl": fmt.Sprintf(`echo "$*" >>%s
				case $1 in
				daemon-reload) ;;
				is-enabled) %v ;;
				cat) %v ;;
				start) %v ;;
				*) false ;;
				esac`, calls, test.enabled, test.exists, test.startable)}, t.TempDir())
			all := contents(t, calls)
			if strings.Contains(all, "start containerd.service") != test.started || !strings.HasPrefix(all, "daemon-reload\n") {
				t.Errorf("systemctl was called with %q", all)
			}
			if test.note == "" && out != "" || !strings.Contains(out, test.note) {
				t.Errorf("it printed %q, want %q", out, test.note)
			}
		})
	}
}

func TestSysctlsScriptRestoresWhatKubernetesSet(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, before, now, set, note string }{
		{"kubelet's value", "vm.overcommit_memory = 0\n", "1", "vm.overcommit_memory=0", ""},
		{"the same value as before", "vm.overcommit_memory = 1\n", "1", "", ""},
		{"a value that somebody set since", "vm.overcommit_memory = 0\n", "2", "", ""},
		{"an old journal", "", "1", "", "vm.overcommit_memory"},
		{"a setting whose name contains it", "xvm.overcommit_memory = 0\n", "1", "", "vm.overcommit_memory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			journal := t.TempDir()
			if test.before != "" {
				write(t, journal+"/sysctls", test.before, 0o600)
			}
			out := sh(t, "reset/sysctls.sh", map[string]string{"sysctl": `case "$*" in
				"-n vm.overcommit_memory") echo ` + test.now + ` ;;
				-n*) exit 255 ;;
				*) echo "$*" >>` + journal + `/set ;;
				esac`}, journal)
			set, _ := os.ReadFile(journal + "/set")
			if want := strings.TrimSuffix("-q -w "+test.set, "-q -w "); strings.TrimSpace(string(set)) != want {
				t.Errorf("set %q, want %q", set, want)
			}
			if test.note == "" && out != "" || !strings.HasSuffix(strings.TrimSpace(out), test.note) {
				t.Errorf("it printed %q, want %q", out, test.note)
			}
		})
	}
}
