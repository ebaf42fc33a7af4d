//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// secondApplyBound is the time limit of a second apply.
const secondApplyBound = 5 * time.Second

// validationBound is the time limit of a validation on a busy computer with two
// processors.
const validationBound = 90 * time.Second

func (s *scenario) plan(ctx context.Context, t *testing.T) {
	before := s.lister.list(t, s.lab)
	s.planChangesEachHost(ctx, t)
	s.unchanged(t, before)
	s.bare = before
}

// planChangesEachHost checks that the plan lists changes on each host.
func (s *scenario) planChangesEachHost(ctx context.Context, t *testing.T) {
	t.Helper()
	r := s.slipway.must(ctx, t, s.on("plan", "-o", "json")...)
	s.took("plan", r.took)
	planned := map[string]int{}
	all := events(t, r.stdout)
	for _, e := range all {
		if e.Run != "plan" {
			t.Errorf("an event of the plan has run %q", e.Run)
		}
		if e.Kind == "change" {
			planned[e.Host]++
		}
	}
	for _, host := range s.lab.names() {
		if planned[host] == 0 {
			t.Errorf("the plan lists no change on %s", host)
		}
	}
	if end := all[len(all)-1]; end.Changes == 0 || end.Error != "" {
		t.Errorf("the plan ends with %+v", end)
	}
}

func (s *scenario) apply(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, s.on("apply", "-o", "json")...)
	s.took("apply", r.took)
	for _, e := range events(t, r.stdout) {
		if e.Kind == "phase-failed" {
			t.Errorf("%s failed on %s: %s", e.Phase, e.Host, e.Error)
		}
	}
	s.nodesReady(ctx, t)
}

func (s *scenario) applyAgain(ctx context.Context, t *testing.T) {
	var took []time.Duration
	for range 3 {
		r := s.slipway.must(ctx, t, s.on("apply", "-o", "json")...)
		s.took("second apply", r.took)
		took = append(took, r.took)
		nothingChanged(t, s.lab.names(), r)
	}
	if best := min(took[0], took[1], took[2]); best > secondApplyBound {
		t.Errorf("a second apply took %v, want one within %s", took, secondApplyBound)
	}
	// Preflight reports no problem on the hosts of a cluster.
	s.clean(ctx, t)
}

// nothingChanged checks that phases ran on every host and changed nothing.
func nothingChanged(t *testing.T, hosts []string, r result) {
	t.Helper()
	unchanged := map[string]int{}
	all := events(t, r.stdout)
	for _, e := range all {
		switch e.Kind {
		case "change", "phase-changed", "phase-failed":
			t.Errorf("%s: %s on %s: %s", e.Kind, e.Phase, e.Host, e.Message)
		case "phase-unchanged":
			unchanged[e.Host]++
		}
	}
	for _, host := range hosts {
		if unchanged[host] == 0 {
			t.Errorf("no phase ran on %s", host)
		}
	}
	if end := all[len(all)-1]; end.Changes != 0 || end.Error != "" {
		t.Errorf("the run ends with %+v", end)
	}
}

func (s *scenario) validate(ctx context.Context, t *testing.T) {
	t.Helper()
	r := s.slipway.must(ctx, t, s.on("validate", "-o", "json")...)
	s.took("validate", r.took)
	var report struct {
		OK                      bool
		Passed, Failed, Skipped int
		Probes                  []probe
		Leftover                string
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if !report.OK || report.Passed == 0 || report.Failed > 0 || report.Leftover != "" {
		t.Errorf("the validation did not pass:\n%s", r.stdout)
	}
	// Only probes that need addons, network policies or an endpoint may be skipped.
	optional := append([]string{"network-policy"}, dataPath...)
	if inventory, err := os.ReadFile(s.lab.Inventory); err != nil {
		t.Error(err)
	} else if !strings.Contains(string(inventory), "endpoint:") {
		optional = append(optional, "endpoint")
	}
	for _, p := range report.Probes {
		if p.Status == "skipped" && !slices.Contains(optional, p.Name) {
			t.Errorf("%s is skipped: %s", p.Name, p.Evidence)
		}
	}
	// pod-to-pod probes every ordered pair of nodes.
	count := map[string]int{}
	for _, p := range report.Probes {
		count[p.Name]++
	}
	nodes := len(s.lab.Machines)
	for probe, want := range map[string]int{"pod-to-pod": nodes * (nodes - 1)} {
		if count[probe] != want {
			t.Errorf("%d probes %s, want %d", count[probe], probe, want)
		}
	}
	if r.took > validationBound {
		t.Errorf("it took %s, want at most %s", r.took, validationBound)
	}
	if _, err := s.kubectl(ctx, t, "get", "namespaces", "-o", "name"); err != nil {
		t.Error(err)
	}
}

// nodesReady checks that each machine is a Ready node with the version of the bundle.
func (s *scenario) nodesReady(ctx context.Context, t *testing.T) {
	t.Helper()
	nodes := s.nodes(ctx, t)
	for _, name := range s.lab.names() {
		n, found := nodes[name]
		switch {
		case !found:
			t.Errorf("%s is not a node", name)
		case n.ready != "True":
			t.Errorf("node %s: Ready is %s", name, n.ready)
		case n.version != s.version(t):
			t.Errorf("node %s has %s, the bundle %s", name, n.version, s.version(t))
		}
	}
	if len(nodes) != len(s.lab.Machines) {
		t.Errorf("%d nodes for %d machines", len(nodes), len(s.lab.Machines))
	}
	if t.Failed() {
		t.FailNow()
	}
}

// renewed returns an error unless all kubelets renewed their leases since a time.
func (s *scenario) renewed(ctx context.Context, t *testing.T, since time.Time) error {
	out, err := s.kubectl(ctx, t, "get", "leases", "-n", "kube-node-lease", "-o", "json")
	if err != nil {
		return err
	}
	var leases struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct{ RenewTime time.Time }
		}
	}
	if err := json.Unmarshal([]byte(out), &leases); err != nil {
		return err
	}
	fresh := 0
	for _, l := range leases.Items {
		if l.Spec.RenewTime.After(since) {
			fresh++
		}
	}
	if want := len(s.lab.Machines); fresh < want {
		return fmt.Errorf("%d of %d kubelets renewed their leases", fresh, want)
	}
	return nil
}
