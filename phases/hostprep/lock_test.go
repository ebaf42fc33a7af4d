package hostprep

import (
	"slices"
	"testing"

	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestLockDeletesTheTemporaryFilesOfKilledRuns(t *testing.T) {
	t.Parallel()
	const inventory = "hosts:\n- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n- {name: w-1, address: 192.0.2.21}\n- {name: w-2, address: 192.0.2.22}\n"
	for name, plan := range map[string]bool{"apply": false, "plan": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, inventory)
			fixture.Selection = workflow.Selection{Hosts: []string{"cp-1", "w-1"}}
			for _, host := range []string{"w-1", "w-2"} { // the run does not work on w-2
				fixture.Facts(host).Leftovers = []string{"/etc/.slipway-abc", "/usr/local/bin/.slipway-12.X"}
			}
			run := fixture.MustPlan
			if !plan {
				run = fixture.MustApply
				fixture.Host("w-1").ExpectRun("rm", "-rf", "--one-file-system", "--", "/etc/.slipway-abc", "/usr/local/bin/.slipway-12.X")
			}
			run(Lock(func(*workflow.Step) bool { return false }))
			want := []string{"run rm -rf --one-file-system -- /etc/.slipway-abc /usr/local/bin/.slipway-12.X"}
			if got := fixture.Changes(); !slices.Equal(got, want) {
				t.Errorf("changes %q", got)
			}
		})
	}
}
