package slipway_test

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// words lists what the project calls by a standard term, and phrases that the
// Kubernetes documentation does not use.
var words = []struct{ pattern, better string }{
	{`(?i)\bfleets?\b`, "hosts"},
	{`(?i)\bcoats?\b`, "decorator"},
	{`(?i)\b(test)?bed\b`, "fixture"},
	{`(?i)\bworkbench\b`, "harness"},
	{`\bletGo\b`, "preRemove, cleanup"},
	{`\bTeller\b`, "Logger"},
	{`\bUnasked`, "WebhookUnavailableError"},
	{`(?i)\buntaken\b`, "releaseUncertain"},
	{`\bUnjournaled\b`, "WithoutJournal"},
	{`(?i)\bouter (machine|computer|host)`, "localhost"},
	{`(?i)installer's (own )?(machine|computer)`, "localhost"},
	{`(?i)\bstrangers?\b`, "UnmanagedObjects"},
	{`(?i)\bshall\b`, "the present tense"},
	{`(?i)\banew\b`, "again, or create, restart, update"},
	{`(?i)\bgo(es)? on from\b`, "resume, continue"},
	{`(?i)\b(is|are) told\b`, "reports, receives"},
	{`(?i)\bwhat is there\b`, "the name of the thing"},
	{`(?i)\btakes? away\b`, "delete, remove"},
	{`(?i)\bbrings? back\b`, "restore"},
	{`(?i)\btakes? off\b`, "undo, remove"},
	{`(?i)\bmade for the purpose\b`, "disposable"},
}

// texts are the endings and names of files that people read.
var texts = []string{".go", ".md", ".sh", ".tmpl", ".yaml", ".yml", ".html", ".conf", ".json", "Makefile", "Vagrantfile", "run"}

func TestTheTextUsesStandardWords(t *testing.T) {
	t.Parallel()
	list, err := exec.CommandContext(t.Context(), "git", "ls-files").Output()
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("list the files: %v", err)
	case err != nil:
		t.Skipf("not a git checkout: %v", err)
	}
	var patterns []*regexp.Regexp
	for _, w := range words {
		patterns = append(patterns, regexp.MustCompile(w.pattern))
	}
	checked := 0
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSuffix(name, "\n")
		isText := slices.Contains(texts, path.Ext(name)) || slices.Contains(texts, path.Base(name))
		if name == "words_test.go" || !isText {
			continue
		}
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // deleted and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		checked++
		for number, line := range bytes.Split(content, []byte("\n")) {
			for i, pattern := range patterns {
				if found := pattern.Find(line); found != nil {
					t.Errorf("%s:%d: %q: write %s", name, number+1, found, words[i].better)
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d files are checked", checked)
	}
}
