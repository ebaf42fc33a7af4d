package upgrade

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const (
	older = "v1.36.3"
	newer = config.DefaultKubernetesVersion
	stage = "/usr/local/lib/slipway/" + newer
)

// newUpgrade returns a fixture whose cluster has the older version, and whose inventory has
// the newer one, or another.
func newUpgrade(t *testing.T, wanted string) *rolling {
	t.Helper()
	f := newRolling(t, "kubernetes: {version: "+wanted+"}")
	f.Bundle = workflowtest.NewBundle(t)
	document := f.document("kubeadm-config", "ClusterConfiguration")
	document["kubernetesVersion"] = older
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	f.server.PutObject(kubetest.Object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": kubetest.Object{"name": "kubeadm-config", "namespace": "kube-system"},
		"data": kubetest.Object{"ClusterConfiguration": string(text)},
	})
	for _, h := range f.Hosts.All {
		f.kubelet(h.Config.Name, older)
		if h.Config.Has(config.RoleControlPlane) {
			f.apiServer(h.Config.Name, older)
		}
	}
	f.proxy(older)
	f.observe()
	return f
}

// kubelet gives the kubelet of a host a version.
func (f *rolling) kubelet(name, version string) {
	f.server.Put("apiVersion: v1\nkind: Node\nmetadata: {name: " + name + "}\nstatus: {nodeInfo: {kubeletVersion: " + version + "}, addresses: [{type: InternalIP, address: 192.0.2.9}]}\n")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kubelets[name] = version
}

// apiServer gives the API server of a host a version.
func (f *rolling) apiServer(name, version string) {
	image := "registry.k8s.io/kube-apiserver:" + version
	f.Facts(name).Kubernetes.StaticPods = map[string]string{apiServer: image}
	f.server.Put("apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver-" + name + ", namespace: kube-system, labels: {component: kube-apiserver}}\n" +
		"spec: {nodeName: " + name + ", containers: [{name: kube-apiserver, image: '" + image + "'}]}\n")
}

// proxy gives kube-proxy a version.
func (f *rolling) proxy(version string) {
	f.server.Put(`
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system, generation: 1}
spec:
  selector: {matchLabels: {k8s-app: kube-proxy}}
  template: {metadata: {labels: {k8s-app: kube-proxy}}, spec: {containers: [{name: kube-proxy, image: "registry.k8s.io/kube-proxy:` + version + `"}]}}
status: {observedGeneration: 1, desiredNumberScheduled: 4, updatedNumberScheduled: 4, numberAvailable: 4}
`)
}

func TestAnUpgradeIsDisruptiveAndSettingsAreNot(t *testing.T) {
	t.Parallel()
	for wanted, want := range map[string]bool{newer: true, older: false} {
		f := newUpgrade(t, wanted)
		var got bool
		f.MustApply(workflow.Phase{Name: "x", Title: "x", On: workflow.JoinedWorkers, Do: func(ctx contextType, s *workflow.Step) (err error) {
			got, err = Workers().Disruptive(ctx, s)
			return err
		}})
		if got != want {
			t.Errorf("to %s: disruptive is %v", wanted, got)
		}
	}
}

func TestAPlanNamesTheVersionsOfAnUpgrade(t *testing.T) {
	t.Parallel()
	f := newUpgrade(t, newer)
	f.Selection.Hosts = []string{"cp-2", "w-1"}
	f.MustPlan(ControlPlane(ControlPlanes())) // no kubeadm of the new version is on the host
	if diff := cmp.Diff([]string{"upgrade the static pods of the control plane from " + older + " to " + newer}, f.Changes()); diff != "" {
		t.Error(diff)
	}
	f.MustPlan(WorkerKubelet(Workers()))
	if diff := cmp.Diff([]string{"upgrade kubelet from " + older + " to " + newer}, f.Changes()); diff != "" {
		t.Error(diff)
	}
}

