package preflight

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocsNameEveryCheckAndNoOther(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/preflight.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, registered []string
	for line := range strings.Lines(string(page)) {
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " |"); ok && strings.HasPrefix(first, "`") {
			for _, name := range regexp.MustCompile("`([a-z0-9-]+)`").FindAllStringSubmatch(first, -1) {
				documented = append(documented, name[1])
			}
		}
	}
	for _, c := range checks() {
		registered = append(registered, c.name)
	}
	slices.Sort(documented)
	slices.Sort(registered)
	if diff := cmp.Diff(registered, documented); diff != "" {
		t.Errorf("docs/preflight.md and the registered checks differ (-registered +documented):\n%s", diff)
	}
}
