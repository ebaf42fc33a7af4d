//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// vagrantSteps is the life cycle of a cluster on virtual machines, whose own kernels
// have swap, modules, cgroup v2 and reboots. -short leaves out the cluster.
func vagrantSteps() []step {
	machines := []step{
		{"a computer without virtualization is refused", (*scenario).refusedComputer, false},
		{"virtual machines come up bare", (*scenario).virtualMachines, true},
		{"preflight and plan leave them bare", (*scenario).leftBare, false},
	}
	snapshot := step{"a snapshot is restored", (*scenario).snapshots, false}
	down := step{"lab down leaves nothing", (*scenario).vmsDown, false}
	cluster := []step{
		{"lab up creates a cluster", (*scenario).clusterOnVMs, true},
		{"machine settings are persistent", (*scenario).prepared, false},
		{"the prerequisites of Longhorn work", (*scenario).prerequisites, false},
		{"the cluster survives vagrant reload", (*scenario).reload, false},
		{"a second lab up changes nothing", (*scenario).upAgain, false},
		snapshot,
		{"the cluster of a restored snapshot is valid", (*scenario).validateRestored, false},
		down,
	}
	if testing.Short() {
		return append(machines, snapshot, down)
	}
	return append(machines, cluster...)
}

// TestVagrant is run by e2e/vagrant/run.
func TestVagrant(t *testing.T) {
	s := newScenario(t)
	if os.Getenv("SLIPWAY_E2E_BOX") == "" {
		t.Fatal("SLIPWAY_E2E_BOX is not set: run make e2e-vagrant, which creates a box")
	}
	// With -run, some of the steps can use a lab that was kept.
	if s.slipway.run(t.Context(), t, "lab", "status", "--name", s.lab.Name).code == 0 {
		s.lab = s.status(t.Context(), t)
	}
	s.runSteps(t, vagrantSteps())
}

// labUp returns the arguments of lab up for a small lab with emulated processors.
func (s *scenario) labUp(more ...string) []string {
	return append([]string{
		"lab", "up", "--name", s.lab.Name, "--provider", "vagrant", "--hypervisor", "libvirt", "--box", os.Getenv("SLIPWAY_E2E_BOX"),
		"--workers", "1", "--memory", "3072", "--names", "classic", "--bundle", s.bundle,
		// The machines share the processors that emulate theirs.
		"--parallel", "1", "--timeout", "30m", "--overlay", "testdata/emulated.yaml",
	}, more...)
}

// refusedComputer checks that lab up creates nothing without hardware virtualization.
func (s *scenario) refusedComputer(ctx context.Context, t *testing.T) {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	if flags := strings.Fields(string(cpu)); slices.Contains(flags, "vmx") || slices.Contains(flags, "svm") {
		t.Skip("this computer has hardware virtualization")
	}
	r := s.slipway.run(ctx, t, s.labUp()...)
	if r.code != 5 || !strings.Contains(r.stderr, "virtualization") || !strings.Contains(r.stderr, "neither vmx nor svm") {
		t.Errorf("exit code %d, want 5 for virtualization\n%s", r.code, r)
	}
	if r := s.slipway.run(ctx, t, "lab", "status", "--name", s.lab.Name); r.code == 0 {
		t.Errorf("a lab was created:\n%s", r)
	}
}

func (s *scenario) virtualMachines(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, s.labUp("--machines-only", "--skip-checks", "virtualization")...)
	s.took("lab up --machines-only", r.took)
	s.lab = s.status(ctx, t)
	if got := strings.Join(s.lab.names(), " "); got != "kmaster kworker1" {
		t.Fatalf("machines %s", got)
	}
	for _, m := range s.lab.Machines {
		if m.State != "running" {
			t.Errorf("%s is %s", m.Name, m.State)
		}
		s.wantOutput(ctx, t, m.Name, map[string]string{"hostname": m.Name})
	}
	s.areBare(ctx, t)
	inventory, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"address: 172.16.16.100\n", "address: 172.16.16.101\n"} {
		if !strings.Contains(string(inventory), want) {
			t.Errorf("the inventory lacks %s:\n%s", want, inventory)
		}
	}
	for _, concession := range []string{"failCgroupV1", "cgroupfs", "restrict_oom_score_adj", "evictionHard", "conntrack", "192.168.121.", "AcceptNew"} {
		if strings.Contains(string(inventory), concession) {
			t.Errorf("the inventory must not have %s:\n%s", concession, inventory)
		}
	}
	// Emulated machines are slow, so they may fail the checks of latency only.
	if text := string(inventory); strings.Count(text, "check: ") != 2 || !strings.Contains(text, "check: disk-latency\n") || !strings.Contains(text, "check: latency\n") {
		t.Errorf("the inventory ignores other checks than disk-latency and latency:\n%s", text)
	}
	second := s.slipway.must(ctx, t, s.labUp("--machines-only")...)
	s.took("lab up --machines-only again", second.took)
	if second.stderr != "" {
		t.Errorf("a second lab up changed something:\n%s", second)
	}
}

