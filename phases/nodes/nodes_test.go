package nodes

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const two = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - name: w-1
    address: 192.0.2.21
    labels: {example.com/rack: a}
    taints: [{key: example.com/dedicated, value: db, effect: NoExecute}]
`

func TestKubeletAndItsToolsAreInstalled(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Bundle = workflowtest.NewBundle(t)
	for _, name := range []string{"cp-1", "w-1"} {
		fixture.Host(name).ExpectRunScript("enable.sh", "kubelet.service")
	}
	fixture.MustApply(Kubelet())

	common := []string{
		"/etc/systemd/system/kubelet.service", "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "/opt/cni/bin/bridge",
		"/opt/cni/bin/portmap", "/usr/local/bin/kubeadm", "/usr/local/bin/kubelet",
	}
	want := map[string][]string{"cp-1": append(slices.Clone(common), "/usr/local/bin/kubectl"), "w-1": common}
	for name, files := range want {
		all := slices.Clone(files)
		for _, directory := range directories() {
			all = append(all, directory.Path)
		}
		slices.Sort(all)
		if diff := cmp.Diff(all, fixture.Host(name).Paths()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"systemctl disable --quiet --now kubelet.service"}, fixture.Undo(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if etcd, _ := fixture.Host(name).File("/var/lib/etcd"); etcd.Mode.Perm() != 0o700 {
			t.Errorf("%s: etcd's directory has mode %v, and etcd refuses it", name, etcd.Mode)
		}
	}

	// A second time, systemd has it.
	for _, name := range []string{"cp-1", "w-1"} {
		fixture.Host(name).ExpectQuery("systemctl", "is-enabled", "--quiet", "kubelet.service").AsUser()
	}
	fixture.MustApply(Kubelet())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

func TestKubeletThatIsNotEnabledIsEnabled(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
	fixture.Bundle = workflowtest.NewBundle(t)
	fake := fixture.Host("cp-1")
	fake.ExpectRunScript("enable.sh", "kubelet.service").Times(2)
	fixture.MustApply(Kubelet())
	fake.ExpectQuery("systemctl", "is-enabled", "--quiet", "kubelet.service").AsUser().Fails(1, "")
	fixture.MustApply(Kubelet())
}

func TestALostConnectionIsNotAKubeletThatIsDisabled(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
	fixture.Bundle = workflowtest.NewBundle(t)
	fake := fixture.Host("cp-1")
	fake.ExpectRunScript("enable.sh", "kubelet.service")
	fixture.MustApply(Kubelet())
	fake.ExpectQuery("systemctl", "is-enabled", "--quiet", "kubelet.service").AsUser().Error(host.ErrUnreachable)
	if err := fixture.Plan(Kubelet()); !errors.Is(err, host.ErrUnreachable) || len(fixture.Changes()) > 0 {
		t.Errorf("got %v, changes %q", err, fixture.Changes())
	}
}

// systemctl prints an error and exits with the same code as for a disabled service.
func TestAFailureOfSystemctlIsNotAKubeletThatIsDisabled(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
	fixture.Bundle = workflowtest.NewBundle(t)
	fake := fixture.Host("cp-1")
	fake.ExpectRunScript("enable.sh", "kubelet.service")
	fixture.MustApply(Kubelet())
	fake.Remove("/usr/local/bin/kubelet")
	fake.ExpectQuery("systemctl", "is-enabled", "--quiet", "kubelet.service").AsUser().Fails(1, "Failed to connect to bus: No such file or directory")
	if err := fixture.Plan(Kubelet()); !host.Exited(err) || errors.Is(err, host.ErrPlanned) {
		t.Errorf("got %v, changes %q", err, fixture.Changes())
	}
}

// kubeletFiles are the files that slipway knows kubelet to read.
var kubeletFiles = []string{"/usr/local/bin/kubelet", serviceFile, dropIn, kubeletConfig}

// A plan shows the same changes as an apply: the restart too, although the files
// are not written.
func TestTheKubeletOfANodeRestartsOnceWhenAFileThatItReadsChanges(t *testing.T) {
	t.Parallel()
	const (
		binary  = "/usr/local/bin/kubelet"
		flags   = "/var/lib/kubelet/kubeadm-flags.env"
		restart = "restart kubelet.service: "
	)
	tests := []struct {
		name string
		// missing are files of slipway that differ, state what the host reports.
		missing []string
		state   string
		start   string
		changes []string
	}{
		{"nothing has changed", nil, "", "", nil},
		{"a new binary", []string{binary}, "", restart + binary + " changed", []string{"upload " + binary + " (0.0 MB)"}},
		{"a new unit", []string{serviceFile}, "", restart + serviceFile + " changed", []string{"write " + serviceFile}},
		{"a new drop-in", []string{dropIn}, "", restart + dropIn + " changed", []string{"write " + dropIn}},
		{
			"all of them",
			[]string{binary, dropIn, serviceFile},
			"changed " + flags + "\n",
			restart + serviceFile + ", " + dropIn + ", " + binary + ", " + flags + " changed",
			[]string{"write " + serviceFile, "write " + dropIn, "upload " + binary + " (0.0 MB)"},
		},
		{"changed flags", nil, "changed " + flags + "\n", restart + flags + " changed", nil},
		{"a changed configuration", nil, "changed " + kubeletConfig + "\n", restart + kubeletConfig + " changed", nil},
		{"kubeadm and plugins are not kubelet", []string{"/opt/cni/bin/bridge"}, "", "", []string{"upload /opt/cni/bin/bridge (0.0 MB)"}},
		{"a stopped kubelet", nil, "stopped inactive\n", "start kubelet.service: it is inactive", nil},
		{"a failed kubelet", nil, "stopped failed\n", "start kubelet.service: it is failed", nil},
		{"a disabled kubelet runs on", nil, "disabled\n", "", []string{"run enable.sh kubelet.service"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
			fixture.Bundle = workflowtest.NewBundle(t)
			fake := fixture.Host("cp-1")
			fake.ExpectRunScript("enable.sh", "kubelet.service")
			fixture.MustApply(Kubelet())
			fixture.Facts("cp-1").Existing = []facts.Path{facts.KubeletConf, facts.KubeletConfig}
			for _, path := range test.missing {
				fake.Remove(path)
			}
			want := slices.Clone(test.changes)
			if test.start != "" {
				want = append(want, "run "+test.start)
			}
			fake.ExpectService("kubelet.service", kubeletFiles...).Returns(test.state).Times(2)
			fixture.MustPlan(Kubelet())
			if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
				t.Errorf("plan: %s", diff)
			}
			if test.start != "" {
				fake.ExpectStart(test.start, "kubelet.service", kubeletFiles...)
			}
			if test.state == "disabled\n" {
				fake.ExpectRunScript("enable.sh", "kubelet.service")
			}
			fixture.MustApply(Kubelet())
			if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
				t.Errorf("apply: %s", diff)
			}
		})
	}
}

// kubeadm starts kubelet once it has configured it. The strict fake fails on a start
// or a restart.
func TestKubeletIsNotStartedBeforeKubeadmHasConfiguredIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		existing []facts.Path
	}{
		{"no files of kubeadm", nil},
		{"an init that was killed before kubelet's configuration", []facts.Path{facts.KubeletConf}},
		{"a join that was killed before kubelet's credentials", []facts.Path{facts.KubeletConfig}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
			fixture.Bundle = workflowtest.NewBundle(t)
			fixture.Facts("cp-1").Existing = test.existing
			fixture.Host("cp-1").ExpectRunScript("enable.sh", "kubelet.service")
			fixture.MustApply(Kubelet())
		})
	}
}

func TestWantedPlugin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		network, file string
		want          bool
	}{
		{"flannel", "cni/bridge", true},
		{"flannel", "cni/macvlan", false},
		{"flannel", "kubelet", false},
		{"none", "cni/macvlan", true},
		{"none", "kubelet", false},
	}
	for _, test := range tests {
		if got := wantedPlugin(test.network, test.file); got != test.want {
			t.Errorf("with %s, %s: got %v", test.network, test.file, got)
		}
	}
}

// joining is a fixture whose control plane serves; the worker is fresh.
func joining(t *testing.T) (*workflowtest.Fixture, *hosttest.Fake, *kubetest.Server) {
	t.Helper()
	fixture, fake, server := starting(t)
	server.Put(controllersAccount)
	return fixture, fake, server
}

// controllersAccount is what a running controller manager creates.
const controllersAccount = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: kube-system}\n"

// starting is a fixture whose controller manager does not work yet.
func starting(t *testing.T) (*workflowtest.Fixture, *hosttest.Fake, *kubetest.Server) {
	t.Helper()
	fixture, server := workflowtest.New(t, two), kubetest.New(t)
	server.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: cp-1}\n")
	fixture.Serve(server)
	fixture.Host("cp-1").Put("/etc/kubernetes/pki/ca.crt", "the CA")
	return fixture, fixture.Host("w-1"), server
}

const workerNode = "apiVersion: v1\nkind: Node\nmetadata: {name: w-1}\n"

func expectJoin(fake *hosttest.Fake) *hosttest.Expectation {
	return fake.ExpectUnitTimeout("kubeadm-join", 600,
		"/usr/local/bin/kubeadm", "join", "--config", "/etc/kubernetes/slipway/join.yaml", "--ignore-preflight-errors", resumable)
}

// expectForget expects that the files of the join are deleted.
func expectForget(fake *hosttest.Fake, paths ...string) {
	if len(paths) == 0 {
		paths = []string{"/etc/kubernetes/bootstrap-kubelet.conf", "/etc/kubernetes/slipway/discovery.conf", "/etc/kubernetes/slipway/join.yaml"}
	}
	fake.ExpectRun(append([]string{"rm", "-f"}, paths...)...)
}

func TestAWorkerJoinsWithATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	fixture, fake, server := joining(t)
	expectForget(fake)
	expectJoin(fake).Then(func() {
		document, _ := fake.File("/etc/kubernetes/slipway/join.yaml")
		_, rest, _ := strings.Cut(string(document.Content), "tlsBootstrapToken: ")
		id, _, _ := strings.Cut(rest, ".")
		if server.Get("/api/v1/namespaces/kube-system/secrets/bootstrap-token-"+id) == nil {
			t.Errorf("the cluster does not know the token %q", id)
		}
		server.Put(workerNode)
	})
	fixture.MustApply(Join())

	for path, want := range map[string]string{
		"/etc/kubernetes/slipway/join.yaml":      "value: 192.0.2.21\n",
		"/etc/kubernetes/slipway/discovery.conf": `server: "https://192.0.2.11:6443"`,
	} {
		if file, _ := fake.File(path); file.Mode.Perm() != 0o600 || !strings.Contains(string(file.Content), want) {
			t.Errorf("%s is %v:\n%s", path, file.Mode, file.Content)
		}
	}
	var wrote []string
	for _, request := range server.Requests() {
		method, _, _ := strings.Cut(request, " ")
		wrote = append(wrote, method)
	}
	if diff := cmp.Diff([]string{"POST", "DELETE"}, wrote); diff != "" {
		t.Errorf("the token is not created and revoked: %s", diff)
	}
}

func TestAJoinWaitsForTheControllersThatSignItsCertificate(t *testing.T) {
	t.Parallel()
	fixture, fake, server := starting(t)
	var working atomic.Bool
	time.AfterFunc(500*time.Millisecond, func() {
		working.Store(true)
		server.Put(controllersAccount)
	})
	expectForget(fake)
	expectJoin(fake).Then(func() {
		if !working.Load() {
			t.Error("kubelet is started before its certificate can be signed")
		}
		server.Put(workerNode)
	})
	fixture.MustApply(Join())
}

func TestAJoinThatFailsRevokesItsToken(t *testing.T) {
	t.Parallel()
	fixture, fake, server := joining(t)
	expectJoin(fake).Returns("error: timed out\n").FailsUnit(1)
	err := fixture.Apply(Join())
	if err == nil || !strings.Contains(err.Error(), "timed out") || !strings.Contains(workflow.Hint(err), "w-1") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
	if got := server.Requests(); len(got) != 2 || !strings.HasPrefix(got[1], "DELETE ") {
		t.Errorf("requests %v", got)
	}
}

func TestAWorkerThatHasJoinedDoesNotJoinAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		conf, runs, node bool
		left             bool
	}{
		{"with its kubeconfig, kubelet and Node", true, true, true, true},
		{"not without its kubeconfig", false, true, true, false},
		{"not without kubelet", true, false, true, false},
		{"not without its Node", true, true, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake, server := joining(t)
			active := fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser().AnyTimes()
			if test.conf {
				fixture.Facts("w-1").Existing = []facts.Path{"/etc/kubernetes/kubelet.conf"}
			}
			if !test.runs {
				active.Fails(3, "")
			}
			if test.node {
				server.Put(workerNode)
			}
			if !test.left {
				expectForget(fake)
				expectJoin(fake).Then(func() { server.Put(workerNode) })
			}
			fixture.MustApply(Join())
			if left := len(fixture.Changes()) == 0; left != test.left {
				t.Errorf("changes %v", fixture.Changes())
			}
		})
	}
}

func TestAPlanStartsAStoppedKubeletAndDoesNotJoinAgain(t *testing.T) {
	t.Parallel()
	fixture, fake, server := joining(t)
	fixture.Bundle = workflowtest.NewBundle(t)
	server.Put(workerNode)
	fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf, facts.KubeletConfig}
	fake.ExpectService("kubelet.service", kubeletFiles...).Returns("stopped failed\n")
	fixture.MustPlan(Kubelet())
	if got := fixture.Changes(); !slices.Contains(got, "run start kubelet.service: it is failed") {
		t.Errorf("kubelet is not started: %q", got)
	}
	fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser().Fails(3, "")
	fixture.MustPlan(Join())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("the plan of the join has %q", got)
	}
}

// A plan that changes something else on the host does not hide the failure.
func TestAFailureOfSystemctlIsNotAKubeletThatIsStopped(t *testing.T) {
	t.Parallel()
	fixture, fake, server := joining(t)
	server.Put(workerNode)
	fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
	change := workflow.Phase{Name: "change", On: workflow.Workers, Do: func(ctx context.Context, s *workflow.Step) error {
		_, err := s.Run(ctx, host.Cmd{Argv: []string{"change"}})
		return err
	}}
	fixture.MustPlan(change)
	fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser().Fails(1, "Failed to connect to bus")
	if err := fixture.Plan(Join()); !host.Exited(err) || len(fixture.Changes()) > 0 {
		t.Errorf("got %v, changes %q", err, fixture.Changes())
	}
}

func TestAPlanOfAJoinCreatesNoToken(t *testing.T) {
	t.Parallel()
	fixture, fake, server := joining(t)
	fake.StrictFiles()
	fixture.MustPlan(Join())
	if diff := cmp.Diff([]string{"join the cluster"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("the plan wrote %v", got)
	}
}

func TestLabelsAndTaintsFollowTheInventory(t *testing.T) {
	t.Parallel()
	fixture, _, server := joining(t)
	server.Put(workerNode)
	fixture.MustApply(Metadata())
	type node struct {
		Labels map[string]any
		Taints []any
	}
	of := func(name string) node {
		object := server.Get("/api/v1/nodes/" + name)
		var n node
		n.Labels, _ = object["metadata"].(map[string]any)["labels"].(map[string]any)
		if spec, ok := object["spec"].(map[string]any); ok {
			n.Taints, _ = spec["taints"].([]any)
		}
		return n
	}
	want := map[string]node{
		"cp-1": {nil, []any{map[string]any{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}}},
		"w-1": {
			map[string]any{"example.com/rack": "a", "node-role.kubernetes.io/worker": ""},
			[]any{map[string]any{"key": "example.com/dedicated", "value": "db", "effect": "NoExecute"}},
		},
	}
	for name, wanted := range want {
		if diff := cmp.Diff(wanted, of(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	fixture.MustApply(Metadata())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

func ready(name string) string {
	return "apiVersion: v1\nkind: Node\nmetadata: {name: " + name + "}\nstatus: {conditions: [{type: Ready, status: \"True\"}]}\n"
}

func TestReadyWaitsForEveryNode(t *testing.T) {
	t.Parallel()
	fixture, _, server := joining(t)
	server.Put(ready("cp-1"))
	looks := 0
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if looks++; looks == 2 {
			server.Put(ready("w-1"))
		}
		return false
	})
	fixture.MustApply(Ready())
	if looks < 2 {
		t.Errorf("looked %d times, and w-1 came with the second", looks)
	}
}

func TestReadyDoesNotWaitWithoutAPodNetwork(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two+"network: {cni: {name: none}}\n")
	fixture.MustApply(Ready())
	fixture = workflowtest.New(t, two)
	fixture.MustPlan(Ready())
}
