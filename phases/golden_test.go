package phases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The timelines name every phase of the runs in the golden files of package
// report.
func TestGoldenReportsNamePhasesThatExist(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, w := range workflows() {
		for _, p := range w.Phases {
			names[p.Name] = true
		}
	}
	files, err := filepath.Glob("../provision/report/testdata/timeline*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden timelines: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		table, _, ok := strings.Cut(string(text), "critical path:")
		rows := strings.Split(strings.TrimSpace(table), "\n")
		if !ok || len(rows) < 2 {
			t.Fatalf("%s has no phases", file)
		}
		for _, row := range rows[1:] {
			if name := strings.Fields(row)[0]; !names[name] {
				t.Errorf("%s: no phase %q", file, name)
			}
		}
	}
}
