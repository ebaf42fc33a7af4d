package main

import (
	"os"
	"path/filepath"
	"testing"
)

// aModule is a module directory with the files that every component has.
func aModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module x\n\nrequire example.test/runc v1.4.3\n",
		"go.sum":      "example.test/runc v1.4.3 h1:x\n",
		"commands.go": "package x\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestComponentKeyChangesWithEveryInput(t *testing.T) {
	t.Parallel()
	type inputs struct {
		c       component
		dir     string
		version string
		tc      toolchain
	}
	fresh := func() inputs {
		return inputs{
			c:       component{name: "runc", packages: []string{"example.test/runc"}, cgo: true, tags: []string{"seccomp"}, ldflags: setVersion("main.version")},
			dir:     aModule(t),
			version: "v1.4.3",
			tc:      toolchain{golang: "go1.26.8", c: "gcc 12", debian: "debian 12", arch: "amd64"},
		}
	}
	key := func(in inputs) string {
		k, err := componentKey(in.c, in.dir, in.version, in.tc)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	base := key(fresh())
	if base != key(fresh()) {
		t.Fatal("the same inputs in another directory give another key")
	}
	for name, change := range map[string]func(in *inputs){
		"another version of Go":         func(in *inputs) { in.tc.golang = "go1.26.9" },
		"another C compiler":            func(in *inputs) { in.tc.c = "gcc 13" },
		"another architecture":          func(in *inputs) { in.tc.arch = "arm64" },
		"another tag":                   func(in *inputs) { in.c.tags = append(in.c.tags, "netgo") },
		"another command":               func(in *inputs) { in.c.packages = append(in.c.packages, "example.test/other") },
		"another link flag":             func(in *inputs) { in.c.ldflags = setVersion("main.other") },
		"another version of the module": func(in *inputs) { in.version = "v1.4.2" },
		"no cgo":                        func(in *inputs) { in.c.cgo = false },
		"a changed go.sum":              func(in *inputs) { write(t, in.dir, "go.sum", "example.test/runc v1.4.3 h1:y\n") },
		"a changed go.mod":              func(in *inputs) { write(t, in.dir, "go.mod", "module y\n") },
		"one more source file":          func(in *inputs) { write(t, in.dir, "main.go", "package x\n") },
	} {
		in := fresh()
		change(&in)
		if key(in) == base {
			t.Errorf("%s does not change the key", name)
		}
	}
	// What is built without C does not depend on the C compiler.
	one, other := fresh(), fresh()
	one.c.cgo, other.c.cgo, other.tc.c = false, false, "gcc 13"
	if key(one) != key(other) {
		t.Error("the C compiler changes the key of a component without C")
	}
}

func TestBundleKeyChangesWithEveryInput(t *testing.T) {
	t.Parallel()
	tc := toolchain{golang: "go1.26.8", c: "gcc 12", debian: "debian 12", arch: "amd64"}
	base := bundleKey("code", tc, map[string]string{"runc": "a", "etcd": "b"})
	debian13 := tc
	debian13.debian = "debian 13"
	for name, key := range map[string]string{
		"other code":            bundleKey("changed", tc, map[string]string{"runc": "a", "etcd": "b"}),
		"another component key": bundleKey("code", tc, map[string]string{"runc": "c", "etcd": "b"}),
		"one component less":    bundleKey("code", tc, map[string]string{"runc": "a"}),
		"another Debian":        bundleKey("code", debian13, map[string]string{"runc": "a", "etcd": "b"}),
	} {
		if key == base {
			t.Errorf("%s does not change the key", name)
		}
	}
	if bundleKey("code", tc, map[string]string{"etcd": "b", "runc": "a"}) != base {
		t.Error("the order of a map changes the key")
	}
}

func TestBuilderDigestDependsOnTheCodeThatAssemblesABundle(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	source := filepath.Join(root, "e2e", "source")
	for file, text := range map[string]string{
		"go.mod":                            "module m\n\ngo 1.26\n",
		"e2e/source/main.go":                "package main\n\nimport _ \"m/provision/bundle\"\n\nfunc main() {}\n",
		"e2e/source/pause/pause.c":          "int main;",
		"e2e/source/modules/runc/go.mod":    "module runc\n",
		"provision/bundle/bundle.go":        "package bundle\n\nimport (\n\t_ \"embed\"\n\t_ \"m/provision/retry\"\n)\n\n//go:embed catalogue.yaml\nvar catalogue string\n",
		"provision/bundle/catalogue.yaml":   "a: b\n",
		"provision/bundle/install/other.go": "package install\n",
		"provision/retry/retry.go":          "package retry\n",
	} {
		path := filepath.Join(root, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Dir(path), filepath.Base(path), text)
	}
	sum := func() string {
		s, err := builderDigest(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := sum()
	for file, text := range map[string]string{
		"e2e/source/main_test.go": "package main\n", "e2e/source/modules/runc/commands.go": "package runc\n",
		"provision/bundle/install/other.go": "package install // changed\n",
	} {
		write(t, root, filepath.FromSlash(file), text)
		if sum() != before {
			t.Errorf("%s changes the digest", file)
		}
	}
	for _, file := range []string{"e2e/source/main.go", "e2e/source/pause/pause.c", "provision/bundle/catalogue.yaml", "provision/retry/retry.go"} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, filepath.FromSlash(file), string(text)+"// changed\n")
		after := sum()
		if after == before {
			t.Errorf("%s does not change the digest", file)
		}
		before = after
	}
}

func TestModuleVersion(t *testing.T) {
	t.Parallel()
	dir := aModule(t)
	if v, err := moduleVersion(dir, "example.test/runc"); err != nil || v != "v1.4.3" {
		t.Errorf("got %q, %v", v, err)
	}
	if _, err := moduleVersion(dir, "example.test/other"); err == nil {
		t.Error("a module that is not required has a version")
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
