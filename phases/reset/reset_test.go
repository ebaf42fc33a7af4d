package reset

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

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
	{Kind: "file", Path: "/etc/containerd/config.toml", Existed: true},
	{Kind: "content", Path: "/etc/containerd/config.toml", Sum: "aa"},
	{Kind: "later", Path: "/etc/a-kind-of-another-version"},
	{Kind: "run", Run: "start.sh containerd.service", Undo: []string{"systemctl", "disable", "--now", "containerd.service"}},
	{Kind: "file", Path: "/usr/local/bin/kubelet"},
}

// used is a fixture whose host has that journal.
func used(t *testing.T) (*workflowtest.Fixture, *hosttest.Fake) {
	t.Helper()
	return journaled(t, entries)
}

// journaled is a fixture whose host has a journal.
func journaled(t *testing.T, entries []journal.Entry) (*workflowtest.Fixture, *hosttest.Fake) {
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
		fake.ExpectRunScript("leftovers.sh", dir, ""),
		fake.ExpectRunScript("undo.sh", dir, "file", "false", "/usr/local/bin/kubelet", ""),
		fake.ExpectRun("systemctl", "disable", "--now", "containerd.service"),
		fake.ExpectRunScript("undo.sh", dir,
			"file", "true", "/etc/containerd/config.toml", "", "dir", "false", "/etc/containerd", "/etc/containerd"),
		fake.ExpectRun("swapon", "/dev/sda2"),
		fake.ExpectRunScript("lines.sh", dir, "/etc/fstab"),
		fake.ExpectRunScript("sysctls.sh", dir),
		fake.ExpectRunScript("services.sh", dir),
		fake.ExpectRunScript("archive.sh", dir, dir+"-20000101T000000Z", configFile, stopFile, podList, "/run/slipway/services"),
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
		steps(fake)[2].Fails(1, "Unit containerd.service does not exist.")
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
			if i == 4 {
				step.Error(host.ErrUnreachable)
			}
			if i > 4 {
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
	if got := fixture.Changes(); len(got) != 9 || got[4] != "run swapon /dev/sda2" {
		t.Errorf("changes %q", got)
	}
}

// Debian enables and starts services with their packages. They stop before their files
// are deleted.
func TestServicesOfPackagesStopBeforeTheirFilesAreUndone(t *testing.T) {
	t.Parallel()
	installed := func(packages string) journal.Entry { return journal.Entry{Kind: "run", Run: "packages.sh " + packages} }
	haproxy := []journal.Entry{{Kind: "file", Path: "/etc/haproxy/haproxy.cfg", Existed: true}, {Kind: "run", Run: "start haproxy.service: it is stopped"}}
	keepalived := journal.Entry{Kind: "file", Path: "/etc/keepalived/keepalived.conf"}
	for name, test := range map[string]struct {
		balancer string
		entries  []journal.Entry
		address  string
		stops    []string
	}{
		"with keepalived":                         {"keepalived", slices.Concat([]journal.Entry{installed("haproxy keepalived")}, haproxy, []journal.Entry{keepalived}), "192.0.2.100", []string{"keepalived.service", "haproxy.service"}},
		"with packages that were there before":    {"keepalived", append(haproxy, keepalived), "192.0.2.100", []string{"keepalived.service", "haproxy.service"}},
		"with local":                              {"local", append([]journal.Entry{installed("haproxy")}, haproxy...), "", []string{"haproxy.service"}},
		"killed after the packages":               {"keepalived", []journal.Entry{installed("haproxy keepalived")}, "192.0.2.100", []string{"keepalived.service", "haproxy.service"}},
		"an inventory that has changed since":     {"external", []journal.Entry{keepalived}, "", []string{"keepalived.service"}},
		"a host whose haproxy is not slipway's":   {"external", []journal.Entry{{Kind: "file", Path: "/etc/containerd/config.toml"}}, "", nil},
		"another package whose name has its name": {"external", []journal.Entry{installed("haproxy-exporter")}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := journaled(t, test.entries)
			fixture.Cluster.ControlPlane.Endpoint = "192.0.2.100"
			fixture.Cluster.ControlPlane.LoadBalancer.Type = test.balancer
			fake.StrictFiles()
			fixture.MustPlan(Undo())
			got := fixture.Changes()
			if len(test.stops) > 0 {
				want := strings.Join(append([]string{"run stop-services.sh", journal.Dir, quoted(test.address)}, test.stops...), " ")
				if got[0] != want {
					t.Errorf("first %q, want %q", got[0], want)
				}
			} else if strings.Contains(strings.Join(got, "\n"), "stop-services.sh") {
				t.Errorf("changes %q", got)
			}
			// Their files are restored then.
			want := strings.Join(append([]string{"run services.sh", journal.Dir}, test.stops...), " ")
			if got[len(got)-2] != want {
				t.Errorf("at last %q, want %q", got, want)
			}
		})
	}
}

