package workflow

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func nothing(name string, on Place, needs ...string) Phase {
	return Phase{Name: name, On: on, Needs: needs}
}

// edges lists what each task needs, "phase host <- phase host, …".
func edges(tasks []*task) []string {
	var all []string
	for _, t := range tasks {
		var needs []string
		for _, need := range t.needs {
			needs = append(needs, need.String())
		}
		all = append(all, t.String()+" <- "+strings.Join(needs, ", "))
	}
	return all
}

func TestGraph(t *testing.T) {
	t.Parallel()
	everywhere := nothing("last", EachHost)
	everywhere.NeedsAll = []string{"first"}
	tests := []struct {
		name   string
		phases []Phase
		want   []string
	}{
		{
			name:   "a need is met on the same host",
			phases: []Phase{nothing("first", EachHost), nothing("last", EachHost, "first")},
			want: []string{
				"first cp <- ", "first w1 <- ", "first w2 <- ",
				"last cp <- first cp", "last w1 <- first w1", "last w2 <- first w2",
			},
		},
		{
			name:   "NeedsAll is met on every host",
			phases: []Phase{nothing("first", Workers), everywhere},
			want: []string{
				"first w1 <- ", "first w2 <- ",
				"last cp <- first w1, first w2", "last w1 <- first w1, first w2", "last w2 <- first w1, first w2",
			},
		},
		{
			name:   "a need of a phase that runs once is met wherever it runs",
			phases: []Phase{nothing("here", Localhost), nothing("init", Seed, "here"), nothing("join", Workers, "init")},
			want:   []string{"here <- ", "init cp <- here", "join w1 <- init cp", "join w2 <- init cp"},
		},
		{
			name:   "a need that does not run on the host is met",
			phases: []Phase{nothing("join", Workers), nothing("label", EachHost, "join")},
			want:   []string{"join w1 <- ", "join w2 <- ", "label cp <- ", "label w1 <- join w1", "label w2 <- join w2"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tasks, err := graphOf(hostsOf("cp", "w1", "w2"), Workflow{Phases: test.phases})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, edges(tasks)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPhaseThatRunsOnNoHostCanBeNeeded(t *testing.T) {
	t.Parallel()
	phases := []Phase{nothing("join", Workers), nothing("ready", Seed, "join")}
	tasks, err := graphOf(hostsOf("cp"), Workflow{Phases: phases})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ready cp <- "}, edges(tasks)); diff != "" {
		t.Error(diff)
	}
}

func TestGraphRefuses(t *testing.T) {
	t.Parallel()
	later := nothing("first", EachHost)
	later.NeedsAll = []string{"last"}
	tests := []struct {
		name   string
		phases []Phase
		want   string
	}{
		{"two phases of one name", []Phase{nothing("a", EachHost), nothing("a", Workers)}, "workflow w: two phases are called a"},
		{"two phases of one name without a host", []Phase{nothing("a", Workers), nothing("a", Workers)}, "workflow w: two phases are called a"},
		{"a need that is not a phase", []Phase{nothing("a", EachHost, "b")}, "workflow w: phase a needs b, which is not an earlier phase"},
		{"a need that comes later", []Phase{later, nothing("last", EachHost)}, "workflow w: phase first needs last, which is not an earlier phase"},
		{"a need of localhost on the same host", []Phase{nothing("a", EachHost), nothing("b", Localhost, "a")}, "workflow w: phase b runs on localhost: list a in NeedsAll"},
		{"a phase that needs itself", []Phase{nothing("a", EachHost, "a")}, "workflow w: phase a needs a, which is not an earlier phase"},
		{"a need that is not a phase, of a phase without a host", []Phase{nothing("a", Workers, "b")}, "workflow w: phase a needs b, which is not an earlier phase"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := graphOf(hostsOf("cp"), Workflow{Name: "w", Phases: test.phases})
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestABulkPhaseThatFailsOnTheSeedStopsNoOtherHost(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	r, _ := runOf(hostsOf("cp", "w1", "w2"))
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{{
		Name: "images", On: EachHost, Bulk: true,
		Do: func(_ context.Context, s *Step) error {
			if s.hostName() == "cp" {
				return errors.New("no space left on device")
			}
			sent.Add(1)
			return nil
		},
	}}})
	if err == nil || sent.Load() != 2 {
		t.Errorf("%d of 2 workers have their images, error %v", sent.Load(), err)
	}
}

func graphOf(hosts *Hosts, w Workflow) ([]*task, error) {
	r, _ := runOf(hosts)
	return r.build(w, nil)
}
