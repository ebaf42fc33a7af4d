// Package slipway_test tests rules that hold for the whole project.
package slipway_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "slipway.io/slipway"

// rule forbids imports in some directories. Packages of the module are named by
// their directory, all others by their import path.
type rule struct {
	name    string
	why     string
	applies func(directory string) bool
	forbids func(directory, imported string) bool
}

// rules: imports go cmd → phases → provision, templates, and some packages are
// used in one place only.
var rules = []rule{
	{
		name:    "provision is below phases",
		why:     "the engine does not know the workflows: pass in what it needs from phases or cmd",
		applies: in("provision"),
		forbids: anyOf("phases", "cmd", "e2e"),
	},
	{
		name:    "templates import nothing",
		why:     "templates are rendered from data that the caller passes",
		applies: in("templates"),
		forbids: anyOf("cmd", "phases", "provision", "e2e"),
	},
	{
		name:    "phases do not import each other",
		why:     "only the root of phases combines them: move shared code to provision",
		applies: func(directory string) bool { return within(directory, "phases") && directory != "phases" },
		forbids: func(directory, imported string) bool {
			return within(imported, "phases") && stage(imported) != stage(directory)
		},
	},
	{
		name:    "phases are below cmd",
		why:     "imports go cmd → phases → provision, templates",
		applies: in("phases"),
		forbids: anyOf("cmd", "e2e"),
	},
	{
		name:    "phases reach hosts through host.Host",
		why:     "phases neither dial nor start programs: use the step's Host and Kube, and net/netip for addresses",
		applies: in("phases"),
		forbids: anyOf("golang.org/x/crypto/ssh", "github.com/pkg/sftp", "provision/host/ssh",
			"net/http", "net/rpc", "net/smtp", "net/textproto", "os/exec", "golang.org/x/net", "google.golang.org/grpc",
			"k8s.io/client-go/discovery", "k8s.io/client-go/dynamic", "k8s.io/client-go/kubernetes", "k8s.io/client-go/metadata",
			"k8s.io/client-go/rest", "k8s.io/client-go/tools", "k8s.io/client-go/transport"),
	},
	{
		name:    "cmd makes no API calls",
		why:     "cmd parses flags, starts workflows and prints: call the API server in a phase or in provision/cluster/kube",
		applies: in("cmd"),
		forbids: anyOf("k8s.io/client-go", "k8s.io/apimachinery", "k8s.io/api", "k8s.io/klog"),
	},
	{
		name: "apply knows no labs",
		why:  "a lab's machines are hosts like any others: only cmd and phases/machines create them",
		applies: func(directory string) bool {
			return !within(directory, "cmd") && !within(directory, "phases/machines") && !within(directory, "provision/lab") && !within(directory, "e2e")
		},
		forbids: anyOf("provision/lab"),
	},
	{
		name:    "only cmd reads the command line",
		why:     "cmd reads flags and settings and passes typed values",
		applies: func(directory string) bool { return !within(directory, "cmd") },
		forbids: anyOf("github.com/spf13/cobra", "github.com/spf13/viper", "github.com/spf13/pflag"),
	},
	{
		name:    "e2e drives the binary",
		why:     "end-to-end tests see what users see: run bin/slipway",
		applies: in("e2e"),
		forbids: anyOf("phases", "cmd"),
	},
	{
		name:    "release builds the binary",
		why:     "what is released is the output of go build, not code of the program that builds it",
		applies: in("release"),
		forbids: anyOf("cmd", "phases", "provision", "templates", "e2e"),
	},
}

// in matches a directory and those below it.
func in(top string) func(string) bool {
	return func(directory string) bool { return within(directory, top) }
}

// anyOf matches an import of one of the packages or, outside of the standard
// library, below one.
func anyOf(packages ...string) func(string, string) bool {
	return func(_, imported string) bool {
		return slices.ContainsFunc(packages, func(p string) bool {
			standard := strings.HasPrefix(p, "net") || strings.HasPrefix(p, "os")
			return imported == p || !standard && within(imported, p)
		})
	}
}

func within(directory, top string) bool {
	return directory == top || strings.HasPrefix(directory, top+"/")
}

// stage is the name of the directory below phases, empty for phases itself.
func stage(directory string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(directory, "phases"), "/"), "/")
	return name
}

// violations lists the rules that an import breaks.
func violations(directory, imported string) []string {
	var broken []string
	for _, r := range rules {
		if r.applies(directory) && r.forbids(directory, imported) {
			broken = append(broken, r.name+" ("+r.why+")")
		}
	}
	return broken
}

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	for _, name := range sources(t) {
		file, err := parser.ParseFile(files, name, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imported = strings.TrimPrefix(imported, module+"/")
			for _, broken := range violations(path.Dir(name), imported) {
				t.Errorf("%s imports %s: %s", files.Position(spec.Pos()), imported, broken)
			}
		}
	}
}

