package snapshot_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/snapshot"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const (
	one  = "hosts:\n  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n"
	file = "/var/lib/slipway/snapshots/before.db"
	sum  = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

const output = "image registry.k8s.io/etcd:3.6.8-0\nsize 4128\nsha256 " + sum +
	"\nstatus {\"hash\":77,\"revision\":42,\"totalKey\":12,\"totalSize\":4096,\"version\":\"3.6.0\"}\n"

// take is a phase that takes a snapshot.
func take(into *snapshot.Snapshot) workflow.Phase {
	return workflow.Phase{Name: "take", On: workflow.Seed, Do: func(ctx context.Context, s *workflow.Step) (err error) {
		*into, err = snapshot.Take(ctx, s, file)
		return err
	}}
}

func TestTakeReturnsWhatTheScriptVerified(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Host("cp-1").ExpectRunScript("etcd-snapshot.sh", file).Returns(output)
	var got snapshot.Snapshot
	fixture.MustApply(take(&got))
	want := snapshot.Snapshot{
		Path: file, Image: "registry.k8s.io/etcd:3.6.8-0", Size: 4128, SHA256: sum, Hash: 77, Revision: 42, Keys: 12, StorageVersion: "3.6.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTakeRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ out, want string }{
		"a snapshot without keys":     {strings.Replace(output, `"totalKey":12`, `"totalKey":0`, 1), "it is empty"},
		"a snapshot without revision": {strings.Replace(output, `"revision":42`, `"revision":0`, 1), "it is empty"},
		"a snapshot without checksum": {strings.Replace(output, sum, "", 1), "no size and checksum"},
		"an unknown status":           {strings.Replace(output, `{"hash"`, `"hash"`, 1), "status"},
		"no output":                   {"", "no size and checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, one)
			fixture.Host("cp-1").ExpectRunScript("etcd-snapshot.sh", file).Returns(test.out)
			var got snapshot.Snapshot
			if err := fixture.Apply(take(&got)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAFailedSnapshotSaysWhereToLook(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Host("cp-1").ExpectRunScript("etcd-snapshot.sh", file).Fails(1, "context deadline exceeded")
	var got snapshot.Snapshot
	err := fixture.Apply(take(&got))
	if err == nil || !strings.Contains(err.Error(), "context deadline exceeded") || !strings.Contains(workflow.Hint(err), "slipway status") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestAPlanListsTheSnapshot(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	var got snapshot.Snapshot
	fixture.MustPlan(take(&got))
	if want := []string{"run etcd-snapshot.sh " + file}; !cmp.Equal(want, fixture.Changes()) || got.Path != file {
		t.Errorf("changes %v, %+v", fixture.Changes(), got)
	}
}
