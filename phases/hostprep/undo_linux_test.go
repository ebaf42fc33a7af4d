package hostprep

import (
	"os"
	"testing"

	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// The script of reset knows the marks of single lines in files that people edit too.
func TestResetUndoesTheLinesOfThisStage(t *testing.T) {
	t.Parallel()
	block, err := templates.Render("hostprep/hosts-block.tmpl", struct {
		Cluster string
		Nodes   []node
	}{"lab", []node{{"192.0.2.11", "cp-1"}, {"192.0.2.21", "w-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, before string
		changed      func(content []byte) []byte
	}{
		{"/etc/fstab", "UUID=x / ext4 defaults 0 1\n/swapfile\tnone swap sw 0 0\n# a comment\n", withoutSwap},
		{"/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 cp-1\n", func(old []byte) []byte { return withBlock(old, block) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/file"
			const edit = "192.0.2.99 mine nfs\n"
			changed := append(test.changed([]byte(test.before)), edit...)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, stderr, code := (hosttest.Local{}).Script(t, "reset/lines.sh", t.TempDir(), path); code != 0 {
				t.Fatal(stderr)
			}
			if got, err := os.ReadFile(path); string(got) != test.before+edit {
				t.Errorf("got %q, %v; want %q", got, err, test.before+edit)
			}
		})
	}
}
