//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestARM64 is run by e2e/arm64/run: slipway, on a computer of another architecture,
// installs a cluster on one machine of arm64.
func TestARM64(t *testing.T) {
	dir := os.Getenv("SLIPWAY_E2E_ARM64")
	if dir == "" {
		t.Skip("SLIPWAY_E2E_ARM64 is not set: run make e2e-arm64, which builds a machine")
	}
	a := &arm64{scenario: newScenario(t), files: dir}
	a.remote = single
	t.Cleanup(a.unplug)
	does := func(name string, do func(context.Context, *testing.T), required bool) step {
		return step{name, func(_ *scenario, ctx context.Context, t *testing.T) { do(ctx, t) }, required}
	}
	a.runSteps(t, []step{
		does("the machine boots", a.boot, true),
		does("plan lists the changes", a.planChangesEachHost, true),
		does("apply creates a cluster until the kubelet is ready", a.applies, true),
		does("the programs and images are those of arm64", a.isARM64, false),
		does("validate passes", a.validates, false),
		does("a second apply changes nothing", a.changesNothing, false),
	})
}

// arm64 is the test on an emulated machine.
type arm64 struct {
	*scenario
	// files is the directory that image.sh prints.
	files string
	qemu  *exec.Cmd
}

// unplug kills QEMU.
func (a *arm64) unplug() {
	if a.qemu != nil {
		_ = a.qemu.Process.Kill()
		_ = a.qemu.Wait()
	}
}

// boot starts QEMU, which writes to a copy of the disk, and waits for SSH.
func (a *arm64) boot(ctx context.Context, t *testing.T) {
	a.describe(t)
	disk, console := filepath.Join(a.scratch, "disk.qcow2"), filepath.Join(a.artifacts, "arm64-console.log")
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", filepath.Join(a.files, "disk.qcow2"), disk).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	start := time.Now()
	qemu := exec.Command("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "neoverse-n1", "-accel", "tcg,thread=multi",
		"-smp", "2", "-m", "3072", "-display", "none", "-nodefaults", "-serial", "file:"+console,
		"-kernel", filepath.Join(a.files, "vmlinuz"), "-initrd", filepath.Join(a.files, "initrd"),
		// As in e2e/vagrant/box.sh, timers without high resolution save exits from the processor.
		"-append", "root=LABEL=root console=ttyAMA0 net.ifnames=0 mitigations=off highres=off",
		"-drive", "if=none,id=disk,cache=unsafe,file="+disk, "-device", "virtio-blk-pci,drive=disk",
		"-netdev", "tap,id=net,ifname=machine,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-device", "virtio-rng-pci")
	qemu.Stdout, qemu.Stderr = os.Stdout, os.Stderr
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	a.qemu = qemu
	eventually(ctx, t, "the machine answers", 20*time.Minute, func(ctx context.Context) error {
		_, err := a.ssh(ctx, single, "true")
		return err
	})
	a.took("power on until SSH answers", time.Since(start))
	a.kubeadmPatches(ctx, t)
	if got := strings.TrimSpace(a.mustSSH(ctx, t, single, "uname -m")); got != "aarch64" {
		t.Fatalf("the machine is %s", got)
	}
}

// describe writes the inventory of the machine, and the files that it names.
func (a *arm64) describe(t *testing.T) {
	t.Helper()
	for _, name := range []string{"id_ed25519", "known_hosts"} {
		content, err := os.ReadFile(filepath.Join(a.files, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(a.scratch, name), string(content))
	}
	emulated, err := os.ReadFile("testdata/emulated.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const address = "192.0.2.2"
	inventory := filepath.Join(a.scratch, "inventory.yaml")
	write(t, inventory, fmt.Sprintf(`apiVersion: slipway.io/v1alpha1
kind: Cluster
metadata: {name: arm64}
%s
ssh: {user: slipway, identityFile: id_ed25519, knownHostsFile: known_hosts}
hosts:
  - {name: %s, address: %s, roles: [control-plane]}
artifacts: {bundle: %q}
`, emulated, single, address, a.bundle))
	a.lab.Inventory = inventory
	a.lab.Machines = []machine{{Name: single, Address: address, Roles: []string{"control-plane"}}}
	if err := os.MkdirAll(a.artifacts, 0o755); err != nil {
		t.Fatal(err)
	}
}

func (a *arm64) applies(ctx context.Context, t *testing.T) {
	r := a.slipway.must(ctx, t, a.on("apply", "-o", "json", "--timeout", "60m")...)
	a.took("apply", r.took)
	a.becomeReady(ctx, t)
}

// isARM64 checks what runs on the machine.
func (a *arm64) isARM64(ctx context.Context, t *testing.T) {
	out, err := a.kubectl(ctx, t, "get", "node", single, "-o", "jsonpath={.status.nodeInfo.architecture} {.status.nodeInfo.kubeletVersion}")
	if want := "arm64 " + a.version(t); err != nil || out != want {
		t.Errorf("the node has %q, want %q: %v", out, want, err)
	}
	t.Log(a.mustSSH(ctx, t, single, `uname -a; kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes,pods -A -o wide
		for f in /usr/local/bin/kubelet /usr/local/bin/runc; do od -A n -j 18 -N 2 -t x1 $f; done; free -m; cat /proc/loadavg`))
}

func (a *arm64) validates(ctx context.Context, t *testing.T) {
	r := a.slipway.must(ctx, t, a.on("validate", "--timeout", "30m")...)
	a.took("validate", r.took)
}

func (a *arm64) changesNothing(ctx context.Context, t *testing.T) {
	r := a.slipway.must(ctx, t, a.on("apply", "-o", "json", "--timeout", "30m")...)
	a.took("second apply", r.took)
	nothingChanged(t, a.lab.names(), r)
}
