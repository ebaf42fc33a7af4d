//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// powerSteps installs a cluster on one virtual machine, which loses its power again
// and again. The kernel of a virtual machine loses what it has not written to the
// disk. The kernel of a machine container is the one of this computer, and loses
// nothing.
func powerSteps() []step {
	return []step{
		{"a virtual machine comes up", (*scenario).singleMachine, true},
		{"power loss while the first files are written", powerLoss(firstFile, ""), false},
		{"power loss while images are unpacked", powerLoss(importing, unpacked), false},
		{"power loss while kubeadm creates certificates", powerLoss(certificates, ""), false},
		{"power loss at the end of apply loses nothing", (*scenario).powerLossAtTheEnd, false},
		{"apply repairs at most the files of plugins, and the cluster is valid", (*scenario).validAfterPowerLoss, false},
		{"the journal has all that a reset restores", (*scenario).journalIsWhole, false},
		{"nothing of slipway is left behind", (*scenario).nothingPending, false},
	}
}

// TestPowerLoss is run by e2e/vagrant/run.
func TestPowerLoss(t *testing.T) {
	s := newScenario(t)
	if os.Getenv("SLIPWAY_E2E_BOX") == "" {
		t.Fatal("SLIPWAY_E2E_BOX is not set: run make e2e-power, which creates a box")
	}
	// With -run, some of the steps can use a lab that was kept.
	if s.slipway.run(t.Context(), t, "lab", "status", "--name", s.lab.Name).code == 0 {
		s.lab = s.status(t.Context(), t)
	}
	s.runSteps(t, powerSteps())
}

// single is the name of the only machine.
const single = "kmaster"

// firstFile matches the first file of a run. Its journal has been written, and the
// file has not.
func firstFile(e event) bool { return e.Kind == "change" && strings.HasPrefix(e.Message, "write ") }

// importing matches the start of the import of images.
func importing(e event) bool {
	return e.Kind == "change" && e.Phase == "images" && strings.HasPrefix(e.Message, "run import")
}

// unpacked waits until some layers of images are unpacked. containerd syncs its
// database, which has their names, and not their files.
const unpacked = `until [ "$(ls /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots 2>/dev/null | wc -l)" -ge 4 ]; do sleep 0.2; done`

// certificates matches the last certificate of kubeadm. The file system has committed the
// names of the first ones.
func certificates(e event) bool {
	return e.Kind == "output" && e.Phase == "kubeadm-init" && strings.HasPrefix(e.Message, `[certs] Generating "sa"`)
}

func (s *scenario) singleMachine(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, s.labUp("--workers", "0", "--machines-only", "--skip-checks", "virtualization")...)
	s.took("lab up --machines-only", r.took)
	s.lab = s.status(ctx, t)
	if got := strings.Join(s.lab.names(), " "); got != single {
		t.Fatalf("machines %s", got)
	}
	s.kubeadmPatches(ctx, t)
	s.mustSSH(ctx, t, single, "mkdir /root/bare; cp -a /etc /root/bare/; sync") // nothing of Vagrant is lost
}

// applying returns the arguments of an apply on an emulated processor.
func (s *scenario) applying() []string { return s.on("apply", "-o", "json", "--timeout", "30m") }

const (
	// lossBound is the time after which the user ends a run on a machine that is off.
	// A run that follows kubeadm waits for the machine for some minutes.
	lossBound = 2 * time.Minute
	// endBound is the time limit for such a run to stop. It tries to release its locks.
	endBound = 90 * time.Second
)

// powerLoss returns a step in which apply loses the machine at an event, or when a
// script has waited for more on the machine, while images are imported: containerd syncs
// the file system after each layer.
func powerLoss(at func(event) bool, wait string) func(*scenario, context.Context, *testing.T) {
	return func(s *scenario, ctx context.Context, t *testing.T) {
		s.commitNames(ctx, t)
		start := time.Now()
		r := s.slipway.during(ctx, t, at, func(run *os.Process) error {
			if wait != "" {
				if _, err := s.ssh(ctx, single, wait); err != nil {
					return err
				}
			}
			if err := s.powerOff(); err != nil {
				return err
			}
			s.took("from the start of apply until the power loss", time.Since(start))
			time.AfterFunc(lossBound, func() { _ = run.Signal(os.Interrupt) }) // it may have ended
			return nil
		}, s.applying()...)
		s.took(fmt.Sprintf("until apply ended with exit code %d", r.code), r.took)
		if r.code <= 0 {
			t.Errorf("exit code %d of a run that lost its machine\n%s", r.code, r)
		}
		if r.took > lossBound+endBound {
			t.Errorf("apply ended %s after the power loss", r.took)
		}
		s.powerOn(ctx, t, wait != "")
		s.plans(ctx, t)
	}
}

