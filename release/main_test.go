package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionsAreSemantic(t *testing.T) {
	t.Parallel()
	for version, valid := range map[string]bool{
		"v0.1.0": true, "v1.20.3-rc.1": true,
		"": false, "dev": false, "0.1.0": false, "v0.1": false, "v0.1.0+build": false, "fa91c40-dirty": false,
	} {
		if err := checkVersionName(version); (err == nil) != valid {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestTargetsAreAllUnlessSomeAreNamed(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"":                          "[darwin/amd64 darwin/arm64 linux/amd64 linux/arm64 windows/amd64 windows/arm64]",
		"linux/arm64,windows/amd64": "[linux/arm64 windows/amd64]",
		"linux":                     "[]",
		"plan9/amd64":               "[]",
	} {
		got, err := selectTargets(list)
		if fmt.Sprint(got) != want || (err != nil) != (want == "[]") {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
}

func TestReleasesAreBuiltFromACommit(t *testing.T) {
	t.Parallel()
	gitPath, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is missing")
	}
	root := t.TempDir()
	run := func(arguments ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), gitPath, arguments...)
		command.Dir = root
		command.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1773500966 +0200", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, out)
		}
	}
	if _, err := commitTime(t.Context(), root, ""); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("without a checkout: %v", err)
	}
	run("init", "--quiet")
	run("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--allow-empty", "--message", "Start")
	got, err := commitTime(t.Context(), root, "")
	if err != nil || !got.Equal(someTime) {
		t.Errorf("the time of the commit is %s, %v", got, err)
	}
	if err := checkCheckout(t.Context(), root); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(root, "new.go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := checkCheckout(t.Context(), root); err == nil || !strings.Contains(err.Error(), "new.go") {
		t.Errorf("a file that is not committed is released: %v", err)
	}
}

func TestTheTimeOfAReleaseCanBeSet(t *testing.T) {
	t.Parallel()
	got, err := commitTime(t.Context(), t.TempDir(), "1773500966")
	if err != nil || !got.Equal(someTime) {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := commitTime(t.Context(), t.TempDir(), "yesterday"); err == nil {
		t.Error("a time that is not a number is accepted")
	}
}