func TestRulesRejectForbiddenImports(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directory, imported, broken string
	}{
		{"provision/host/ssh", "phases/preflight", "provision is below phases"},
		{"provision/workflow", "phases", "provision is below phases"},
		{"provision/workflow", "provision/host", ""},
		{"provision/workflow", "templates", ""},
		{"templates", "provision/config", "templates import nothing"},
		{"templates", "text/template", ""},
		{"phases/nodes", "phases/controlplane", "phases do not import each other"},
		{"phases/nodes", "phases", "phases do not import each other"},
		{"phases/nodes", "phases/nodes/join", ""},
		{"phases", "phases/nodes", ""},
		{"phases/nodes", "cmd", "phases are below cmd"},
		{"phases/nodes", "net/http", "phases reach hosts through host.Host"},
		{"phases/nodes", "os/exec", "phases reach hosts through host.Host"},
		{"phases/nodes", "golang.org/x/crypto/ssh/agent", "phases reach hosts through host.Host"},
		{"phases/nodes", "net/netip", ""},
		{"phases/nodes", "os", ""},
		{"provision/host/ssh", "golang.org/x/crypto/ssh", ""},
		{"provision/config", "github.com/spf13/viper", "only cmd reads the command line"},
		{"cmd", "github.com/spf13/cobra", ""},
		{"e2e", "phases/reset", "e2e drives the binary"},
		{"e2e", "provision/lab", ""},
		{"release", "provision/bundle", "release builds the binary"},
		{"phases/addons", "k8s.io/client-go/kubernetes", "phases reach hosts through host.Host"},
		{"phases/addons", "k8s.io/client-go/tools/portforward", "phases reach hosts through host.Host"},
		{"phases/validate", "k8s.io/client-go/util/exec", ""},
		{"phases/addons", "k8s.io/apimachinery/pkg/apis/meta/v1", ""},
		{"cmd", "k8s.io/client-go/kubernetes", "cmd makes no API calls"},
		{"cmd", "k8s.io/api/core/v1", "cmd makes no API calls"},
		{"cmd/slipway", "k8s.io/apimachinery/pkg/apis/meta/v1", "cmd makes no API calls"},
		{"cmd", "provision/cluster/kube", ""},
		{"phases/nodes", "provision/lab", "apply knows no labs"},
		{"phases", "provision/lab/vagrant", "apply knows no labs"},
		{"provision/host/ssh", "provision/lab", "apply knows no labs"},
		{"provision/workflow", "provision/lab/container", "apply knows no labs"},
		{"phases/machines", "provision/lab", ""},
		{"provision/lab/vagrant", "provision/lab", ""},
		{"cmd", "provision/lab/vagrant", ""},
	}
	for _, test := range tests {
		t.Run(test.directory+" and "+test.imported, func(t *testing.T) {
			t.Parallel()
			got := violations(test.directory, test.imported)
			if test.broken == "" && len(got) > 0 {
				t.Errorf("refused: %v", got)
			}
			if test.broken != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.broken)) {
				t.Errorf("got %v, want %q", got, test.broken)
			}
		})
	}
}

// harmless are the names of package net that do not dial.
var harmless = []string{"SplitHostPort", "JoinHostPort", "ParseIP", "ParseCIDR", "ParseMAC", "IP", "IPNet", "CIDRMask"}

// A fixed sleep is too long or too short: wait for a condition. Only cmd prints:
// everything else returns values and errors.
func TestNothingBelowCmdSleepsPrintsOrDials(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	for _, name := range sources(t) {
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if used, ok := node.(*ast.SelectorExpr); ok {
				if pkg, ok := used.X.(*ast.Ident); ok {
					if why := misuse(path.Dir(name), pkg.Name, used.Sel.Name); why != "" {
						t.Errorf("%s: %s.%s: %s", files.Position(used.Pos()), pkg.Name, used.Sel.Name, why)
					}
				}
			}
			return true
		})
	}
}

// misuse says why a directory must not use a name of a package; empty if it may.
func misuse(directory, pkg, name string) string {
	if !within(directory, "provision") && !within(directory, "phases") && !within(directory, "templates") {
		return ""
	}
	switch pkg + "." + name {
	case "time.Sleep":
		return "wait for a condition, with a context"
	case "fmt.Print", "fmt.Printf", "fmt.Println", "os.Stdout", "os.Stderr", "os.Exit":
		// Programs: the agent runs on the hosts, refresh is for developers.
		if directory != "provision/probe/netprobe/agent" && directory != "provision/bundle/refresh" {
			return "return it, or send it as an event: only cmd prints, through report"
		}
	}
	dials := pkg == "net" && !slices.Contains(harmless, name) || pkg == "tls" && strings.HasPrefix(name, "Dial")
	if dials && within(directory, "phases") {
		return "phases reach hosts through host.Host"
	}
	return ""
}

