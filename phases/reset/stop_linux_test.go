package reset

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/templates"
)

// An interrupted run leaves its unit running. It would start kubelet and containers
// again after they were stopped.
func TestUnitsScriptStopsTheUnitsBeforeKubelet(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"kubeadm-join", "longer.name_1"} {
		write(t, root+"/units/"+name+"/argv", "x", 0o600)
	}
	for name, test := range map[string]struct{ dir, want string }{
		"with units": {root + "/units", "stop slipway-kubeadm-join.service\nstop slipway-longer.name_1.service\nstop slipway-kubeadm-*.service\nstop kubelet.service\n"},
		"without":    {root + "/missing", "stop slipway-kubeadm-*.service\nstop kubelet.service\n"},
	} {
		t.Run(name, func(t *testing.T) {
			log := root + "/" + name
			// systemctl fails for a unit that it does not know.
			sh(t, "reset/units.sh", map[string]string{"systemctl": `echo "$*" >>"` + log + `"; exit 5`}, test.dir)
			if diff := cmp.Diff(test.want, contents(t, log)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A kubeadm that a power loss damaged must not stop the reset.
func TestStopScriptContinuesWithoutKubeadm(t *testing.T) {
	t.Parallel()
	for name, kubeadm := range map[string]string{"none": "", "damaged": "exit 126", "failing": "echo '[reset]'; exit 1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			text := strings.ReplaceAll(string(templates.Script("reset/stop.sh")), "/usr/local/bin/kubeadm", root+"/kubeadm")
			if kubeadm != "" {
				write(t, root+"/kubeadm", "#!/bin/sh\n"+kubeadm+"\n", 0o700)
			}
			local := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{
				"systemctl": `echo "$*" >>` + root + "/log", "pgrep": "exit 1",
			})}}
			if _, err := local.Run(t.Context(), host.Script("stop.sh", []byte(text), root+"/reset.yaml")); err != nil {
				t.Fatal(err)
			}
			if log := contents(t, root+"/log"); !strings.HasSuffix(log, "stop containerd.service\n") {
				t.Errorf("containerd was not stopped: %q", log)
			}
		})
	}
}

func TestPodsScriptListsTheContainersOfKubernetes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/k8s.io/sandbox/config.json", `{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/var/run/netns/cni-1234"}]}}`, 0o600)
	write(t, root+"/k8s.io/container/config.json", `{"linux":{"namespaces":[{"type":"network","path":"/proc/12/ns/net"}]}}`, 0o600)
	write(t, root+"/k8s.io/half/other", "x", 0o600)
	list := root + "/run/pods"
	sh(t, "reset/pods.sh", nil, list, root+"/k8s.io")
	// A second time, after a reset that was killed: the containers are gone.
	sh(t, "reset/pods.sh", nil, list, root+"/missing")
	if diff := cmp.Diff("container \nsandbox cni-1234\n", contents(t, list)); diff != "" {
		t.Error(diff)
	}
}

func TestKillScriptKillsOnlyTheProcessesOfPods(t *testing.T) {
	t.Parallel()
	start := func() *exec.Cmd {
		t.Helper()
		process := exec.Command("sleep", "600")
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = process.Process.Kill() })
		return process
	}
	root, pod, other := t.TempDir(), start(), start()
	write(t, root+"/kubepods.slice/cgroup.procs", "", 0o600)
	write(t, root+"/kubepods.slice/kubepods-pod1.slice/a.scope/cgroup.procs", fmt.Sprintln(pod.Process.Pid), 0o600)
	write(t, root+"/system.slice/docker-1.scope/kubepods/a/cgroup.procs", fmt.Sprintln(other.Process.Pid), 0o600)
	sh(t, "reset/kill.sh", map[string]string{"systemctl": `[ "$*" = "stop kubepods.slice" ] || touch ` + root + "/unexpected"}, root)
	if _, err := os.Stat(root + "/unexpected"); err == nil {
		t.Error("systemctl was called with other arguments")
	}
	if err := pod.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the pod ended with %v", err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another process: %v", err)
	}
}

func TestUnmountScriptUnmountsOnlyThePods(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var mounts strings.Builder
	for i, path := range []string{
		"/", "/var/lib/kubelet", "/var/lib/containerd", "/run/netns/cni-1",
		"/var/lib/kubelet/pods/1/volumes/a\\040b", "/var/lib/kubelet/pods/1/volumes/a\\040b/sub", "/var/lib/kubelet/plugins/x/globalmount",
		"/run/containerd/io.containerd.runtime.v2.task/k8s.io/1/rootfs", "/run/containerd/io.containerd.runtime.v2.task/default/1/rootfs",
		"/run/containerd/io.containerd.grpc.v1.cri/sandboxes/1/shm", "/run/containerd/fifo", "/run/calico/cgroup", "/sys/fs/bpf",
	} {
		fmt.Fprintf(&mounts, "%d 1 0:1 / %s rw - tmpfs tmpfs rw\n", i, path)
	}
	write(t, root+"/mountinfo", mounts.String(), 0o600)
	sh(t, "reset/unmount.sh", map[string]string{"umount": `echo "$2" >>` + root + `/unmounted`}, root+"/mountinfo")
	want := "/var/lib/kubelet/pods/1/volumes/a b/sub\n/var/lib/kubelet/pods/1/volumes/a b\n/var/lib/kubelet/plugins/x/globalmount\n" +
		"/run/containerd/io.containerd.runtime.v2.task/k8s.io/1/rootfs\n/run/containerd/io.containerd.grpc.v1.cri/sandboxes/1/shm\n/run/calico/cgroup\n"
	if diff := cmp.Diff(want, contents(t, root+"/unmounted")); diff != "" {
		t.Error(diff)
	}
}