// areBare checks that nothing has been installed or configured on the machines.
func (s *scenario) areBare(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, m := range s.lab.names() {
		s.wantOutput(ctx, t, m, map[string]string{
			"tail -n +2 /proc/swaps | wc -l":                                  "1",
			"grep -c swap /etc/fstab":                                         "1",
			"stat -f -c %T /sys/fs/cgroup":                                    "cgroup2fs",
			"command -v containerd kubelet || echo none":                      "none",
			"cat /sys/module/br_netfilter/initstate 2>/dev/null || echo none": "none",
		})
	}
}

// leftBare checks that preflight and plan change nothing.
func (s *scenario) leftBare(ctx context.Context, t *testing.T) {
	// Clocks without time synchronization are a warning.
	r := s.slipway.run(ctx, t, s.on("preflight")...)
	s.took("preflight", r.took)
	if r.code != 0 && r.code != 11 {
		t.Errorf("%s", r)
	}
	s.planChangesEachHost(ctx, t)
	s.areBare(ctx, t)
}

// wantOutput runs commands on a machine as root, and compares their output. It ignores
// exit codes, because grep fails if it matches no line.
func (s *scenario) wantOutput(ctx context.Context, t *testing.T, machine string, wanted map[string]string) {
	t.Helper()
	commands := slices.Sorted(maps.Keys(wanted))
	var script strings.Builder
	for _, command := range commands {
		fmt.Fprintf(&script, "( %s ) || :\nprintf '\\0'\n", command)
	}
	printed := strings.Split(s.mustSSH(ctx, t, machine, script.String()), "\x00")
	if len(printed) != len(commands)+1 {
		t.Fatalf("%s: %d commands gave %d outputs: %q", machine, len(commands), len(printed)-1, printed)
	}
	for i, command := range commands {
		if got := strings.TrimSpace(printed[i]); got != wanted[command] {
			t.Errorf("%s: %s prints %q, want %q", machine, command, got, wanted[command])
		}
	}
}

// kubeadmPatches writes the patches that emulated.yaml names to the first machine.
func (s *scenario) kubeadmPatches(ctx context.Context, t *testing.T) {
	t.Helper()
	patches, err := filepath.Glob("testdata/patches/*.yaml")
	if err != nil || len(patches) == 0 {
		t.Fatalf("no patches: %v", err)
	}
	var script strings.Builder
	script.WriteString("mkdir -p /srv/patches\n")
	for _, path := range patches {
		patch, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&script, "cat >/srv/patches/%s <<'END'\n%sEND\n", filepath.Base(path), patch)
	}
	s.mustSSH(ctx, t, "kmaster", script.String())
}

func (s *scenario) clusterOnVMs(ctx context.Context, t *testing.T) {
	s.kubeadmPatches(ctx, t)
	r := s.slipway.must(ctx, t, s.labUp()...)
	s.took("lab up: apply, validate, kubeconfig", r.took)
	if !strings.Contains(r.stderr, "kubectl --context "+s.lab.Name+" get nodes") {
		t.Errorf("stderr does not name the next command\n%s", r)
	}
	if merged, err := os.ReadFile(filepath.Join(s.scratch, "kubeconfig")); err != nil || !strings.Contains(string(merged), "https://172.16.16.100:6443") {
		t.Errorf("the kubeconfig lacks the cluster: %v\n%s", err, merged)
	}
	s.becomeReady(ctx, t)
}

