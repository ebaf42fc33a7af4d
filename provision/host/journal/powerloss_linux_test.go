package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// A power loss while an entry is written leaves a part of it, or zeros. The file has
// not been replaced yet: the next run must save it, and a reset must restore it.
func TestAPowerLossWhileJournalingLosesNoFile(t *testing.T) {
	t.Parallel()
	sampleRoot := t.TempDir()
	write(t, sampleRoot+"/hosts", "of the user")
	mustRun(t, "files.sh", sampleRoot+"/journal", "hosts-file", "file", sampleRoot+"/hosts", "aa")
	sample := []byte(read(t, sampleRoot+"/journal/entries.jsonl"))
	for name, damage := range map[string]func(entry []byte, length int) []byte{
		"truncated": func(entry []byte, length int) []byte { return entry[:length] },
		"zeros": func(entry []byte, length int) []byte {
			return append(bytes.Clone(entry[:length]), make([]byte, len(entry)-length)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The whole first line is durable only if the file may have been replaced.
			// The root of each case is shorter or as long.
			first := bytes.IndexByte(sample, '\n') - 8
			for length := 0; length < first; length++ {
				if length%19 > 0 && length < first-3 && name == "zeros" {
					continue // like the truncated ones
				}
				root := t.TempDir()
				journal, path := root+"/journal", root+"/hosts"
				write(t, path, "of the user")
				if err := os.MkdirAll(journal+"/before"+root, 0o700); err != nil {
					t.Fatal(err)
				}
				entry := bytes.ReplaceAll(sample, []byte(sampleRoot), []byte(root))
				write(t, journal+"/entries.jsonl", string(damage(entry, min(length, len(entry)))))
				write(t, journal+"/sysctls", "")
				write(t, journal+"/before"+path, "") // the copy of the interrupted run
				mustRun(t, "files.sh", journal, "hosts-file", "file", path, "aa")
				if length%19 == 0 {
					write(t, path, "of slipway")
					mustRun(t, "files.sh", journal, "hosts-file", "file", path, "bb")
				}

				if got := read(t, journal+"/before"+path); got != "of the user" {
					t.Fatalf("after %d bytes, the saved file is %q", length, got)
				}
				got, err := Read(t.Context(), reading{content: []byte(read(t, journal+"/entries.jsonl"))})
				if err != nil {
					t.Fatalf("after %d bytes: %v", length, err)
				}
				files := 0
				for _, e := range got {
					if e.Kind == "file" && e.Path == path && e.Existed {
						files++
					}
				}
				if files != 1 {
					t.Fatalf("after %d bytes, the journal has %d entries of the file: %+v", length, files, got)
				}
			}
		})
	}
}

// reading is a host whose journal has this content.
type reading struct {
	host.Host
	content []byte
}

func (reading) String() string { return "n1" }

func (r reading) ReadFile(context.Context, string) ([]byte, error) { return r.content, nil }

func TestAppendAfterAPowerLoss(t *testing.T) {
	t.Parallel()
	const first, second = `{"kind":"run","run":"a","undo":["a"]}`, `{"kind":"run","run":"b","undo":["b"]}`
	for length := range len(second) {
		for _, zeros := range []int{0, 7} {
			if zeros > 0 && length%9 > 0 {
				continue
			}
			journal := t.TempDir()
			write(t, journal+"/entries.jsonl", first+"\n"+second[:length]+strings.Repeat("\x00", zeros))
			if length%9 == 0 {
				mustRun(t, "append.sh", journal, first, `"undo":["a"]`)
			}
			mustRun(t, "append.sh", journal, second, `"undo":["b"]`)
			got, err := Read(t.Context(), reading{content: []byte(read(t, journal+"/entries.jsonl"))})
			if err != nil || len(got) != 2 || got[0].Run != "a" || got[1].Run != "b" {
				t.Errorf("after %d bytes and %d zeros: %+v, %v", length, zeros, got, err)
			}
		}
	}
}

