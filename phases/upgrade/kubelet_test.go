package upgrade

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/workflow"
)

var serviceFiles = kubeadm.KubeletService().Files

const restartKubelet = "restart kubelet.service: " + kubeadm.KubeletConfig + " changed"

func TestKubeletRestartsWithAnotherConfiguration(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.has("w-1")
	fake := f.Host("w-1")
	f.expectKubelet("w-1", "maxPods: 50\n").Times(3)
	fake.ExpectService("kubelet.service", serviceFiles...).Times(1)
	f.MustPlan(WorkerKubelet(Workers()))
	want := []string{"write " + kubeadm.KubeletConfig, "run " + restartKubelet}
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Errorf("plan: %s", diff)
	}
	fake.ExpectService("kubelet.service", serviceFiles...)
	fake.ExpectStart(restartKubelet, "kubelet.service", serviceFiles...).Then(func() { f.beats("w-1") })
	f.MustApply(WorkerKubelet(Workers()))
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Errorf("apply: %s", diff)
	}
	f.MustApply(WorkerKubelet(Workers()))
	if again := f.Changes(); len(again) > 0 {
		t.Errorf("a second apply changes %v", again)
	}
}

// beats lets the kubelet of a host report.
func (f *rolling) beats(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heartbeats[name]++
}

func TestTheOrderOfFieldsIsNoDifferenceForKubelet(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.has("w-1")
	f.Host("w-1").Put(kubeadm.KubeletConfig, "maxPods: 50\ncgroupDriver: systemd\n")
	f.expectKubelet("w-1", "cgroupDriver: systemd\nmaxPods: 50\n")
	f.MustApply(WorkerKubelet(Workers()))
	if changes := f.Changes(); len(changes) > 0 {
		t.Errorf("changes %v", changes)
	}
}

func TestAKubeletThatDoesNotReportGetsItsOldConfiguration(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.has("w-1")
	f.Timeout = time.Second
	fake := f.Host("w-1")
	f.expectKubelet("w-1", "maxPods: wrong\n")
	fake.ExpectService("kubelet.service", serviceFiles...).Times(2)
	starts := 0
	fake.ExpectStart(restartKubelet, "kubelet.service", serviceFiles...).Times(2).Then(func() {
		if starts++; starts == 2 {
			f.beats("w-1")
		}
	})
	err := f.Apply(WorkerKubelet(Workers()))
	if err == nil || !strings.Contains(err.Error(), "it runs with its old one again") || !strings.Contains(workflow.Hint(err), "journalctl -u kubelet") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
	if got := f.content("w-1", kubeadm.KubeletConfig); got != "maxPods: 110\n" {
		t.Errorf("kubelet has %q", got)
	}
}

// kubeadm takes a worker, which has the certificate of the CA and no key, for a host whose
// certificates come from elsewhere.
func TestAWorkerRendersWithoutCertificates(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "kubernetes: {joinConfiguration: {patches: {directory: /etc/patches}}}")
	got := map[string]string{}
	for _, name := range []string{"cp-1", "w-1"} {
		for _, h := range f.Hosts.All {
			if h.Config.Name != name {
				continue
			}
			documents, err := f.Hosts.State().Documents(f.Cluster)
			if err != nil {
				t.Fatal(err)
			}
			ip, err := h.NodeIP()
			if err != nil {
				t.Fatal(err)
			}
			text, err := kubeadm.Update(f.Cluster, kubeadm.Node{Spec: h.Config, IP: ip, Version: "v1.36.4"}, "", documents.ClusterConfiguration(), documents.KubeletConfiguration())
			if err != nil {
				t.Fatal(err)
			}
			got[name] = string(text)
		}
	}
	for _, want := range []string{"name: w-1", "advertiseAddress: 192.0.2.21", "directory: /etc/patches", "kubernetesVersion: v1.36.4", "kind: KubeletConfiguration"} {
		if !strings.Contains(got["w-1"], want) {
			t.Errorf("no %q in:\n%s", want, got["w-1"])
		}
	}
	if !strings.Contains(got["cp-1"], "bindPort: 6444") {
		t.Errorf("no port of the API server in:\n%s", got["cp-1"])
	}
}
