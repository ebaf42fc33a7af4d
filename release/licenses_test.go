package main

import (
	"context"
	_ "embed"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write THIRD_PARTY_LICENSES and NOTICE")

// everything lists the linked packages once for all tests.
var everything = sync.OnceValues(func() (linked, error) {
	root, err := moduleRoot()
	if err != nil {
		return linked{}, err
	}
	return linkedPackages(context.Background(), root) // shared by the tests
})

func TestLicensesAndNoticesAreUpToDate(t *testing.T) {
	t.Parallel()
	root, all := dependencies(t)
	licenses, err := thirdPartyLicenses(all.modules)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{thirdPartyFile: licenses, noticeFileName: notice(all.modules)} {
		file := filepath.Join(root, name)
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(got), "\n"), strings.Split(want, "\n")); diff != "" {
			t.Errorf("%s does not list what the programs contain; run: make licenses\n%s", name, diff)
		}
	}
	// The result of the test depends on these files, which only the go command has read.
	for _, dir := range append(all.own, root) {
		if _, err := os.ReadDir(dir); err != nil {
			t.Error(err)
		}
	}
}

// dependencies returns the root of the module and the linked packages.
func dependencies(t *testing.T) (string, linked) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	all, err := everything()
	if err != nil {
		t.Fatal(err)
	}
	return root, all
}

func TestLinkedModulesAreThoseOfAllTargets(t *testing.T) {
	t.Parallel()
	_, all := dependencies(t)
	byPath := map[string]module{}
	for _, m := range all.modules {
		byPath[m.path] = m
	}
	for path, test := range map[string]struct {
		why    string
		linked bool
	}{
		"std":                                  {"every program contains the standard library", true},
		"k8s.io/client-go":                     {"all targets link it", true},
		"github.com/inconshreveable/mousetrap": {"only the binaries for Windows link it", true},
		"github.com/prometheus/procfs":         {"the binaries for macOS do not link it", true},
		"github.com/google/go-cmp":             {"only tests use it", false},
		"github.com/google/licensecheck":       {"only this program uses it", false},
		"honnef.co/go/tools":                   {"it is a tool", false},
		"slipway.io/slipway":                   {"it is not the code of others", false},
	} {
		if _, linked := byPath[path]; linked != test.linked {
			t.Errorf("%s is listed: %t, although %s", path, linked, test.why)
		}
	}
	for _, m := range all.modules {
		if (m.version == "") != (m.path == standardLibrary) {
			t.Errorf("%s has the version %q", m.path, m.version)
		}
	}
	if !slices.ContainsFunc(all.own, func(dir string) bool {
		return strings.HasSuffix(filepath.ToSlash(dir), "provision/probe/netprobe/agent")
	}) {
		t.Error("the network probe, which binaries embed, is missing")
	}
}

func TestLicensesAreThoseOfTheLinkedPackages(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, content := range map[string]string{
		"LICENSE":                 "of the module",
		"NOTICE":                  "to be reproduced",
		"LICENSE.docs":            "of the documentation",
		"license.go":              "package license",
		"linked/COPYING.md":       "of the linked package",
		"linked/internal/code.go": "package internal",
		"other/LICENSE":           "of a package that nothing imports",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := collector{root: root}
	for range 2 { // a package is linked for several targets
		if err := c.add(filepath.Join(root, "linked", "internal")); err != nil {
			t.Fatal(err)
		}
	}
	want := module{
		texts:   []text{{"LICENSE", "of the module\n"}, {"linked/COPYING.md", "of the linked package\n"}},
		notices: []text{{"NOTICE", "to be reproduced\n"}},
	}
	if diff := cmp.Diff(want, c.module, cmp.AllowUnexported(module{}, text{})); diff != "" {
		t.Errorf("found (+), want (-):\n%s", diff)
	}
}

//go:embed testdata/isc.txt
var isc string

func TestOnlyKnownLicensesAreAccepted(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	apache, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		content string
		want    []string
	}{
		"the Apache License":                {string(apache), []string{"Apache-2.0"}},
		"two licenses in one file":          {isc + "\n" + string(apache), []string{"Apache-2.0", "ISC"}},
		"a name and a license":              {"Copyright (c) 2020 Somebody\n\n" + isc, []string{"ISC"}},
		"a license that is not accepted":    {"GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3, 19 November 2007\n", nil},
		"a license with further conditions": {isc + strings.Repeat("Do not use the software for anything else than good. ", 20), nil},
		"an empty file":                     {"", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := identify(test.content)
			if (err != nil) != (test.want == nil) {
				t.Fatalf("error: %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("found (+), want (-):\n%s", diff)
			}
		})
	}
}

