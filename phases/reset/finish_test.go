package reset

import (
	"slices"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/templates"
)

func expectUnmark(fake *hosttest.Fake) {
	fake.ExpectRun("rm", "-f", configFile, stopFile, podList, "/var/lib/slipway/journal/reset")
}

// A bridge of the old cluster, with addresses of the old one, stops each pod of the new
// one.
func TestAnInterruptedResetIsFinishedButForTheJournal(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.Journal, facts.ResetMark}
	fake.InOrder()
	expectStop(fake)
	fake.ExpectRunScript("rules.sh", podList)
	fake.ExpectRunScript("sets.sh")
	fake.ExpectRunScript("network.sh", "10.244.0.0/16", podList)
	fake.ExpectRunScript("leftovers.sh", journal.Dir, "")
	expectUnmark(fake)
	fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns("arch\tx86_64\nkernel\t6\nexists\t/var/lib/slipway/journal\n")
	fixture.MustApply(Finish())
	if existing := fixture.Facts("cp-1").Existing; !slices.Equal(existing, []facts.Path{facts.Journal}) {
		t.Errorf("the facts still have %q", existing)
	}
}

// kubeadm has not deleted anything that apply does not repair.
func TestAHostThatStillBelongsToTheClusterKeepsEverything(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.Journal, facts.ResetMark, facts.KubeletConf, facts.EtcdMember, facts.CAKey}
	expectUnmark(fake)
	fixture.MustApply(Finish())
}

func TestWithoutAnInterruptedResetThereIsNothingToFinish(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fixture.MustApply(Finish())
	if calls := fake.Transcript(); calls != "" {
		t.Errorf("calls of the host: %s", calls)
	}
}

func TestAPlanFinishesNoReset(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.Journal, facts.ResetMark}
	fake.StrictFiles()
	fixture.MustPlan(Finish())
	if got := fixture.Changes(); len(got) == 0 || fake.Transcript() != "" {
		t.Errorf("changes %q, calls %q", got, fake.Transcript())
	}
}

// The next installer waits until the script has ended: see facts.Resetting.
func TestTheScriptsLockTheJournal(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	script := locked(root, []byte("flock -n "+root+" true && echo free; echo ran"))
	res, err := hosttest.Local{}.Run(t.Context(), host.Script("test.sh", script))
	if err != nil || string(res.Stdout) != "ran\n" {
		t.Errorf("%q, %v", res.Stdout, err)
	}
	if _, err := (hosttest.Local{}).Run(t.Context(), host.Script("test.sh", locked(root+"/missing", templates.Script("reset/sets.sh")))); err == nil {
		t.Error("a reset runs without a journal")
	}
}