// kubeadm of the new version renders the manifests, from where it waits.
func TestStaticPodsGetTheNewVersion(t *testing.T) {
	t.Parallel()
	f := newUpgrade(t, newer)
	f.Selection.Hosts = []string{"cp-2"}
	f.has("cp-2")
	f.rendersWith(stage + "/kubeadm")
	f.expectRender("cp-2", map[string]string{apiServer: manifest(apiServer, "--new")})
	f.MustApply(ControlPlane(ControlPlanes()))
	if diff := cmp.Diff([]string{"write " + manifestPath(apiServer)}, f.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestKubeletSwitchesToTheProgramsThatWait(t *testing.T) {
	t.Parallel()
	f := newUpgrade(t, newer)
	f.has("w-1")
	for _, name := range planeNames {
		f.apiServer(name, newer)
	}
	fake := f.Host("w-1")
	f.rendersWith(stage + "/kubeadm")
	f.expectKubelet("w-1", "maxPods: 110\nnew: true\n")
	fake.ExpectRunScript("switch.sh", stage, install.BinDir, "kubeadm", "kubelet").Then(func() {
		for _, name := range []string{"kubeadm", "kubelet"} {
			fake.PutBlob(f.blob(name))
		}
	})
	restart := "restart kubelet.service: " + kubeadm.KubeletProgram + ", " + kubeadm.KubeletConfig + " changed"
	fake.ExpectService("kubelet.service", serviceFiles...)
	fake.ExpectStart(restart, "kubelet.service", serviceFiles...).Then(func() { f.kubelet("w-1", newer) })
	fake.ExpectRun("rm", "-rf", stage)
	f.MustApply(WorkerKubelet(Workers()))
	want := []string{"run switch.sh " + stage + " /usr/local/bin kubeadm kubelet", "write " + kubeadm.KubeletConfig, "run " + restart, "run rm -rf " + stage}
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Error(diff)
	}
	if got := f.content("w-1", kubeadm.KubeletConfig); !strings.Contains(got, "new: true") {
		t.Errorf("kubelet has %q", got)
	}
}

func TestNoKubeletIsNewerThanAnAPIServer(t *testing.T) {
	t.Parallel()
	f := newUpgrade(t, newer)
	f.apiServer("cp-1", newer)
	f.Selection.Hosts = []string{"w-1"}
	err := f.Apply(WorkerKubelet(Workers()))
	if err == nil || !strings.Contains(err.Error(), "the API server of cp-2 has "+older) || !strings.Contains(workflow.Hint(err), "without --hosts") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

// The inventory lost its version while an upgrade was interrupted.
func TestAnAPIServerDoesNotGetAnOlderVersion(t *testing.T) {
	t.Parallel()
	f := newUpgrade(t, older)
	f.Selection.Hosts = []string{"cp-2"}
	f.apiServer("cp-2", newer)
	err := f.Apply(ControlPlane(ControlPlanes()))
	if err == nil || !strings.Contains(err.Error(), "no downgrade") || !strings.Contains(workflow.Hint(err), "kubernetes.version: "+newer) {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestASnapshotIsTakenBeforeTheFirstChange(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(*rolling)
		wanted  string
		taken   bool
	}{
		{"an upgrade", func(*rolling) {}, newer, true},
		{"no upgrade", func(*rolling) {}, older, false},
		{"an upgrade that has begun", func(f *rolling) { f.apiServer("cp-2", newer) }, newer, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newUpgrade(t, test.wanted)
			test.prepare(f)
			const path = "/var/lib/slipway/snapshots/before-" + newer + ".db"
			if test.taken {
				f.Host("cp-1").ExpectRunScript("etcd-snapshot.sh", path).Returns("image registry.k8s.io/etcd:3.6.8-0\nsize 100\nsha256 " + strings.Repeat("a", 64) +
					"\nstatus {\"hash\":7,\"revision\":8,\"totalKey\":9,\"version\":\"3.6.0\"}\n")
			}
			f.MustApply(Snapshot())
			if taken := len(f.Changes()) > 0; taken != test.taken {
				t.Errorf("changes %v", f.Changes())
			}
		})
	}
}

func TestTheVersionOfTheClusterChangesWhenAllControlPlanesHaveIt(t *testing.T) {
	t.Parallel()
	argv := []string{"/usr/local/bin/kubeadm", "upgrade", "apply", newer, "--yes", "--skip-phases", "preflight,control-plane,kubeconfig,kubelet-config"}
	t.Run("kubeadm upgrades kube-proxy", func(t *testing.T) {
		t.Parallel()
		f := newUpgrade(t, newer)
		f.Host("cp-1").ExpectUnitTimeout("kubeadm-upgrade", 600, argv...).Then(func() { f.proxy(newer) })
		f.MustApply(Version())
	})
	t.Run("kubeadm leaves it because of another control plane", func(t *testing.T) {
		t.Parallel()
		f := newUpgrade(t, newer)
		f.Host("cp-1").ExpectUnitTimeout("kubeadm-upgrade", 600, argv...)
		if err := f.Apply(Version()); err == nil || !strings.Contains(err.Error(), "another control plane has an older API server") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a run that was killed before kube-proxy", func(t *testing.T) {
		t.Parallel()
		f := newRolling(t, "kubernetes: {version: "+newer+"}")
		f.proxy(older)
		f.Host("cp-1").ExpectUnitTimeout("kubeadm-upgrade", 600, argv...).Then(func() { f.proxy(newer) })
		f.MustApply(Version())
	})
	t.Run("nothing to do", func(t *testing.T) {
		t.Parallel()
		f := newRolling(t, "")
		f.proxy(newer)
		f.MustApply(Version())
		if changes := f.Changes(); len(changes) > 0 {
			t.Errorf("changes %v", changes)
		}
	})
}