// ownTemplates are files in the directories below that follow no file of another
// project.
var ownTemplates = []string{
	"templates/addons/namespace.yaml.tmpl",
	"templates/etcd/backup.sh", "templates/etcd/log.sh", "templates/etcd/phases.sh", "templates/etcd/restore.sh",
	"templates/etcd/snapshot.sh", "templates/etcd/tool.sh",
	"templates/endpoint/check.bash", "templates/endpoint/disconnect.sh", "templates/endpoint/haproxy-unit.conf",
	"templates/endpoint/haproxy.cfg.tmpl", "templates/endpoint/keepalived-unit.conf.tmpl", "templates/endpoint/keepalived.conf.tmpl",
	"templates/runtime/config-v2.toml.tmpl", "templates/runtime/config-v3.toml.tmpl", "templates/runtime/hosts.toml.tmpl",
	"templates/runtime/pin-images.sh", "templates/runtime/proxy.conf",
}

// A new template of an addon is either attributed or listed as slipway's own.
func TestNoticeNamesTheTemplatesThatFollowOtherProjects(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(templates|provision)/[a-z0-9/.-]+[a-z]`).FindAllString(ownNotice, -1)
	for _, name := range slices.Concat(named, ownTemplates) {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{"addons", "endpoint", "etcd", "kubelet", "network", "runtime"} {
		err := filepath.WalkDir(filepath.Join(root, "templates", dir), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			if slices.Contains(named, name) == slices.Contains(ownTemplates, name) {
				t.Errorf("%s is not named once: if it follows a file of another project, name that in release/NOTICE.txt and run make licenses; if not, add it to ownTemplates", name)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestDistinctTextsAreListedOnce(t *testing.T) {
	t.Parallel()
	var texts numberedTexts
	a, b := module{path: "example.org/a", version: "v1.0.0"}, module{path: "example.org/b", version: "v2.0.0"}
	numbers := []int{
		texts.number(a, text{"LICENSE", "one\ntwo\n"}),
		texts.number(b, text{"LICENSE", "  one two\n"}),
		texts.number(b, text{"lib/COPYING", "three\n"}),
	}
	if diff := cmp.Diff([]int{1, 1, 2}, numbers); diff != "" {
		t.Errorf("numbers (+), want (-):\n%s", diff)
	}
	const want = "\n" + ruler + "[1]\n    example.org/a v1.0.0: LICENSE\n    example.org/b v2.0.0: LICENSE\n\none\ntwo\n" +
		"\n" + ruler + "[2]\n    example.org/b v2.0.0: lib/COPYING\n\nthree\n"
	if diff := cmp.Diff(want, texts.String()); diff != "" {
		t.Errorf("text (+), want (-):\n%s", diff)
	}
}

func TestSourceURLsNameTheVersion(t *testing.T) {
	t.Parallel()
	got := sourceURL(module{path: "github.com/Masterminds/semver/v3", version: "v3.4.0"})
	if want := "https://pkg.go.dev/github.com/Masterminds/semver/v3@v3.4.0"; got != want {
		t.Errorf("got %s", got)
	}
}
