package facts

import (
	"slices"
	"strings"
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
	script := string(templates.Script("facts/facts.sh"))
	script = script[:strings.Index(script, "\nfact time ")] + script[strings.Index(script, "\njournal=/var"):]
	script = strings.ReplaceAll(script, "/var/lib/slipway/journal/entries.jsonl", root+"/journal")
	res, err := hosttest.Local{}.Query(t.Context(), host.Script("facts.sh", []byte(script)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse([]byte("arch\tx86_64\nkernel\t6\n"+string(res.Stdout)), time.Now(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(f.Leftovers)
	if !slices.Equal(f.Leftovers, want) {
		t.Errorf("got %q", f.Leftovers)
	}
}