// prepared checks the settings that must survive a reboot.
func (s *scenario) prepared(ctx context.Context, t *testing.T) {
	for _, m := range s.lab.names() {
		s.wantOutput(ctx, t, m, map[string]string{
			"tail -n +2 /proc/swaps | wc -l":                                              "0",
			"grep -v '^#' /etc/fstab | grep -c swap":                                      "0",
			"systemctl list-units --plain --no-legend --type swap --state active | wc -l": "0",
			"cat /sys/module/overlay/initstate /sys/module/br_netfilter/initstate":        "live\nlive",
			"cat /etc/modules-load.d/*slipway* | grep -cx 'overlay\\|br_netfilter'":       "2",
			"sysctl -n net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables":            "1\n1",
			"cat /etc/sysctl.d/*slipway* | grep -c 'net.ipv4.ip_forward *= *1'":           "1",
			"stat -f -c %T /sys/fs/cgroup":                                                "cgroup2fs",
			"grep cgroupDriver /var/lib/kubelet/config.yaml":                              "cgroupDriver: systemd",
			"grep -c 'failCgroupV1: false\\|evictionHard' /var/lib/kubelet/config.yaml":   "0",
			"grep -c 'SystemdCgroup = true' /etc/containerd/config.toml":                  "1",
			"ls -d /sys/fs/cgroup/kubepods.slice":                                         "/sys/fs/cgroup/kubepods.slice",
			"grep -c '^127.0.2.1' /etc/hosts":                                             "1", // Vagrant's own line stays; nothing uses it
		})
	}
}

// reload reboots the machines with vagrant reload.
func (s *scenario) reload(ctx context.Context, t *testing.T) {
	boots := map[string]string{}
	for _, m := range s.lab.names() {
		boots[m] = s.mustSSH(ctx, t, m, "cat /proc/sys/kernel/random/boot_id")
	}
	start := time.Now()
	if out, err := runVagrant(ctx, s.lab.dir(), nil, "reload"); err != nil {
		t.Fatal(err, out)
	}
	s.took("vagrant reload", time.Since(start))
	for _, m := range s.lab.names() {
		if s.mustSSH(ctx, t, m, "cat /proc/sys/kernel/random/boot_id") == boots[m] {
			t.Errorf("%s did not reboot", m)
		}
	}
	start = time.Now()
	s.becomeReady(ctx, t)
	s.took("nodes ready after the reload", time.Since(start))
	s.prepared(ctx, t)
}

// becomeReady waits for all nodes: an API server on emulated processors may be
// too busy to answer kubectl at once.
func (s *scenario) becomeReady(ctx context.Context, t *testing.T) {
	t.Helper()
	eventually(ctx, t, "all nodes are ready", 10*time.Minute, func(ctx context.Context) error {
		out, err := s.kubectl(ctx, t, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=20s")
		if err != nil {
			return err
		}
		if strings.Count(out, "condition met") != len(s.lab.Machines) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// upAgain checks that lab up on a complete lab validates it and changes nothing.
func (s *scenario) upAgain(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, s.labUp("-o", "json")...)
	s.took("lab up again", r.took)
	if strings.Contains(r.stdout, `"kind":"change"`) || !strings.Contains(r.stdout, `"kind":"run-finished"`) {
		t.Errorf("something changed:\n%s", r)
	}
}

// snapshots saves a snapshot, changes a machine, and restores the snapshot.
func (s *scenario) snapshots(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, "lab", "snapshot", "save", "--name", s.lab.Name, "installed")
	s.took("lab snapshot save", r.took)
	s.mustSSH(ctx, t, "kworker1", "touch /root/later; sync")
	if r := s.slipway.run(ctx, t, "lab", "snapshot", "restore", "--name", s.lab.Name, "other"); r.code == 0 || !strings.Contains(r.stderr, "it has: installed") {
		t.Errorf("restore of an unknown snapshot:\n%s", r)
	}
	s.mustSSH(ctx, t, "kworker1", "test -e /root/later")
	r = s.slipway.must(ctx, t, "lab", "snapshot", "restore", "--name", s.lab.Name, "installed")
	s.took("lab snapshot restore", r.took)
	s.mustSSH(ctx, t, "kworker1", "test ! -e /root/later")
	if r := s.slipway.must(ctx, t, "lab", "snapshot", "list", "--name", s.lab.Name); strings.TrimSpace(r.stdout) != "installed" {
		t.Errorf("%s", r)
	}
}

func (s *scenario) validateRestored(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, s.on("validate", "--timeout", "30m")...)
	s.took("validate after the restore", r.took)
}

func (s *scenario) vmsDown(ctx context.Context, t *testing.T) {
	dir := s.lab.dir()
	r := s.slipway.must(ctx, t, "lab", "down", "--name", s.lab.Name)
	s.took("lab down", r.took)
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s still exists", dir)
	}
	for _, list := range [][]string{{"list", "--all", "--name"}, {"net-list", "--all", "--name"}, {"vol-list", "default"}} {
		out, err := exec.CommandContext(ctx, "virsh", append([]string{"-q", "-c", "qemu:///system"}, list...)...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "slipway-"+s.lab.Name) {
			t.Errorf("virsh %s: %v\n%s", list, err, out)
		}
	}
	s.slipway.must(ctx, t, "lab", "down", "--name", s.lab.Name)
}
