package upgrade

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/workflow"
)

func TestOnlyStaticPodsThatDifferRestart(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	for _, name := range planeNames {
		f.has(name)
		f.expectRender(name, map[string]string{apiServer: manifest(apiServer, "--v=2")}).Times(3)
	}
	want := []string{"write " + manifestPath(apiServer), "write " + manifestPath(apiServer), "write " + manifestPath(apiServer)}
	f.MustPlan(ControlPlane(ControlPlanes()))
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Errorf("plan: %s", diff)
	}
	if f.content("cp-1", manifestPath(apiServer)) != manifest(apiServer, "--v=1") {
		t.Error("the plan wrote a manifest")
	}
	f.MustApply(ControlPlane(ControlPlanes()))
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Errorf("apply: %s", diff)
	}
	for _, name := range planeNames {
		if file, _ := f.Host(name).File(manifestPath(apiServer)); !sameDocument(file.Content, []byte(manifest(apiServer, "--v=2"))) || file.Mode.Perm() != 0o600 {
			t.Errorf("%s has %v:\n%s", name, file.Mode, file.Content)
		}
	}
	f.MustApply(ControlPlane(ControlPlanes()))
	if again := f.Changes(); len(again) > 0 {
		t.Errorf("a second apply changes %v", again)
	}
}

// The first member starts with itself alone, the others with those that existed. kubeadm
// renders the first case on all of them.
func TestWhatEtcdStartedWithIsNoDifference(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	const own, all = "--initial-cluster=cp-2=https://192.0.2.12:2380", "--initial-cluster=cp-1=https://192.0.2.11:2380,cp-2=https://192.0.2.12:2380"
	for _, name := range planeNames {
		f.has(name)
		f.Host(name).Put(manifestPath(etcd), manifest(etcd, all, "--initial-cluster-state=existing", "--name="+name))
		f.expectRender(name, map[string]string{etcd: manifest(etcd, own, "--name="+name)})
	}
	f.MustApply(ControlPlane(ControlPlanes()))
	if changes := f.Changes(); len(changes) > 0 {
		t.Errorf("changes %v", changes)
	}
}

func TestTheLeaderOfEtcdMovesBeforeItsRestartAndComesLast(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	for _, name := range planeNames {
		f.has(name)
		f.expectRender(name, map[string]string{etcd: manifest(etcd, "--quota-backend-bytes=1")})
		f.Host(name).ExpectRun("pkill", "-TERM", "-x", apiServer)
	}
	f.MustApply(ControlPlane(ControlPlanes()))
	var order []string
	for _, e := range f.Events.Events() {
		if e.Kind == "change" {
			order = append(order, e.Host+" "+e.Message)
		}
	}
	// An API server whose etcd restarts hangs.
	write, end := " write "+manifestPath(etcd), " run pkill -TERM -x kube-apiserver"
	if diff := cmp.Diff([]string{"cp-2" + write, "cp-2" + end, "cp-3" + write, "cp-3" + end, "cp-1 make etcd member cp-2 the leader", "cp-1" + write, "cp-1" + end}, order); diff != "" {
		t.Error(diff)
	}
}

func TestEtcdAndAPIServerRestartTogether(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.Selection.Hosts = []string{"cp-2"}
	f.has("cp-2")
	changed := map[string]string{}
	for _, component := range components {
		changed[component] = manifest(component, "--v=2")
	}
	f.expectRender("cp-2", changed)
	f.MustApply(ControlPlane(ControlPlanes()))
	var want []string
	for _, component := range components {
		want = append(want, "write "+manifestPath(component))
	}
	if diff := cmp.Diff(want, f.Changes()); diff != "" {
		t.Error(diff)
	}
	// If etcd does not start, neither does the API server: both get their old manifests.
	changed[etcd] = manifest(etcd, "--bad")
	changed[apiServer] = manifest(apiServer, "--v=3")
	f.expectRender("cp-2", changed)
	f.Host("cp-2").ExpectQueryScript("log.sh", etcd).Returns("unknown flag\n")
	if err := f.Apply(ControlPlane(ControlPlanes())); err == nil || !strings.Contains(err.Error(), "etcd does not start with the new manifest") {
		t.Errorf("got %v", err)
	}
	for _, component := range components {
		if got := f.content("cp-2", manifestPath(component)); !sameDocument([]byte(got), []byte(manifest(component, "--v=2"))) {
			t.Errorf("%s is\n%s", component, got)
		}
	}
}

// The kubelet of a control plane cannot tell its own API server that it does not start.
func TestAStaticPodThatEndsAgainAndAgainIsNoticedOnItsHost(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.Selection.Hosts = []string{"cp-2"}
	f.has("cp-2")
	f.expectRender("cp-2", map[string]string{apiServer: manifest(apiServer, "--silent")})
	f.Host("cp-2").ExpectQueryScript("log.sh", apiServer).Returns("unknown flag\n")
	f.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/pods/kube-apiserver-cp-2") && strings.Contains(f.content("cp-2", manifestPath(apiServer)), "--silent") {
			f.ends.Add(1)
			kubetest.Refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "connection refused")
			return true
		}
		return f.intercept(w, r)
	})
	err := f.Apply(ControlPlane(ControlPlanes()))
	if err == nil || !strings.Contains(err.Error(), "it has ended") || !strings.Contains(err.Error(), "unknown flag") {
		t.Errorf("got %v", err)
	}
}

