package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeProc is a proc file system with one process, 4711.
func fakeProc(t *testing.T, boot, comm string, state byte, start uint64, argv ...string) procfs {
	t.Helper()
	dir := t.TempDir()
	stat := fmt.Sprintf("4711 (%s) %c 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1000 2 18446744073709551615", comm, state, start)
	for path, content := range map[string]string{
		"4711/stat":                   stat,
		"4711/cmdline":                strings.Join(argv, "\x00") + "\x00",
		"sys/kernel/random/boot_id":   boot + "\n",
		"self/cmdline":                "not-a-number\x00",
		"4712/a-process-without-argv": "",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return procfs(dir)
}

func TestAliveRecognizesAReusedPID(t *testing.T) {
	t.Parallel()
	recorded := &process{PID: 4711, Start: 100, BootID: "boot-1"}
	for _, tc := range []struct {
		name string
		proc procfs
		rec  *process
		want bool
	}{
		{"it runs", fakeProc(t, "boot-1", "sh", 'S', 100), recorded, true},
		{"its name contains parentheses", fakeProc(t, "boot-1", "a) R (b", 'S', 100), recorded, true},
		{"another process has its PID", fakeProc(t, "boot-1", "sh", 'S', 101), recorded, false},
		{"localhost has rebooted, and another process has its PID and start time", fakeProc(t, "boot-2", "sh", 'S', 100), recorded, false},
		{"it is a zombie", fakeProc(t, "boot-1", "sh", 'Z', 100), recorded, false},
		{"no process has its PID", fakeProc(t, "boot-1", "sh", 'S', 100), &process{PID: 4713, Start: 100, BootID: "boot-1"}, false},
		{"nothing was recorded", fakeProc(t, "boot-1", "sh", 'S', 100), nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.proc.alive(tc.rec); got != tc.want {
				t.Errorf("alive = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestIdentifyReadsTheRealProc(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no proc file system")
	}
	me, err := proc.identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if me.Start == 0 || me.BootID == "" || !proc.alive(me) {
		t.Errorf("this process is not alive: %+v", me)
	}
	me.Start++
	if proc.alive(me) {
		t.Error("a process with another start time counts as this one")
	}
}

func TestRunnersAreFoundByTheirTree(t *testing.T) {
	t.Parallel()
	const tree = "/labs/x/machines/cp1/tree"
	for _, tc := range []struct {
		name string
		argv []string
		want []int
	}{
		{"systemd-nspawn on the tree", []string{"/usr/bin/systemd-nspawn", "--boot", "--directory=" + tree}, []int{4711}},
		{"the supervisor", []string{"sh", "supervise.sh", "", "--directory=" + tree}, []int{4711}},
		{"systemd-nspawn on another tree", []string{"systemd-nspawn", "--directory=" + tree + "2"}, nil},
		{"another program with that argument", []string{"grep", "--directory=" + tree}, nil},
		{"a kernel thread", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := fakeProc(t, "b", "x", 'S', 1, tc.argv...).runners(tree)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheLeaderIsTheInitOfItsMachine(t *testing.T) {
	t.Parallel()
	const tree = "/labs/x/machines/cp1/tree"
	for _, tc := range []struct {
		name, status string
		want         int
	}{
		{"the child of systemd-nspawn in a namespace", "Name:\tsystemd\nPPid:\t4711\nNSpid:\t4720\t1\n", 4720},
		{"the child of systemd-nspawn on a computer that is a container", "PPid:\t4711\nNSpid:\t4720\t99\t1\n", 4720},
		{"another child of systemd-nspawn", "PPid:\t4711\nNSpid:\t4720\n", 0},
		{"the init of a pod on the machine", "PPid:\t4730\nNSpid:\t4720\t55\t1\n", 0},
		{"the init of another machine", "PPid:\t1\nNSpid:\t4720\t1\n", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := fakeProc(t, "b", "systemd-nspawn", 'S', 1, "systemd-nspawn", "--directory="+tree)
			if err := os.Mkdir(filepath.Join(string(p), "4720"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p.path(4720, "status"), []byte(tc.status), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := p.leader(tree); got != tc.want {
				t.Errorf("leader %d, want %d", got, tc.want)
			}
		})
	}
}

func TestMembersAreFoundByTheirCgroup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, cgroup string
		want         []int
	}{
		{"below the lab's own cgroup", "9:name=systemd:/job/slw1-w1/payload/init.scope\n0::/\n", []int{4711}},
		{"in a scope of systemd-machined", `0::/machine.slice/machine-slw1\x2dw1.scope/payload`, []int{4711}},
		{"in the cgroup of a machine whose name starts alike", "0::/job/slw1-w10/payload\n", nil},
		{"in another cgroup", "0::/user.slice\n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := fakeProc(t, "b", "x", 'S', 1)
			if err := os.WriteFile(p.path(4711, "cgroup"), []byte(tc.cgroup), 0o644); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, p.members("slw1-w1")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSysctlsAreRestoredWhereTheyDiffer(t *testing.T) {
	t.Parallel()
	p := fakeProc(t, "b", "x", 'S', 1)
	path := filepath.Join(string(p), "sys/vm/overcommit_memory")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(value string) {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("0\n")
	kept := p.sysctls(sharedSysctls())
	if diff := cmp.Diff(map[string]string{"vm/overcommit_memory": "0\n"}, kept); diff != "" {
		t.Fatal(diff)
	}
	write("1\n")
	changed, err := p.setSysctls(kept)
	if err != nil || !slices.Equal(changed, []string{"vm/overcommit_memory"}) {
		t.Errorf("restored %v, %v", changed, err)
	}
	if changed, err = p.setSysctls(kept); err != nil || len(changed) > 0 {
		t.Errorf("restored again: %v, %v", changed, err)
	}
}
