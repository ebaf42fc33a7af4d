package facts

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// A kill at any moment of a write leaves a file with a temporary name beside its path.
func TestTheScriptFindsTheTemporaryFilesOfKilledRuns(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	entry := func(kind, path string) string {
		return `{"time":"","phase":"x","kind":"` + kind + `","path":"` + root + path + `","existed":false}` + "\n"
	}
	place(t, root+"/journal", entry("file", "/etc/hosts")+entry("dir", "/opt")+entry("file", "/usr/local/bin/kubelet")+
		entry("file", "/usr/local/bin/kubectl")+"\x00\x00\n"+entry("file", "/missing/x")+`{"time":"","kind":"fi`)
	want := []string{root + "/etc/.slipway-ab12", root + "/etc/hosts.slipway-undo", root + "/usr/local/bin/.slipway-77.Xy"}
	for _, path := range append(want, root+"/etc/hosts", root+"/etc/hosts.slipway-backup", root+"/etc/.slipway-probe-1", root+"/home/.slipway-x") {
		if strings.HasSuffix(path, ".Xy") {
			path += "/kubelet" // an upload has a directory
		}
		place(t, path, "x")
	}
	f := tail(t, "\n# The temporary files", "/var/lib/slipway/journal/entries.jsonl", root+"/journal")
	slices.Sort(f.Leftovers)
	if !slices.Equal(f.Leftovers, want) {
		t.Errorf("got %q", f.Leftovers)
	}
}

// Flannel's plugin fails for ever on such a file, and kubelet cannot stop the pod.
func TestTheScriptFindsTheFilesOfPluginsThatAPowerLossEmptied(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	want := []string{root + "/flannel/9b3f", root + "/networks/cbr0/10.244.0.2", root + "/results/cbr0-9b3f-eth0"}
	before := time.Unix(1, 0) // this boot
	others := []string{root + "/networks/cbr0/lock", root + "/networks/podman/10.88.0.2", root + "/results/podman-9b3f-eth0"}
	for _, path := range append(others, want...) {
		place(t, path, "")
		if err := os.Chtimes(path, before, before); err != nil {
			t.Fatal(err)
		}
	}
	place(t, root+"/flannel/5b5f", "") // is being written
	place(t, root+"/flannel/77aa", "{}")
	found := func(journal string) []string {
		f := tail(t, "\n# The temporary files", "/var/lib/slipway/journal/entries.jsonl", journal, "/var/lib/cni", root)
		slices.Sort(f.Leftovers)
		return f.Leftovers
	}
	place(t, root+"/journal/entries.jsonl", "{}\n")
	if got := found(root + "/journal/entries.jsonl"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := found(root + "/missing"); got != nil {
		t.Errorf("got %q on a host that slipway has not changed", got)
	}
}

// With the mark, the phases of the reset delete its files: they need the list of the
// pods.
func TestTheScriptFindsTheFilesOfAResetThatDeletedNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	place(t, root+"/run/reset.yaml", "x")
	place(t, root+"/run/reset-pods", "x")
	place(t, root+"/run/lock", "x")
	found := func() []string {
		return tail(t, "\n# The temporary files", "/var/lib/slipway/journal/entries.jsonl", root+"/journal/entries.jsonl", "/run/slipway", root+"/run").Leftovers
	}
	if got, want := found(), []string{root + "/run/reset-pods", root + "/run/reset.yaml"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	place(t, root+"/journal/reset", "")
	if got := found(); got != nil {
		t.Errorf("got %q of a reset that has begun to delete", got)
	}
}

// An installer that is killed leaves the command that it waits for.
func TestTheScriptFindsTheCommandsOfAReset(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	place(t, root+"/entries.jsonl", "{}\n")
	resetting := func() bool {
		return tail(t, "\nresetting\ngrep", "/var/lib/slipway/journal/entries.jsonl", root+"/entries.jsonl").Resetting
	}
	if resetting() {
		t.Error("a reset runs without a command")
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if !resetting() {
		t.Error("the command is not found")
	}
}

// What the script reads first may be from before it deleted something.
func TestTheScriptFindsTheCommandsOfAResetThatEndMeanwhile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	place(t, root+"/entries.jsonl", "{}\n")
	if !tail(t, "\nfact time ", "/var/lib/slipway/journal/entries.jsonl\n", root+"/entries.jsonl\nexec 9<"+root+"; flock 9\n",
		"/var/lib/slipway/journal/entries.jsonl", root+"/entries.jsonl", "\nfact hostname", "\nexec 9<&-\nfact hostname").Resetting {
		t.Error("the command is not found")
	}
}

func TestTheScriptFindsTheMirrorsThatSlipwayWrote(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file, err := templates.Render("runtime/hosts.toml.tmpl", map[string]any{"Registry": "old.example:5000", "Hosts": nil})
	if err != nil {
		t.Fatal(err)
	}
	place(t, root+"/old.example:5000/hosts.toml", string(file))
	place(t, root+"/_default/hosts.toml", string(file))
	place(t, root+"/docker.io/hosts.toml", "[host.'https://of-an-administrator.example']\n")
	place(t, root+"/quay.io/hosts.toml", "")
	place(t, root+"/ghcr.io/ca.crt", "x")
	if got := tail(t, "\nfor file in /etc/containerd", "/etc/containerd/certs.d", root).Software.Mirrors; !slices.Equal(got, []string{"_default", "old.example:5000"}) {
		t.Errorf("got %q", got)
	}
	if got := tail(t, "\nfor file in /etc/containerd", "/etc/containerd/certs.d", root+"/missing").Software.Mirrors; got != nil {
		t.Errorf("got %q of a missing directory", got)
	}
}

// tail runs the functions of the script and what follows the text from, with other
// paths, and returns the facts. The arguments are pairs of a path and another one.
func tail(t *testing.T, from string, paths ...string) *Facts {
	t.Helper()
	script := string(templates.Script("facts/facts.sh"))
	script = script[:strings.Index(script, "\nfact time ")] + script[strings.Index(script, from):]
	res, err := hosttest.Local{}.Query(t.Context(), host.Script("facts.sh", []byte(strings.NewReplacer(paths...).Replace(script))))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse([]byte("arch\tx86_64\nkernel\t6\n"+string(res.Stdout)), time.Now(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return f
}
