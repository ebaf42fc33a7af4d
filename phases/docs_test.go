package phases

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/phases/backup"
	"slipway.io/slipway/phases/validate"
	"slipway.io/slipway/provision/workflow"
)

var update = flag.Bool("update", false, "update docs/phases.md")

func TestDocsListEveryPhase(t *testing.T) {
	t.Parallel()
	const path = "../docs/phases.md"
	want := phasesPage()
	if *update {
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("docs/phases.md is out of date; run go test ./phases -update (-want +have):\n%s", diff)
	}
}

func phasesPage() []byte {
	var b bytes.Buffer
	b.WriteString(`# Phases

This page is generated from the code with ` + "`go test ./phases -update`" + `. A phase starts on a host when the phases that it
needs are done there; "everywhere" means on all hosts. Run a single phase with ` + "`slipway phase run`" + `, skip phases with
` + "`--skip-phases`" + `, or select a range with ` + "`--from` and `--until`" + `. The commands below each phase do or check the same
by hand; ` + "`slipway explain PHASE`" + ` prints them too.
`)
	described := map[string]bool{}
	for _, w := range []workflow.Workflow{
		Apply(), Remove(), Reset(), Certificates(), Backup(backup.Options{}, nil), Restore(backup.Source{}), Validate(validate.Options{}, nil),
	} {
		title := "slipway " + w.Name
		switch w.Name {
		case Remove().Name:
			title = "slipway apply, for hosts that are absent"
		case Certificates().Name:
			title = "slipway certificates renew"
		case "backup":
			title = "slipway backup create"
		}
		fmt.Fprintf(&b, "\n## %s\n", title)
		for _, p := range w.Phases {
			if (w.Name == "backup" || w.Name == "restore") && described[p.Name] {
				continue // those of apply, with the phases below among them
			}
			described[p.Name] = true
			fmt.Fprintf(&b, "\n### %s\n\n%s, on %s%s. %s\n\n", p.Name, upper(p.Title), where(p), needs(p), p.Why)
			for _, line := range p.Manual {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	b.WriteString(`
Its probes, which ` + "`--only` and `--skip`" + ` select:

| probe | what it checks |
|---|---|
`)
	for _, p := range validate.Probes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", p.Name, p.Title)
	}
	return b.Bytes()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func where(p workflow.Phase) string {
	place := p.On.String()
	if place == workflow.Seed.String() {
		place = "the " + place
	}
	if p.OneAtATime {
		place += ", one at a time"
	}
	return place
}

func needs(p workflow.Phase) string {
	var list []string
	for _, name := range p.Needs {
		list = append(list, "`"+name+"`")
	}
	for _, name := range p.NeedsAll {
		list = append(list, "`"+name+"` everywhere")
	}
	if len(list) == 0 {
		return ""
	}
	return ", after " + strings.Join(list, ", ")
}
