package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"slipway.io/slipway/provision/bundle"
)

func TestCompileSetsTheVersionAndReportsErrors(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), t.TempDir()
	write(t, dir, "go.mod", "module example.test/hello\n\ngo 1.26\n")
	write(t, dir, "main.go", "package main\n\nvar version string\n\nfunc main() { print(version) }\n")
	c := component{name: "hello", packages: []string{"example.test/hello"}, ldflags: setVersion("main.version")}
	if err := compile(t.Context(), c, dir, "v1.2.3", runtime.GOARCH, out); err != nil {
		t.Fatal(err)
	}
	got, err := exec.CommandContext(t.Context(), filepath.Join(out, "hello")).CombinedOutput()
	if err != nil || string(got) != "v1.2.3" {
		t.Errorf("the command says %q, %v", got, err)
	}
	write(t, dir, "main.go", "package main\n\nimport _ \"example.test/absent\"\n\nfunc main() {}\n")
	if err := compile(t.Context(), c, dir, "v1.2.3", runtime.GOARCH, out); err == nil || !strings.Contains(err.Error(), "example.test/absent") {
		t.Errorf("a module that go.mod does not pin gives %v", err)
	}
}

func TestABundleIsReusedOnlyIfItIsCompleteAndHasTheSameKey(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(t *testing.T, dir string)
		whole bool
	}{
		"the same": {func(*testing.T, string) {}, true},
		"another key": {func(t *testing.T, dir string) {
			write(t, dir, keyFile, "another\n")
		}, false},
		"no key": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
				t.Fatal(err)
			}
		}, false},
		"a damaged binary": {func(t *testing.T, dir string) {
			write(t, dir, "kubelet", "Kubelet")
		}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "bundle")
			w, err := bundle.NewWriter(dir, "v1.36.4", bundle.OriginSource)
			if err != nil {
				t.Fatal(err)
			}
			f := bundle.File{Name: "kubelet", Version: "v1.36.4", OS: "linux", Arch: "amd64", Path: "kubelet"}
			if err := w.AddFile(t.Context(), f, strings.NewReader("kubelet")); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			write(t, dir, keyFile, aKey+"\n")
			test.spoil(t, dir)
			b := &builder{key: aKey}
			if _, err := b.existing(t.Context(), dir); (err == nil) != test.whole {
				t.Errorf("got %v", err)
			}
		})
	}
}