// quoted is an argument in a message.
func quoted(argument string) string {
	if argument == "" {
		return "''"
	}
	return argument
}

// The files stay while keepalived runs, and may have the address.
func TestAServiceThatDoesNotStopEndsTheReset(t *testing.T) {
	t.Parallel()
	fixture, fake := journaled(t, []journal.Entry{{Kind: "file", Path: "/etc/keepalived/keepalived.conf"}})
	fake.ExpectRunScript("stop-services.sh", journal.Dir, "", "keepalived.service").Fails(1, "Job for keepalived.service canceled.")
	if err := fixture.Apply(Undo()); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v", err)
	}
}

// expectStop expects what Stop does, in its order: the mark is there before anything is
// deleted.
func expectStop(fake *hosttest.Fake) {
	fake.ExpectWrite(configFile)
	fake.ExpectWrite(stopFile)
	fake.ExpectRunScript("units.sh", "/var/lib/slipway/units")
	fake.ExpectRunScript("pods.sh", podList, bundles)
	fake.ExpectWrite(string(facts.ResetMark))
	fake.ExpectUnitTimeout("kubeadm-reset", 300, "sh", stopFile, configFile)
	fake.ExpectRunScript("kill.sh", "/sys/fs/cgroup")
	fake.ExpectRunScript("unmount.sh", "/proc/self/mountinfo")
}

func TestStopPassesKubeadmItsConfiguration(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fake.InOrder()
	expectStop(fake)
	fixture.MustApply(Stop())
	if file, _ := fake.File(configFile); !strings.Contains(string(file.Content), "kind: ResetConfiguration") {
		t.Errorf("%s is %q", configFile, file.Content)
	}
}

func TestTheNetworkIsRemoved(t *testing.T) {
	t.Parallel()
	fixture, fake := used(t)
	fake.InOrder()
	fake.ExpectRunScript("rules.sh", podList)
	fake.ExpectRunScript("sets.sh").Returns("could not delete the ipset KUBE-X\n")
	fake.ExpectRunScript("network.sh", "10.244.0.0/16", podList)
	fixture.MustApply(Network())
	if diff := cmp.Diff([]string{"could not delete the ipset KUBE-X"}, fixture.Notes()); diff != "" {
		t.Error(diff)
	}
}

// Containers that no pod uses keep their images and their file systems.
func TestTheStateOfContainerdStaysWhereOtherContainersRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, found string
		code        int
		deleted     bool
	}{
		{"no containers", "", 0, true},
		{"containerd never ran a container", "", 1, true},
		{"a container of another namespace", tasks + "/default/web\n", 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := journaled(t, []journal.Entry{{Kind: "dir", Path: containerdState}})
			find := fake.ExpectQuery("find", tasks, "-mindepth", "2", "-maxdepth", "2", "-not", "-path", bundles+"/*")
			if test.code != 0 {
				find.Fails(test.code, "No such file or directory")
			} else {
				find.Returns(test.found)
			}
			fixture.MustPlan(Undo())
			deleted := slices.ContainsFunc(fixture.Changes(), func(c string) bool { return strings.Contains(c, "tree false "+containerdState) })
			if notes := fixture.Notes(); deleted != test.deleted || !deleted && !strings.Contains(strings.Join(notes, ""), "default/web") {
				t.Errorf("deleted %v, notes %q", deleted, notes)
			}
		})
	}
}

func TestAHostWithoutAJournalIsNotChanged(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Facts("cp-1").Existing = []facts.Path{"/etc/kubernetes/admin.conf"}
	for _, phase := range []workflow.Phase{Member(AllHosts), Stop(), Node(), Network(), Undo()} {
		fixture.MustApply(phase)
	}
	if asked := fixture.Host("cp-1").Transcript(); asked != "" {
		t.Errorf("the host received: %s", asked)
	}
}
