package container

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mountinfo = `22 28 0:21 / /proc rw,relatime shared:5 - proc proc rw
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
31 28 0:27 / /labs/x/machines/cp1/tree/run rw - tmpfs tmpfs rw
32 31 0:28 / /labs/x/machines/cp1/tree/run/a\040b rw master:3 - tmpfs tmpfs rw
33 28 0:29 / /labs/x/machines/cp10/tree/run rw - tmpfs tmpfs rw
34 28 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 28 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
36 28 0:32 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
37 28 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
a line that is none
`

func TestBelowListsOnlyWhatIsUnderTheTree(t *testing.T) {
	t.Parallel()
	mounts := parseMounts(mountinfo)
	if len(mounts) != 9 {
		t.Fatalf("%d mounts, want 9", len(mounts))
	}
	for _, tc := range []struct {
		name, dir string
		want      []string
	}{
		{
			"the last mounted first, blanks unescaped, not the machine whose name starts alike",
			"/labs/x/machines/cp1",
			[]string{"/labs/x/machines/cp1/tree/run/a b", "/labs/x/machines/cp1/tree/run"},
		},
		{"the mount point itself counts", "/labs/x/machines/cp10/tree/run", []string{"/labs/x/machines/cp10/tree/run"}},
		{"nothing is mounted there", "/labs/x/machines/w1", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, below(mounts, tc.dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHierarchiesAreThoseOfThisProcess(t *testing.T) {
	t.Parallel()
	const self = `4:memory:/docker/1/job
3:name=systemd:/
2:cpu,cpuacct:/a
1:pids:/not-mounted
0::/b
`
	got := hierarchies(parseMounts(mountinfo), self)
	want := []hierarchy{
		{parent: "/sys/fs/cgroup/memory/job"},
		{parent: "/sys/fs/cgroup/systemd"},
		{parent: "/sys/fs/cgroup/cpu,cpuacct/a"},
		{parent: "/sys/fs/cgroup/unified/b", v2: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(hierarchy{})); diff != "" {
		t.Error(diff)
	}
}

func TestCgroupsAreDeletedFromTheLeaves(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "machine")
	if err := os.MkdirAll(filepath.Join(dir, "kubepods", "pod1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeCgroup(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the cgroup stays")
	}
	if err := removeCgroup(dir); err != nil {
		t.Errorf("a cgroup that does not exist: %v", err)
	}
}
