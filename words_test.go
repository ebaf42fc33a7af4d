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

// word is a pattern to avoid, and what to write instead.
type word struct{ pattern, better string }

// words lists what the project calls by a standard term, and phrases that the
// Kubernetes documentation does not use.
var words = []word{
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
	{`(?i)\bproof\b`, "ValidationReport, evidence"},
	{`(?i)\b(patience|endures?|stamps)\b`, "timeoutScale, retry, verifyCache"},
	{`(?i)\bplacing\b`, "atomicFile, write"},
	{`(?i)\bmend(s|ed|ing)?\b`, "fix, repair"},
	{`(?i)\bas ever\b`, "as before"},
	{`(?i)\bfolders?\b`, "directory"},
}

// texts are the endings and names of files that people read.
var texts = []string{".go", ".md", ".sh", ".tmpl", ".yaml", ".yml", ".html", ".conf", "Makefile", "Vagrantfile", "run"}

func TestTheTextUsesStandardWords(t *testing.T) {
	t.Parallel()
	list, err := exec.CommandContext(t.Context(), "git", "ls-files").Output()
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("list the files: %v", err)
	case err != nil:
		t.Skipf("not a git checkout: %v", err)
	}
	var alternatives []string
	for _, w := range words {
		alternatives = append(alternatives, "(?:"+w.pattern+")")
	}
	// One pass over each file is enough while it holds none of them.
	any := regexp.MustCompile(strings.Join(alternatives, "|"))
	checked := 0
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSuffix(name, "\n")
		isText := slices.Contains(texts, path.Ext(name)) || slices.Contains(texts, path.Base(name))
		if name == "words_test.go" || strings.HasPrefix(name, "e2e/source/modules/") || !isText {
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
		for _, at := range any.FindAllIndex(content, -1) {
			found := content[at[0]:at[1]]
			i := slices.IndexFunc(words, func(w word) bool { return regexp.MustCompile(w.pattern).Match(found) })
			line := 1 + bytes.Count(content[:at[0]], []byte("\n"))
			t.Errorf("%s:%d: %q: write %s", name, line, found, words[i].better)
		}
	}
	if checked < 100 {
		t.Errorf("only %d files are checked", checked)
	}
}