func TestTheHolderOfTheEndpointComesLast(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.Hosts.State().Leader = "cp-2"
	holder := f.Facts("cp-3")
	holder.Addresses = append(holder.Addresses, holder.Addresses[0])
	for i := range holder.Addresses {
		holder.Addresses[i].Prefix = mustPrefix("192.0.2.100/32")
	}
	var got []string
	planes := slices.Clone(f.Hosts.ControlPlanes())
	slices.SortStableFunc(planes, func(a, b *workflow.Host) int { return order(f.Hosts, a) - order(f.Hosts, b) })
	for _, h := range planes {
		got = append(got, h.Config.Name)
	}
	if diff := cmp.Diff([]string{"cp-1", "cp-3", "cp-2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAStaticPodThatDoesNotStartStopsTheRollAndRunsAsBefore(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	for _, name := range planeNames {
		f.has(name)
	}
	// The leader is cp-1: cp-2 comes first, and the others are not even read.
	f.expectRender("cp-2", map[string]string{apiServer: manifest(apiServer, "--bad")})
	f.Host("cp-2").ExpectQueryScript("log.sh", apiServer).Returns("Error: unknown flag: --bad\n")
	err := f.Apply(ControlPlane(ControlPlanes()))
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --bad") || !strings.Contains(err.Error(), "it runs with its old manifest again") ||
		!strings.Contains(workflow.Hint(err), "correct the setting in the inventory and rerun `slipway apply`") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
	for _, name := range planeNames {
		if got := f.content(name, manifestPath(apiServer)); got != manifest(apiServer, "--v=1") {
			t.Errorf("%s has\n%s", name, got)
		}
	}
	// The setting is set back.
	for _, name := range planeNames {
		f.expectRender(name, nil)
	}
	f.MustApply(ControlPlane(ControlPlanes()))
	if changes := f.Changes(); len(changes) > 0 {
		t.Errorf("after the way back: %v", changes)
	}
}

func TestNoControlPlaneRestartsBesideOneThatIsNotReady(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.broken["cp-3"] = true
	f.has("cp-2")
	f.expectRender("cp-2", map[string]string{apiServer: manifest(apiServer, "--v=2")})
	f.Timeout = time.Second
	err := f.Apply(ControlPlane(ControlPlanes()))
	if err == nil || !strings.Contains(err.Error(), "cp-2 is not changed") || !strings.Contains(err.Error(), "the API server of cp-3") {
		t.Errorf("got %v", err)
	}
	if got := f.content("cp-2", manifestPath(apiServer)); got != manifest(apiServer, "--v=1") {
		t.Errorf("cp-2 has\n%s", got)
	}
}

func TestTheAPIServerGetsACertificateWithNewNames(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "controlPlane: {certSANs: [api.example]}")
	f.Selection.Hosts = []string{"cp-2"}
	f.has("cp-2")
	f.expectRender("cp-2", nil).Times(2)
	f.MustPlan(ControlPlane(ControlPlanes()))
	if diff := cmp.Diff([]string{"replace the certificate of the API server"}, f.Changes()); diff != "" {
		t.Error(diff)
	}
	for _, e := range f.Events.Events() {
		if e.Kind == "change" && !strings.Contains(e.Diff, "+api.example") {
			t.Errorf("the plan shows %q", e.Diff)
		}
	}
	f.Host("cp-2").ExpectUnitTimeout("certificate-names", 120, "sh", namesDir+"/names.sh", "/usr/local/bin/kubeadm", namesFile).Then(func() {
		document := f.content("cp-2", namesFile)
		if !strings.Contains(document, "certificatesDir: "+namesDir) || !strings.Contains(document, "- api.example") {
			t.Errorf("kubeadm reads:\n%s", document)
		}
		f.Host("cp-2").Put(kubeadm.APIServerCertificate, certificate(t,
			[]string{"api.example", "cp-1", "cp-2", "cp-3", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
			[]string{"10.96.0.1", "192.0.2.100", "192.0.2.11", "192.0.2.12", "192.0.2.13"}))
	})
	f.Host("cp-2").ExpectRun("rm", "-rf", namesDir)
	f.MustApply(ControlPlane(ControlPlanes()))
	f.expectRender("cp-2", nil)
	f.MustApply(ControlPlane(ControlPlanes()))
	if again := f.Changes(); len(again) > 0 {
		t.Errorf("a second apply changes %v", again)
	}
}

func TestAHostThatHasNotJoinedHasNoTurn(t *testing.T) {
	t.Parallel()
	f := newRolling(t, "")
	f.Facts("cp-1").Existing = nil
	f.Facts("cp-2").Existing = append(f.Facts("cp-2").Existing, "/etc/kubernetes/slipway/join.yaml")
	f.Hosts.State().Nodes = slices.DeleteFunc(f.Hosts.State().Nodes, func(n clusterNode) bool { return n.Name == "cp-3" })
	f.MustApply(ControlPlane(ControlPlanes())) // the strict fakes allow no command
}