func TestMisuseIsReported(t *testing.T) {
	t.Parallel()
	tests := []struct {
		directory, pkg, name string
		misuse               bool
	}{
		{"phases/nodes", "time", "Sleep", true},
		{"provision/cluster/kube", "fmt", "Println", true},
		{"provision/cluster/kube", "fmt", "Fprintln", false},
		{"phases/nodes", "net", "Dial", true},
		{"phases/nodes", "net", "Dialer", true},
		{"phases/nodes", "net", "SplitHostPort", false},
		{"phases/nodes", "tls", "DialWithDialer", true},
		{"phases/nodes", "tls", "X509KeyPair", false},
		{"provision/host/ssh", "net", "Dialer", false},
		{"cmd", "os", "Exit", false},
		{"e2e/source", "os", "Stderr", false},
	}
	for _, test := range tests {
		t.Run(test.directory+" and "+test.pkg+"."+test.name, func(t *testing.T) {
			t.Parallel()
			if got := misuse(test.directory, test.pkg, test.name); (got != "") != test.misuse {
				t.Errorf("misuse says %q", got)
			}
		})
	}
}

func TestShellScriptsAreClean(t *testing.T) {
	t.Parallel()
	shellcheck := tool(t, "shellcheck")
	sh := tool(t, "sh")
	list, err := exec.CommandContext(t.Context(), sh, ".ci/shell-files").Output()
	if err != nil {
		t.Fatalf(".ci/shell-files: %v", err)
	}
	scripts := strings.Fields(string(list))
	if !slices.Contains(scripts, "./.ci/run") || !slices.Contains(scripts, "./e2e/lab.sh") {
		t.Fatalf(".ci/shell-files does not find every script, only %v", scripts)
	}
	out, err := exec.CommandContext(t.Context(), shellcheck, scripts...).CombinedOutput()
	if err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

// A binary in the repository cannot be reviewed, and stays in its history.
func TestNoBinaryIsTracked(t *testing.T) {
	t.Parallel()
	for _, name := range tracked(t) {
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, but not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if isBinary(content) {
			t.Errorf("%s is a binary file: build or download it where it is needed", name)
		}
	}
}

// isBinary is the rule of git: a NUL byte at the beginning.
func isBinary(content []byte) bool { return bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 }

func TestBinariesAreRecognized(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content string
		binary  bool
	}{
		"a script":        {"#!/bin/sh\nexit 0\n", false},
		"an empty file":   {"", false},
		"text in UTF-8":   {"größer → 10 °C", false},
		"an ELF program":  {"\x7fELF\x02\x01\x01\x00\x00", true},
		"a gzip archive":  {"\x1f\x8b\x08\x00\x00", true},
		"a picture (PNG)": {"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", true},
	} {
		if isBinary([]byte(test.content)) != test.binary {
			t.Errorf("%s: taken for a binary: %t", name, !test.binary)
		}
	}
}

// tracked lists the files that git tracks. Outside of a checkout the test is
// skipped, except in CI.
func tracked(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool(t, "git"), "ls-files", "-z").Output()
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("not a git checkout")
	}
	names := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	if err != nil || len(names) == 0 {
		t.Fatalf("git ls-files: %v, %d files", err, len(names))
	}
	return names
}

// tool finds a program. Without it, the test is skipped, except in CI.
func tool(t *testing.T, name string) string {
	t.Helper()
	found, err := exec.LookPath(name)
	switch {
	case err == nil:
		return found
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is missing; on Debian: apt-get install %s", name, name)
	default:
		t.Skipf("%s is missing; on Debian: apt-get install %s", name, name)
	}
	return ""
}

func TestMakeHelpNamesEveryTarget(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var phony, explained []string
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(line, ".PHONY: "); found {
			phony = append(phony, strings.TrimSpace(name))
		}
		if name, _, found := strings.Cut(line, ":"); found && strings.Contains(line, " ## ") {
			explained = append(explained, name)
		}
	}
	if diff := cmp.Diff(phony, explained); diff != "" || len(phony) == 0 {
		t.Errorf("targets (-) and those that help explains (+):\n%s", diff)
	}
}

// sources lists the module's Go files except tests, as paths with slashes.
// Directories with a go.mod are other modules.
func sources(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(name, entry)
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			files = append(files, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("found no Go files")
	}
	return files
}

// skip returns fs.SkipDir for directories without packages of the module.
func skip(name string, entry fs.DirEntry) error {
	if name == "." {
		return nil
	}
	if base := entry.Name(); base[0] == '.' || base[0] == '_' || base == "testdata" || base == "bin" {
		return fs.SkipDir
	}
	switch _, err := os.Stat(filepath.Join(name, "go.mod")); {
	case err == nil:
		return fs.SkipDir
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("look for a module in %s: %w", name, err)
	}
}