// The directory exists, and the journal in it does not, or is empty.
func TestAHalfMadeJournal(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"none", "", "\x00\x00", "{", "\n\n"} {
		root := t.TempDir()
		journal, path := root+"/journal", root+"/hosts"
		write(t, path, "of the user")
		if err := os.MkdirAll(journal+"/before"+root, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, journal+"/before"+path+".part", "of th")
		if content != "none" {
			write(t, journal+"/entries.jsonl", content)
		}
		mustRun(t, "files.sh", journal, "hosts-file", "file", path, "aa")
		if got := read(t, journal+"/before"+path); got != "of the user" {
			t.Errorf("%q: the saved file is %q", content, got)
		}
		if left, _ := filepath.Glob(journal + "/before" + root + "/*.part"); len(left) > 0 {
			t.Errorf("%q: left %q", content, left)
		}
	}
}

// An entry that says that a copy exists must not be on disk before the copy. The kernel
// settings are read only once.
func TestTheCopyIsOnDiskBeforeItsEntry(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal, path, synced := root+"/journal", root+"/hosts", root+"/synced"
	write(t, path, "of the user")
	local := hosttest.Local{Env: []string{"JOURNAL=" + journal, "SYNCED=" + synced, hosttest.Programs(t, map[string]string{
		"sysctl": "echo vm.swappiness = 60",
		"sync":   `echo "$*: $(cat "$JOURNAL"/before/*/*/*/*/hosts "$JOURNAL"/before/*/*/*/hosts 2>/dev/null), $(wc -l <"$JOURNAL/entries.jsonl") lines" >>"$SYNCED"`,
	})}}
	script := host.Script("files.sh", templates.Script("journal/files.sh"), journal, "hosts-file", "file", path, "aa")
	if _, err := local.Run(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	want := journal + "/sysctls " + journal + "/services " + journal + ": , 0 lines\n-f " + journal + ": of the user, 0 lines\n" + journal + "/entries.jsonl: of the user, 2 lines\n"
	if got := read(t, synced); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A checksum that is not whole must not count: at worst, the file is hashed.
func TestAPowerLossWhileRecordingChecksums(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	journal, one, two := root+"/journal", root+"/kubelet", root+"/kubectl"
	if err := os.Mkdir(journal, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, one, "one")
	write(t, two, "two")
	sum := func(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }
	mustRun(t, "sums-add.sh", journal, sum("one"), one, sum("two"), two)
	whole := read(t, journal+"/sums")
	want := sum("one") + "  " + one + "\n" + sum("two") + "  " + two + "\n"
	for length := range len(whole) {
		for _, zeros := range []int{0, 9} {
			if zeros > 0 && length%23 > 0 {
				continue
			}
			write(t, journal+"/sums", whole[:length]+strings.Repeat("\x00", zeros))
			sums := func() string {
				out, code := runScript(t, "sums.sh", journal, one, two)
				if code != 0 {
					t.Fatalf("after %d bytes: exit code %d", length, code)
				}
				// A file without a whole record is hashed.
				lines := strings.SplitAfter(strings.ReplaceAll(out, " *", "  "), "\n")
				slices.Sort(lines)
				return strings.Join(lines, "")
			}
			sorted := strings.SplitAfter(want, "\n")
			slices.Sort(sorted)
			if got := sums(); got != strings.Join(sorted, "") {
				t.Fatalf("after %d bytes: %q", length, got)
			}
			if length%40 > 0 {
				continue
			}
			mustRun(t, "sums-add.sh", journal, sum("two"), two)
			if got := sums(); got != strings.Join(sorted, "") {
				t.Fatalf("after %d bytes and another record: %q", length, got)
			}
		}
	}
	// The data of an upload did not reach the disk.
	write(t, journal+"/sums", whole)
	if err := os.Truncate(two, 0); err != nil {
		t.Fatal(err)
	}
	if out, _ := runScript(t, "sums.sh", journal, two); out != sum("")+" *"+two+"\n" {
		t.Errorf("for an empty file: %q", out)
	}
}
