// Package slipway_test holds what is true of the project as a whole.
package slipway_test

import (
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

// rule forbids some imports to some packages. Packages of the module go by
// their folder, all others by their import path.
type rule struct {
	name    string
	why     string
	applies func(folder string) bool
	forbids func(folder, imported string) bool
}

// rules is the direction of imports, cmd → phases → provision, templates, and
// what is kept to one place.
var rules = []rule{
	{
		name:    "provision stands below",
		why:     "the engine does not know what an installation does: hand it in from phases or cmd",
		applies: in("provision"),
		forbids: anyOf("phases", "cmd", "e2e"),
	},
	{
		name:    "templates stand alone",
		why:     "templates are rendered from data that is given to them: nothing of the module is needed",
		applies: in("templates"),
		forbids: anyOf("cmd", "phases", "provision", "e2e"),
	},
	{
		name:    "a phase does not know its siblings",
		why:     "only the root of phases knows more than one: what two need belongs into provision",
		applies: func(folder string) bool { return within(folder, "phases") && folder != "phases" },
		forbids: func(folder, imported string) bool {
			return within(imported, "phases") && stage(imported) != stage(folder)
		},
	},
	{
		name:    "phases stand below cmd",
		why:     "imports go cmd → phases → provision, templates",
		applies: in("phases"),
		forbids: anyOf("cmd", "e2e"),
	},
	{
		name:    "phases reach machines through host.Host",
		why:     "phases neither dial nor start programs: use the host.Host of the run, and net/netip for addresses",
		applies: in("phases"),
		forbids: anyOf("golang.org/x/crypto/ssh", "github.com/pkg/sftp", "provision/host/ssh",
			"net/http", "net/rpc", "net/smtp", "os/exec"),
	},
	{
		name:    "the command line is cmd's",
		why:     "flags and settings are read in cmd and handed on as typed values",
		applies: func(folder string) bool { return !within(folder, "cmd") },
		forbids: anyOf("github.com/spf13/cobra", "github.com/spf13/viper", "github.com/spf13/pflag"),
	},
	{
		name:    "e2e drives the binary",
		why:     "the end-to-end tests see what users see: run bin/slipway",
		applies: in("e2e"),
		forbids: anyOf("phases", "cmd"),
	},
}

// in returns whether a folder is that one or below it.
func in(top string) func(string) bool {
	return func(folder string) bool { return within(folder, top) }
}

// anyOf returns whether an import is one of those packages or, unless it is of
// the standard library, below one.
func anyOf(packages ...string) func(string, string) bool {
	return func(_, imported string) bool {
		return slices.ContainsFunc(packages, func(p string) bool {
			standard := strings.HasPrefix(p, "net") || strings.HasPrefix(p, "os")
			return imported == p || !standard && within(imported, p)
		})
	}
}

func within(folder, top string) bool { return folder == top || strings.HasPrefix(folder, top+"/") }

// stage is the name of the folder below phases, empty for phases itself.
func stage(folder string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(folder, "phases"), "/"), "/")
	return name
}

// violations lists how an import breaks the rules.
func violations(folder, imported string) []string {
	var broken []string
	for _, r := range rules {
		if r.applies(folder) && r.forbids(folder, imported) {
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

func TestRulesTellGoodImportsFromBad(t *testing.T) {
	t.Parallel()
	tests := []struct {
		folder, imported, broken string
	}{
		{"provision/host/ssh", "phases/preflight", "provision stands below"},
		{"provision/workflow", "phases", "provision stands below"},
		{"provision/workflow", "provision/host", ""},
		{"provision/workflow", "templates", ""},
		{"templates", "provision/config", "templates stand alone"},
		{"templates", "text/template", ""},
		{"phases/nodes", "phases/controlplane", "a phase does not know its siblings"},
		{"phases/nodes", "phases", "a phase does not know its siblings"},
		{"phases/nodes", "phases/nodes/join", ""},
		{"phases", "phases/nodes", ""},
		{"phases/nodes", "cmd", "phases stand below cmd"},
		{"phases/nodes", "net/http", "phases reach machines through host.Host"},
		{"phases/nodes", "os/exec", "phases reach machines through host.Host"},
		{"phases/nodes", "golang.org/x/crypto/ssh/agent", "phases reach machines through host.Host"},
		{"phases/nodes", "net/netip", ""},
		{"phases/nodes", "os", ""},
		{"provision/host/ssh", "golang.org/x/crypto/ssh", ""},
		{"provision/config", "github.com/spf13/viper", "the command line is cmd's"},
		{"cmd", "github.com/spf13/cobra", ""},
		{"e2e", "phases/reset", "e2e drives the binary"},
		{"e2e", "provision/lab", ""},
	}
	for _, test := range tests {
		t.Run(test.folder+" and "+test.imported, func(t *testing.T) {
			t.Parallel()
			got := violations(test.folder, test.imported)
			if test.broken == "" && len(got) > 0 {
				t.Errorf("refused: %v", got)
			}
			if test.broken != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.broken)) {
				t.Errorf("got %v, want %q", got, test.broken)
			}
		})
	}
}

// harmless is what phases may use of package net, which also dials.
var harmless = []string{"SplitHostPort", "JoinHostPort", "ParseIP", "ParseCIDR", "ParseMAC", "IP", "IPNet", "CIDRMask"}

// A fixed sleep is either too long or too short: waits are for conditions. And
// what is not cmd or report returns values and errors, and prints nothing.
func TestNothingBelowCmdSleepsPrintsOrDialsBesideTheSeam(t *testing.T) {
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

// misuse says what is wrong with a folder's use of a package's name, if
// anything.
func misuse(folder, pkg, name string) string {
	if !within(folder, "provision") && !within(folder, "phases") && !within(folder, "templates") {
		return ""
	}
	switch pkg + "." + name {
	case "time.Sleep":
		return "wait for a condition, with a context"
	case "fmt.Print", "fmt.Printf", "fmt.Println", "os.Stdout", "os.Stderr", "os.Exit":
		// The probe is a program of its own, that runs on the machines.
		if folder != "provision/probe/netprobe/agent" {
			return "return it, or send it as an event: only cmd prints, through report"
		}
	}
	if pkg == "net" && within(folder, "phases") && !slices.Contains(harmless, name) {
		return "phases reach machines through host.Host"
	}
	return ""
}

func TestMisuseIsTold(t *testing.T) {
	t.Parallel()
	tests := []struct {
		folder, pkg, name string
		misuse            bool
	}{
		{"phases/nodes", "time", "Sleep", true},
		{"provision/cluster/kube", "fmt", "Println", true},
		{"provision/cluster/kube", "fmt", "Fprintln", false},
		{"phases/nodes", "net", "Dial", true},
		{"phases/nodes", "net", "Dialer", true},
		{"phases/nodes", "net", "SplitHostPort", false},
		{"provision/host/ssh", "net", "Dialer", false},
		{"cmd", "os", "Exit", false},
		{"e2e/source", "os", "Stderr", false},
	}
	for _, test := range tests {
		t.Run(test.folder+" and "+test.pkg+"."+test.name, func(t *testing.T) {
			t.Parallel()
			if got := misuse(test.folder, test.pkg, test.name); (got != "") != test.misuse {
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

// tool finds a program. Without it the test is skipped, but not in CI.
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

// sources lists the module's Go files but for its tests, by their path with
// slashes. Folders that are modules of their own are left out.
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

// skip tells filepath.WalkDir which folders hold no package of the module.
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
