package reset

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

// entries is a journal with what apply does to a host, in its order.
var entries = []journal.Entry{
	{Kind: "file", Path: "/etc/fstab", Existed: true},
	{Kind: "run", Run: "swapoff /dev/sda2", Undo: []string{"swapon", "/dev/sda2"}},
	{Kind: "run", Run: "systemctl daemon-reload"},
	{Kind: "dir", Path: "/etc/containerd", Made: "/etc/containerd"},
	{Kind: "file", Path: "/etc/containerd/config.toml"},
	{Kind: "run", Run: "start.sh containerd.service", Undo: []string{"systemctl", "disable", "--now", "containerd.service"}},
	{Kind: "file", Path: "/usr/local/bin/kubelet"},
}

// used is a fixture whose host has that journal.
func used(t *testing.T) (*workflowtest.Fixture, *hosttest.Fake) {
	t.Helper()
	fixture := workflowtest.New(t, one)
	fixture.Facts("cp-1").Existing = []facts.Path{journal.Dir}
	var lines strings.Builder
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	fake := fixture.Host("cp-1")
	fake.Put(journal.Dir+"/entries.jsonl", lines.String())
	return fixture, fake
}

// steps is what undo does, in its order. The clock of synctest stands still.
func steps(fake *hosttest.Fake) []*hosttest.Expectation {
	const dir = journal.Dir
	return []*hosttest.Expectation{
		fake.ExpectRunScript("undo.sh", dir, "file", "false", "/usr/local/bin/kubelet", ""),
		fake.ExpectRun("systemctl", "disable", "--now", "containerd.service"),
		fake.ExpectRunScript("undo.sh", dir,
			"file", "false", "/etc/containerd/config.toml", "", "dir", "false", "/etc/containerd", "/etc/containerd"),
		fake.ExpectRun("swapon", "/dev/sda2"),
		fake.ExpectRunScript("undo.sh", dir, "file", "true", "/etc/fstab", ""),
		fake.ExpectRunScript("archive.sh", dir, dir+"-20000101T000000Z"),
	}
}

func TestTheLastChangeIsUndoneFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture, fake := used(t)
		fake.InOrder()
		steps(fake)
		fixture.MustApply(Undo())
	})
}

func TestACommandThatCannotBeUndoneIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture, fake := used(t)
		steps(fake)[1].Fails(1, "Unit containerd.service does not exist.")
		fixture.MustApply(Undo())
		if got := fixture.Notes(); len(got) != 1 || !strings.Contains(got[0], "does not exist") {
			t.Errorf("notes %v", got)
		}
	})
}

// The journal is closed only when all of it was taken back.
func TestALostConnectionKeepsTheJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture, fake := used(t)
		for i, step := range steps(fake) {
			if i == 3 {
				step.Error(host.ErrUnreachable)
			}
			if i > 3 {
				step.AnyTimes()
			}
		}
		if err := fixture.Apply(Undo()); !errors.Is(err, host.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		if asked := fake.Transcript(); strings.Contains(asked, "archive.sh") || strings.Contains(asked, "/etc/fstab") {
			t.Errorf("it continues: %s", asked)
		}
	})
}

func TestAPlanOfUndoChangesNothing(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fake.StrictFiles()
	fixture.MustPlan(Undo())
	if got := fixture.Changes(); len(got) != 6 || got[3] != "run swapon /dev/sda2" {
		t.Errorf("changes %q", got)
	}
}

func TestStopPassesKubeadmItsConfiguration(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fake.ExpectRunScript("stop.sh", configFile).Returns("[reset] Stopping the kubelet service\n")
	fixture.MustApply(Stop())
	if file, _ := fake.File(configFile); !strings.Contains(string(file.Content), "kind: ResetConfiguration") {
		t.Errorf("%s is %q", configFile, file.Content)
	}
}

func TestTheNetworkIsRemoved(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fake.ExpectRunScript("network.sh")
	fixture.MustApply(Network())
}

func TestAHostWithoutAJournalIsNotChanged(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Facts("cp-1").Existing = []facts.Path{"/etc/kubernetes/admin.conf"}
	for _, phase := range []workflow.Phase{Stop(), Network(), Undo()} {
		fixture.MustApply(phase)
	}
	if asked := fixture.Host("cp-1").Transcript(); asked != "" {
		t.Errorf("the host received: %s", asked)
	}
}
