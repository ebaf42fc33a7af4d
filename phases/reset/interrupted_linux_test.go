package reset

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/hosttest"
)

// installation is a directory that slipway has changed: path, content before ("" is
// none) and content of slipway.
var installation = []struct{ path, before, after string }{
	{"/etc/hosts.conf", "of the user", "of slipway"},
	{"/etc/containerd/config.toml", "", "of slipway"},
	{"/etc/containerd/certs.d/x/hosts.toml", "", "of slipway"},
	{"/etc/modules-load.d/k.conf", "nothing\n", "of slipway"},
	{"/usr/local/bin/kubelet", "", "a program"},
}

// install journals and writes those files, as apply does.
func install(t *testing.T, root string) {
	t.Helper()
	args := []string{root + "/journal", "phase"}
	for _, f := range installation {
		args = append(args, "file", root+f.path, sum(f.after))
	}
	if _, stderr, code := (hosttest.Local{}).Script(t, "journal/files.sh", args...); code != 0 {
		t.Fatal(stderr)
	}
	for _, f := range installation {
		write(t, root+f.path, f.after, 0o644)
	}
}

// undoFirst undoes the last n changes, the last one first.
func undoFirst(t *testing.T, root string, n int) {
	t.Helper()
	args := undoArguments(t, root+"/journal")
	sh(t, "reset/undo.sh", nil, append([]string{root + "/journal"}, args[:4*n]...)...)
}

// A reset may be killed after any change, and may be followed by another reset or by
// apply. The user's files come back in the end.
func TestAnInterruptedResetLosesNothing(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(t *testing.T, root string){
		"a reset":             func(*testing.T, string) {},
		"apply, then a reset": install,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := range len(installation) + 1 {
				root := t.TempDir()
				for _, f := range installation {
					if f.before != "" {
						write(t, root+f.path, f.before, 0o600)
					}
				}
				if err := os.MkdirAll(root+"/usr/local/bin", 0o755); err != nil {
					t.Fatal(err)
				}
				want := tree(t, root)
				install(t, root)
				undoFirst(t, root, n)
				write(t, root+"/etc/hosts.conf.slipway-undo", "half", 0o600) // killed before the rename
				next(t, root)
				undoFirst(t, root, len(installation))
				if err := os.RemoveAll(root + "/journal"); err != nil {
					t.Fatal(err)
				}
				// The lock phase of the next run deletes this one: see TestLockDeletes….
				_ = os.Remove(root + "/etc/hosts.conf.slipway-undo")
				if diff := cmp.Diff(want, tree(t, root)); diff != "" {
					t.Errorf("killed after %d changes: %s", n, diff)
				}
			}
		})
	}
}
