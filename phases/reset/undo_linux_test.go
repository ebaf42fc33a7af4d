package reset

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/journal"
)

func TestUndoScriptRestoresWhatTheJournalSaved(t *testing.T) {
	t.Parallel()
	root, journal := t.TempDir(), t.TempDir()+"/journal"
	write(t, root+"/etc/containerd.toml", "before\n", 0o640)
	write(t, root+"/etc/shared/foreign", "foreign\n", 0o644)
	if err := os.Symlink("../run/resolv.conf", root+"/etc/resolv.conf"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root+"/opt", 0o750); err != nil {
		t.Fatal(err)
	}
	before := tree(t, root)

	// What apply does: the journal, then the change.
	change := func(kind, path, content string) {
		t.Helper()
		if kind != "file" {
			sh(t, "journal/files.sh", nil, journal, "phase", kind, path, "")
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			return
		}
		sh(t, "journal/files.sh", nil, journal, "phase", kind, path, sum(content))
		write(t, path, content, 0o644)
	}
	change("file", root+"/etc/containerd.toml", "first\n")
	change("file", root+"/etc/containerd.toml", "second\n")
	change("file", root+"/etc/resolv.conf", "nameserver\n")
	change("file", root+"/etc/sysctl.d/a/90.conf", "x\n")
	change("file", root+"/etc/shared/ours", "x\n")
	change("dir", root+"/etc/kubernetes", "")
	change("file", root+"/etc/kubernetes/init.yaml", "x\n")
	change("dir", root+"/opt", "")
	change("file", root+"/opt/x", "x\n")
	change("tree", root+"/var/lib/kubelet", "")
	write(t, root+"/var/lib/kubelet/pki/x", "kubelet's\n", 0o644)

	undo := append([]string{journal}, undoArguments(t, journal)...)
	if out := sh(t, "reset/undo.sh", nil, undo...); out != "" {
		t.Errorf("it left something: %s", out)
	}
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Error(diff)
	}
	sh(t, "reset/undo.sh", nil, undo...)
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("a second time, after a reset that was killed: %s", diff)
	}
}

// undoArguments are the arguments for the journal's paths, the last first.
func undoArguments(t *testing.T, dir string) []string {
	t.Helper()
	content, err := os.ReadFile(dir + "/entries.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, line := range slices.Backward(slices.Collect(strings.Lines(string(content)))) {
		var e journal.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != "content" {
			args = append(args, e.Kind, strconv.FormatBool(e.Existed), e.Path, e.Made)
		}
	}
	return args
}

func TestUndoScriptRestoresAReplacedFileOnlyIfNobodyChangedItSince(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// disk is the content of the file, "" if it is missing. wrote is what slipway
		// wrote; the journal of an earlier version does not know it.
		disk       string
		wrote      []string
		want, note string
		// after is the content in the archived journal.
		after string
	}{
		{"what slipway wrote last", "ours", []string{"ours"}, "before", "", ""},
		{"what slipway wrote first", "ours", []string{"ours", "newer"}, "before", "", ""},
		{"an edited file", "ours and mine", []string{"ours"}, "ours and mine", "left ", ""},
		{"a file that somebody deleted", "", []string{"ours"}, "", "left ", ""},
		{"a file that is restored already", "before", []string{"ours"}, "before", "", ""},
		{"an old journal", "ours", nil, "before", "restored ", "ours"},
		{"an old journal, and a file that somebody deleted", "", nil, "before", "restored ", ""},
		{"an old journal, and a file that is restored already", "before", nil, "before", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root, journal := t.TempDir(), t.TempDir()
			path := root + "/config.toml"
			if test.disk != "" {
				write(t, path, test.disk, 0o600)
			}
			recordContents(t, journal, path, test.wrote)
			write(t, journal+"/before"+path, "before", 0o600)
			out := sh(t, "reset/undo.sh", nil, journal, "file", "true", path, "")
			if got, _ := os.ReadFile(path); string(got) != test.want {
				t.Errorf("the file is %q, want %q", got, test.want)
			}
			if got, _ := os.ReadFile(journal + "/after" + path); string(got) != test.after {
				t.Errorf("the journal has %q, want %q", got, test.after)
			}
			if test.note == "" && out != "" || !strings.HasPrefix(out, test.note) || test.note != "" && !strings.Contains(out, path) {
				t.Errorf("it printed %q, want %q", out, test.note)
			}
		})
	}
}

// recordContents adds contents of a file to a journal, after those of a similar path.
func recordContents(t *testing.T, dir, path string, contents []string) {
	t.Helper()
	sh(t, "journal/files.sh", nil, dir, "phase", "file", path+".other", "aa")
	for _, content := range contents {
		sh(t, "journal/files.sh", nil, dir, "phase", "file", path+".new", sum("mine"), "file", path, sum(content))
	}
	// The script saved the file that is there now.
	if err := os.RemoveAll(dir + "/before" + path); err != nil {
		t.Fatal(err)
	}
}

