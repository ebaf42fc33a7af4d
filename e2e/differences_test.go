//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tests that compare listings rely on the listing to contain every change.
func TestListingDetectsEveryChange(t *testing.T) {
	tests := map[string]struct {
		change func(tree string) error
		// want is the prefix of a difference; empty for none.
		want, wantAfterReset string
	}{
		"nothing": {func(string) error { return nil }, "", ""},
		"content with the same size and modification time": {func(tree string) error {
			path := filepath.Join(tree, "etc/fstab")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte("ABC"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(path, info.ModTime(), info.ModTime())
		}, "~ m:/etc/fstab", "~ m:/etc/fstab"},
		"the mode of a file": {func(tree string) error {
			return os.Chmod(filepath.Join(tree, "etc/fstab"), 0o640)
		}, "~ m:/etc/fstab", "~ m:/etc/fstab"},
		"the owner of a directory": {func(tree string) error {
			return os.Chown(filepath.Join(tree, "etc"), 1, 1)
		}, "~ m:/etc ", "~ m:/etc "},
		"the target of a link": {func(tree string) error {
			path := filepath.Join(tree, "etc/link")
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink("elsewhere", path)
		}, "~ m:/etc", "~ m:/etc/link"},
		"the modification time of a directory": {func(tree string) error {
			return os.Chtimes(filepath.Join(tree, "etc"), time.Time{}, time.Unix(1, 0))
		}, "~ m:/etc ", ""},
		"a new empty directory": {func(tree string) error {
			return os.MkdirAll(filepath.Join(tree, "opt/cni"), 0o755)
		}, "+ m:/opt", "+ m:/opt"},
		"the archive of the journal": {func(tree string) error {
			return os.MkdirAll(filepath.Join(tree, "var/lib/slipway"), 0o755)
		}, "+ m:/var", "+ m:/var"},
		"a log": {func(tree string) error {
			return os.MkdirAll(filepath.Join(tree, "var/log/journal"), 0o755)
		}, "+ m:/var", "+ m:/var"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := lab{Inventory: filepath.Join(t.TempDir(), "inventory.yaml"), Machines: []machine{{Name: "m"}}}
			tree := l.tree("m")
			if err := os.MkdirAll(filepath.Join(tree, "etc"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(tree, "etc/fstab"), "abc")
			if err := os.Symlink("fstab", filepath.Join(tree, "etc/link")); err != nil {
				t.Fatal(err)
			}
			lister := newLister()
			before := lister.list(t, l)
			if err := test.change(tree); err != nil {
				t.Fatal(err)
			}
			after := lister.list(t, l)
			wantDifference(t, test.want, differences(before, after))
			wantDifference(t, test.wantAfterReset, differences(before.afterReset(), after.afterReset()))
		})
	}
}

// wantDifference checks for a difference with a prefix, or none.
func wantDifference(t *testing.T, want string, got []string) {
	t.Helper()
	if want == "" && len(got) > 0 {
		t.Errorf("got %q, want no difference", got)
	}
	if want != "" && (len(got) == 0 || !strings.HasPrefix(got[len(got)-1], want) && !strings.HasPrefix(got[0], want)) {
		t.Errorf("got %q, want prefix %q", got, want)
	}
}

func TestListingLeavesOutWhatMachinesWriteThemselves(t *testing.T) {
	lister := newLister()
	for path, leftOut := range map[string]bool{
		"/var/log": true, "/var/log/journal/x": true, "/var/lib/systemd/random-seed": true,
		"/var/tmp/systemd-private-1-x": true, "/var/tmp/slipway": false,
		"/etc/fstab": false, "/var/lib/kubelet": false, "/var/logs": false, "": false,
	} {
		if got := lister.ignored.MatchString(path); got != leftOut {
			t.Errorf("%q: left out %v, want %v", path, got, leftOut)
		}
	}
}
