package workflow

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"slipway.io/slipway/provision/config"

	"github.com/google/go-cmp/cmp"
)

func nothing(name string, on Place, needs ...string) Phase {
	return Phase{Name: name, On: on, Needs: needs}
}

// edges lists what each node needs, "phase host <- phase host, …".
func edges(nodes []*node) []string {
	var all []string
	for _, n := range nodes {
		var needs []string
		for _, need := range n.needs {
			needs = append(needs, strings.TrimSpace(need.phase.Name+" "+need.host()))
		}
		all = append(all, strings.TrimSpace(n.phase.Name+" "+n.host())+" <- "+strings.Join(needs, ", "))
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
			name:   "a need of everywhere is met on every host",
			phases: []Phase{nothing("first", Workers), everywhere},
			want: []string{
				"first w1 <- ", "first w2 <- ",
				"last cp <- first w1, first w2", "last w1 <- first w1, first w2", "last w2 <- first w1, first w2",
			},
		},
		{
			name:   "what runs once is needed from wherever it runs",
			phases: []Phase{nothing("here", Localhost), nothing("init", FirstControlPlane, "here"), nothing("join", Workers, "init")},
			want:   []string{"here <- ", "init cp <- here", "join w1 <- init cp", "join w2 <- init cp"},
		},
		{
			name:   "what runs on workers only holds up no control plane",
			phases: []Phase{nothing("join", Workers), nothing("label", EachHost, "join")},
			want:   []string{"join w1 <- ", "join w2 <- ", "label cp <- ", "label w1 <- join w1", "label w2 <- join w2"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			nodes, err := build(Workflow{Phases: test.phases}, &config.Cluster{}, hostsOf("cp", "w1", "w2"), Selection{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, edges(nodes)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPhaseForWhichThereIsNoHostIsKnown(t *testing.T) {
	t.Parallel()
	phases := []Phase{nothing("join", Workers), nothing("ready", FirstControlPlane, "join")}
	nodes, err := build(Workflow{Phases: phases}, &config.Cluster{}, hostsOf("cp"), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ready cp <- "}, edges(nodes)); diff != "" {
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
		{"a need that is no phase", []Phase{nothing("a", EachHost, "b")}, "workflow w: phase a needs b, which does not stand before it"},
		{"a need that comes later", []Phase{later, nothing("last", EachHost)}, "workflow w: phase first needs last, which does not stand before it"},
		{"a need of the installer on its own host", []Phase{nothing("a", EachHost), nothing("b", Localhost, "a")}, "workflow w: phase b runs on no host, it can need a only everywhere"},
		{"a phase that needs itself", []Phase{nothing("a", EachHost, "a")}, "workflow w: phase a needs a, which does not stand before it"},
		{"a need that is no phase, of a phase without a host", []Phase{nothing("a", Workers, "b")}, "workflow w: phase a needs b, which does not stand before it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := build(Workflow{Name: "w", Phases: test.phases}, &config.Cluster{}, hostsOf("cp"), Selection{})
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestBulkThatFailsOnTheFirstControlPlaneStopsNoOtherHost(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	r, _ := runOf(hostsOf("cp", "w1", "w2"))
	err := r.Do(t.Context(), Workflow{Name: "test", Phases: []Phase{{
		Name: "images", On: EachHost, Bulk: true,
		Do: func(_ context.Context, s *Step) error {
			if s.hostName() == "cp" {
				return errors.New("no room")
			}
			sent.Add(1)
			return nil
		},
	}}})
	if err == nil || sent.Load() != 2 {
		t.Errorf("%d of 2 workers were served, error %v", sent.Load(), err)
	}
}