func sum(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

func TestUndoScriptKeepsTheEditsOfACreatedFile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, content string
		wrote         []string
		after         string
	}{
		{"what slipway wrote", "ours", []string{"ours"}, ""},
		{"an edited file", "mine", []string{"ours"}, "mine"},
		{"an old journal", "mine", nil, ""},
		{"a large file", strings.Repeat("x", 2<<20), []string{"ours"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root, journal := t.TempDir(), t.TempDir()
			path := root + "/90-slipway.conf"
			write(t, path, test.content, 0o600)
			recordContents(t, journal, path, test.wrote)
			for range 2 {
				sh(t, "reset/undo.sh", nil, journal, "file", "false", path, "")
				if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("it is still there: %v", err)
				}
				if got, _ := os.ReadFile(journal + "/after" + path); string(got) != test.after {
					t.Errorf("the journal has %q, want %q", got, test.after)
				}
			}
		})
	}
}

// People edit /etc/fstab and /etc/hosts too.
func TestLinesScriptUndoesSingleLines(t *testing.T) {
	t.Parallel()
	const block = "# slipway lab begin: the nodes\n192.0.2.11 cp-1\n# slipway lab end\n"
	tests := []struct{ name, disk, want string }{
		{"a commented line", "a / ext4\n# slipway: swap off: b none swap\n", "a / ext4\nb none swap\n"},
		{"lines that were added since", "a / ext4\n# slipway: swap off: b none swap\nc /data ext4\n", "a / ext4\nb none swap\nc /data ext4\n"},
		{"a last line without an end", "# slipway: swap off: b none swap", "b none swap"},
		{"comments of others", "# b none swap\n# about slipway: swap off: x\n", "# b none swap\n# about slipway: swap off: x\n"},
		{"a block, with lines around it", "1 mine\n" + block + "2 mine\n", "1 mine\n2 mine\n"},
		{"the blocks of two clusters", block + strings.ReplaceAll(block, "lab", "lab-2") + "1 mine\n", "1 mine\n"},
		{"a block that lost its last line", "# slipway lab begin: x\n192.0.2.11 cp-1\n1 mine\n", "192.0.2.11 cp-1\n1 mine\n"},
		{"nothing of slipway's", "127.0.0.1 localhost\n\n", "127.0.0.1 localhost\n\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root, journal := t.TempDir(), t.TempDir()
			path := root + "/hosts"
			write(t, path, test.disk, 0o640)
			write(t, journal+"/before"+path, "another file", 0o600)
			for range 2 {
				sh(t, "reset/lines.sh", nil, journal, path)
				if diff := cmp.Diff(test.want, contents(t, path)); diff != "" {
					t.Error(diff)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
				t.Errorf("the mode is %v, %v", info.Mode(), err)
			}
			if got := tree(t, root); len(got) != 2 {
				t.Errorf("left %v", got)
			}
		})
	}
	t.Run("an unedited file has its old times", func(t *testing.T) {
		t.Parallel()
		root, journal := t.TempDir(), t.TempDir()
		path := root + "/fstab"
		write(t, path, "b none swap\n", 0o640)
		before := tree(t, root)
		sh(t, "journal/files.sh", nil, journal, "swap-off", "file", path, "x")
		write(t, path, "# slipway: swap off: b none swap\n", 0o640)
		sh(t, "reset/lines.sh", nil, journal, path)
		if diff := cmp.Diff(before, tree(t, root)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestUndoScriptLeavesDirectoriesThatOthersUse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/etc/new/ours", "x", 0o644)
	write(t, root+"/etc/new/foreign", "x", 0o644)
	write(t, root+"/net.d/foreign.conf", "x", 0o644)
	if err := os.MkdirAll(root+"/net.d/empty/deeper", 0o755); err != nil {
		t.Fatal(err)
	}
	out := sh(t, "reset/undo.sh", nil, root+"/journal",
		"file", "false", root+"/etc/new/ours", root+"/etc/new", "dir", "false", root+"/net.d", "")
	if want := "left " + root + "/net.d, which contains files of others: foreign.conf\n"; out != want {
		t.Errorf("it printed %q, want %q", out, want)
	}
	var left []string
	for path := range tree(t, root) {
		left = append(left, strings.TrimPrefix(path, root))
	}
	slices.Sort(left)
	if diff := cmp.Diff([]string{"", "/etc", "/etc/new", "/etc/new/foreign", "/net.d", "/net.d/foreign.conf"}, left); diff != "" {
		t.Error(diff)
	}
}

func TestUndoScriptAcceptsAnyPath(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	odd := root + "/a b/$(touch x) *"
	write(t, odd, "x", 0o644)
	write(t, root+"/a b/other", "x", 0o644)
	sh(t, "reset/undo.sh", nil, root+"/journal", "file", "false", odd, "")
	if _, err := os.Stat(odd); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if got := tree(t, root); len(got) != 3 {
		t.Errorf("left %v", got)
	}
}
