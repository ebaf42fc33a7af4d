//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// steps are the life of a cluster of one version of Kubernetes.
func (v *versionRun) steps() []step {
	return []step{
		v.timed("machines", "a control plane and a worker come up", v.machinesComeUp),
		v.timed("plan", "plan lists the changes and makes none", v.plan),
		v.timed("apply", "apply creates a cluster", v.apply),
		v.timed("validate", "validate passes", v.validate),
		v.timed("second apply", "a second apply changes nothing", v.changesNothing),
		v.timed("reset", "reset leaves nothing", v.reset),
	}
}

// TestVersion is run by e2e/versions.sh, once for each version of Kubernetes.
func TestVersion(t *testing.T) {
	want := os.Getenv("SLIPWAY_E2E_VERSION")
	if want == "" {
		t.Skip("SLIPWAY_E2E_VERSION is not set: run make e2e-versions, which builds a bundle for each version")
	}
	v := &versionRun{scenario: newScenario(t), want: want}
	if got := v.version(t); got != want {
		t.Fatalf("the bundle has Kubernetes %s, want %s", got, want)
	}
	v.runSteps(t, v.steps())
	v.report(t)
}

// versionRun is the test of one version.
type versionRun struct {
	*scenario
	want string
	// line has the times of the steps.
	line []string
}

// timed is a required step whose time is in the line of the version.
func (v *versionRun) timed(short, name string, do func(context.Context, *testing.T)) step {
	return step{name, func(_ *scenario, ctx context.Context, t *testing.T) {
		start := time.Now()
		do(ctx, t)
		v.line = append(v.line, fmt.Sprintf("%s %.1f s", short, time.Since(start).Seconds()))
	}, true}
}

// machinesComeUp creates the machines. The inventory of the lab names the version.
func (v *versionRun) machinesComeUp(ctx context.Context, t *testing.T) {
	overlay := filepath.Join(v.scratch, "version.yaml")
	write(t, overlay, "kubernetes: {version: "+v.want+"}\n")
	v.slipway.must(ctx, t, "lab", "up", "--provider", "container", "--name", v.lab.Name, "--workers", "1",
		"--machines-only", "--bundle", v.bundle, "--overlay", overlay)
	v.lab = v.status(ctx, t)
	if diff := cmp.Diff([]string{"cp1", "w1"}, v.lab.names()); diff != "" {
		t.Fatalf("machines (-want +got):\n%s", diff)
	}
}

func (v *versionRun) changesNothing(ctx context.Context, t *testing.T) {
	nothingChanged(t, v.lab.names(), v.slipway.must(ctx, t, v.on("apply", "-o", "json")...))
}

// report appends the line of the version to versions.txt in the artifacts.
func (v *versionRun) report(t *testing.T) {
	t.Helper()
	outcome := "passed"
	if t.Failed() {
		outcome = "FAILED"
	}
	line := fmt.Sprintf("%s %s: %s\n", v.want, outcome, strings.Join(v.line, ", "))
	t.Log(line)
	if err := os.MkdirAll(v.artifacts, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(v.artifacts, "versions.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(line)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
