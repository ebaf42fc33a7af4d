package phases

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

func workflows() []workflow.Workflow {
	return []workflow.Workflow{Apply(), Reset(), Preflight()}
}

// The runner itself says whether what phases need stands before them.
func TestWorkflowsRunOnFleetsOfAllShapes(t *testing.T) {
	t.Parallel()
	const cp, worker = config.RoleControlPlane, config.RoleWorker
	inventories := map[string][]config.Host{
		"a single machine":             {{Name: "a", Roles: []config.Role{cp, worker}}},
		"a control plane and workers":  {{Name: "a", Roles: []config.Role{cp}}, {Name: "b", Roles: []config.Role{worker}}, {Name: "c", Roles: []config.Role{worker}}},
		"a worker that is named first": {{Name: "a", Roles: []config.Role{worker}}, {Name: "b", Roles: []config.Role{cp}}},
		"a control plane alone":        {{Name: "a", Roles: []config.Role{cp}}},
	}
	for name, inventory := range inventories {
		for _, w := range workflows() {
			t.Run(w.Name+" on "+name, func(t *testing.T) {
				t.Parallel()
				hosts := &workflow.Hosts{}
				for _, host := range inventory {
					hosts.All = append(hosts.All, &workflow.Host{Config: host})
				}
				for i := range w.Phases {
					w.Phases[i].Done, w.Phases[i].Do = nil, func(context.Context, *workflow.Step) error { return nil }
				}
				events := &report.Recorder{}
				run := &workflow.Run{Cluster: everything(), Hosts: hosts, Sink: events, Parallel: 4}
				if err := run.Do(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				ran := map[string]bool{}
				for _, e := range events.Events() {
					ran[e.Phase] = true
				}
				for _, p := range w.Phases {
					if !ran[p.Name] && len(p.On.Hosts(hosts)) > 0 {
						t.Errorf("%s ran nowhere", p.Name)
					}
				}
			})
		}
	}
}

func TestPhasesSayWhatTheyDoAndWhy(t *testing.T) {
	t.Parallel()
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, w := range workflows() {
		seen := map[string]bool{}
		for _, p := range w.Phases {
			if !kebab.MatchString(p.Name) || seen[p.Name] {
				t.Errorf("%s: %q is no name in kebab-case, or there twice", w.Name, p.Name)
			}
			seen[p.Name] = true
			if p.Title == "" || strings.ToLower(p.Title[:1]) != p.Title[:1] || strings.HasSuffix(p.Title, ".") || strings.Contains(p.Title, "\n") {
				t.Errorf("%s: the title %q is no short line", p.Name, p.Title)
			}
			if len(p.Why) < 20 || !strings.HasSuffix(p.Why, ".") {
				t.Errorf("%s: %q is no reason in a sentence", p.Name, p.Why)
			}
			if p.Do == nil {
				t.Errorf("%s does nothing", p.Name)
			}
		}
	}
}

// comesAfter says whether a phase comes after another one, through any others.
func comesAfter(w workflow.Workflow, name, on string) bool {
	p, _ := w.Phase(name)
	return slices.ContainsFunc(slices.Concat(p.Needs, p.NeedsAll), func(need string) bool {
		return need == on || comesAfter(w, need, on)
	})
}

func TestNothingIsChangedWithoutTheLockOrBeforeTheChecks(t *testing.T) {
	t.Parallel()
	for _, w := range []workflow.Workflow{Apply(), Reset()} {
		for _, p := range w.Phases {
			if p.ReadOnly || p.Name == "lock" {
				continue
			}
			if !comesAfter(w, p.Name, "lock") {
				t.Errorf("%s: %s does not need the lock", w.Name, p.Name)
			}
		}
		if lock, ok := w.Phase("lock"); !ok || !lock.Always {
			t.Errorf("%s: the lock can be left out", w.Name)
		}
	}
	if lock, _ := Apply().Phase("lock"); !slices.Contains(lock.NeedsAll, "preflight") {
		t.Error("a machine is changed before all of them are checked")
	}
}

func TestPreflightChangesNothing(t *testing.T) {
	t.Parallel()
	for _, p := range Preflight().Phases {
		if !p.ReadOnly {
			t.Errorf("%s is not read-only", p.Name)
		}
	}
}

// What phases ask of the facts, the script must look for.
func TestTheFactsScriptLooksForWhatPhasesAskFor(t *testing.T) {
	t.Parallel()
	script := string(templates.Script("facts/facts.sh"))
	asked := regexp.MustCompile(`Facts\(\)\.Exists\("([^"]+)"\)|f\.Exists\("([^"]+)"\)`)
	paths := []string{journal.Dir}
	for _, name := range []string{"nodes/join.go", "hostprep/kernel.go", "preflight/checks.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range asked.FindAllStringSubmatch(string(text), -1) {
			paths = append(paths, match[1]+match[2])
		}
	}
	if len(paths) < 3 {
		t.Fatalf("only %v are asked for", paths)
	}
	for _, path := range paths {
		if !strings.Contains(script, " "+path) {
			t.Errorf("facts.sh does not look for %s", path)
		}
	}
}

// everything is an inventory that wants each phase.
func everything() *config.Cluster {
	c := &config.Cluster{Addons: []config.Addon{{Name: "own"}}}
	for _, name := range config.KnownAddons() {
		c.Addons = append(c.Addons, config.Addon{Name: name})
	}
	c.SetDefaults()
	return c
}