// commitNames starts a program on the machine that syncs a file of its own several
// times a second. With it, the file system writes the names and sizes of all files to
// the disk, and not the content that programs have not synced: after a power loss,
// such files exist and are empty. The program also writes a file that it never syncs.
func (s *scenario) commitNames(ctx context.Context, t *testing.T) {
	t.Helper()
	s.mustSSH(ctx, t, single, `systemctl stop commit-names 2>/dev/null || true
	systemd-run --quiet --unit=commit-names sh -c '
		while :; do
			echo >/var/tmp/synced; sync /var/tmp/synced
			rm -f /var/tmp/unsynced; echo >/var/tmp/unsynced
			sleep 0.3
		done'`)
}

// domain is the name of the machine in libvirt.
func (s *scenario) domain() string { return "slipway-" + s.lab.Name + "-" + single }

// powerOff kills QEMU, and with it the machine, at once: virsh destroy asks it to end.
// The disk has what the machine wrote and flushed. Its cache mode only decides whether
// this computer syncs that.
func (s *scenario) powerOff() error {
	content, err := os.ReadFile(filepath.Join("/run/libvirt/qemu", s.domain()+".pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// powerOn boots the machine, waits until it answers, and logs what the power loss
// damaged. It must have damaged something, unless syncing: slipway was syncing the whole
// file system.
func (s *scenario) powerOn(ctx context.Context, t *testing.T, syncing bool) {
	t.Helper()
	start := time.Now()
	// libvirt may not have noticed the end of QEMU.
	eventually(ctx, t, "the machine starts", time.Minute, func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, "virsh", "-q", "-c", "qemu:///system", "start", s.domain()).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	eventually(ctx, t, "the machine answers", 10*time.Minute, func(ctx context.Context) error {
		_, err := s.ssh(ctx, single, "true")
		return err
	})
	s.took("power on until the machine answers", time.Since(start))
	if !syncing {
		s.wantOutput(ctx, t, single, map[string]string{"[ ! -s /var/tmp/unsynced ] || echo stored": ""})
	}
	empty := s.mustSSH(ctx, t, single, "find / -xdev '(' -path /var/lib/containerd -o -path /var/lib/kubelet/pods -o -path /var/log ')' -prune -o -type f -empty -cnewer /root/bare -print")
	// A container runtime creates empty files in the layers of containers, to mount others there.
	layers := s.mustSSH(ctx, t, single, "find /var/lib/containerd -xdev -type f -empty -cnewer /root/bare 2>/dev/null | grep -v '/etc/\\(hosts\\|hostname\\|resolv.conf\\)$' | head -n 20 || true")
	temporary := s.mustSSH(ctx, t, single, temporaryFiles)
	t.Logf("after the power loss\nempty files:\n%s\nof containerd, at most 20:\n%s\ntemporary files:\n%s", empty, layers, temporary)
}

// plans checks that plan is no error.
func (s *scenario) plans(ctx context.Context, t *testing.T) {
	t.Helper()
	r := s.slipway.run(ctx, t, s.on("plan", "-o", "json")...)
	s.took(fmt.Sprintf("plan with exit code %d", r.code), r.took)
	if r.code != 0 {
		t.Errorf("%s", r)
	}
}

// plansNothing checks that plan lists no changes.
func (s *scenario) plansNothing(ctx context.Context, t *testing.T) {
	t.Helper()
	r := s.slipway.run(ctx, t, s.on("plan", "--detailed-exitcode")...)
	s.took(fmt.Sprintf("plan --detailed-exitcode with exit code %d", r.code), r.took)
	if r.code != 0 {
		t.Errorf("%s", r)
	}
}

// powerLossAtTheEnd installs the cluster, and powers the machine off at once: all that
// slipway has reported as done must be on the disk.
func (s *scenario) powerLossAtTheEnd(ctx context.Context, t *testing.T) {
	s.commitNames(ctx, t)
	r := s.slipway.run(ctx, t, s.applying()...)
	if err := s.powerOff(); err != nil {
		t.Fatal(err)
	}
	s.took(fmt.Sprintf("apply with exit code %d", r.code), r.took)
	if r.code != 0 {
		t.Errorf("%s", r)
	}
	booted := time.Now()
	s.powerOn(ctx, t, false)
	if t.Failed() {
		return
	}
	// A Node stays Ready until its lease expires, so wait for a new lease first.
	eventually(ctx, t, "kubelet renews its lease", 15*time.Minute, func(ctx context.Context) error {
		return s.renewed(ctx, t, booted)
	})
	s.becomeReady(ctx, t)
	// On a slow machine, the API server answers long before it is ready.
	eventually(ctx, t, "the API server is ready", 15*time.Minute, func(ctx context.Context) error {
		_, err := s.kubectl(ctx, t, "get", "--raw", "/readyz")
		return err
	})
	s.took("power on until the node is ready", time.Since(booted))
	s.repairsPlugins(ctx, t, s.on("plan", "-o", "json")...)
}

// repairsPlugins checks that a command changes at most the files of CNI plugins, which
// do not sync them.
func (s *scenario) repairsPlugins(ctx context.Context, t *testing.T, args ...string) {
	t.Helper()
	r := s.slipway.must(ctx, t, args...)
	s.took(args[0]+" after the last power loss", r.took)
	for _, e := range events(t, r.stdout) {
		if e.Kind == "change" && !strings.HasPrefix(e.Message, "run rm -rf --one-file-system -- /var/lib/cni/") {
			t.Errorf("%s on %s: %s", e.Phase, e.Host, e.Message)
		}
		if e.Kind == "change" {
			t.Log(e.Message)
		}
	}
}

func (s *scenario) validAfterPowerLoss(ctx context.Context, t *testing.T) {
	s.repairsPlugins(ctx, t, s.applying()...)
	r := s.slipway.must(ctx, t, s.applying()...)
	s.took("second apply after the last power loss", r.took)
	nothingChanged(t, s.lab.names(), r)
	r = s.slipway.must(ctx, t, s.on("validate", "--timeout", "30m")...)
	s.took("validate", r.took)
	s.plansNothing(ctx, t)
}

// journalIsWhole checks that no power loss damaged what a reset restores: the entries
// of the journal, the files that slipway replaced, and the values of sysctls.
func (s *scenario) journalIsWhole(ctx context.Context, t *testing.T) {
	s.wantOutput(ctx, t, single, map[string]string{
		`cd /var/lib/slipway/journal
		grep -av '^{.*}$' entries.jsonl || true
		[ -s sysctls ] || echo sysctls is empty
		find before -type f | while read -r copy; do
			path=${copy#before}
			grep -aqF "\"path\":\"$path\",\"existed\":true" entries.jsonl || continue
			cmp -s "$copy" "/root/bare$path" || echo "$copy: $(wc -c <"$copy") bytes, not $(wc -c <"/root/bare$path")"
		done`: "",
	})
}

// temporaryFiles lists the temporary files of slipway. The logs and volumes of the
// pods of validate have its name, too.
const temporaryFiles = `find / -xdev '(' -path /var/log -o -path /var/lib/kubelet/pods ')' -prune -o \
	'(' -name '*.slipway-*' -o -name 'slipway-*' ')' -print -o \
	-path '/var/lib/slipway/*' '(' -name '*.new' -o -name '*.part' ')' -print`

func (s *scenario) nothingPending(ctx context.Context, t *testing.T) {
	s.wantOutput(ctx, t, single, map[string]string{
		"systemctl list-units --all --plain --no-legend 'slipway-*'": "",
		temporaryFiles: "",
	})
	s.unlocked(ctx, t, single)
}
