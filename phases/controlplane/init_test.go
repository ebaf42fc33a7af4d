package controlplane

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

// finished is what kubeadm init leaves in the cluster, by API path.
var finished = map[string]string{
	"/api/v1/nodes/cp-1": "apiVersion: v1\nkind: Node\nmetadata: {name: cp-1}\n",
	"/api/v1/namespaces/kube-system/configmaps/kubeadm-config":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kubeadm-config, namespace: kube-system}\n",
	"/api/v1/namespaces/kube-public/configmaps/cluster-info":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cluster-info, namespace: kube-public}\n",
	"/apis/apps/v1/namespaces/kube-system/deployments/coredns":   "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: coredns, namespace: kube-system}\n",
	"/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy": "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: kube-proxy, namespace: kube-system}\n",
}

// begun is a fixture whose init was interrupted, with an API server that has all
// objects but the given one.
func begun(t *testing.T, leftOut string) (*workflowtest.Fixture, *hosttest.Fake, *kubetest.Server) {
	t.Helper()
	fixture, server := workflowtest.New(t, one), kubetest.New(t)
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/readyz" {
			return false
		}
		_, _ = w.Write([]byte("ok"))
		return true
	}
	for path, object := range finished {
		if path != leftOut {
			server.Put(object)
		}
	}
	fixture.Facts("cp-1").Existing = []facts.Path{apiServerManifest, kube.AdminConf}
	fixture.Serve(server)
	return fixture, fixture.Host("cp-1"), server
}

func expectInit(fake *hosttest.Fake) *hosttest.Expectation {
	return fake.ExpectUnitTimeout("kubeadm-init", 900,
		"/usr/local/bin/kubeadm", "init", "--config", "/etc/kubernetes/slipway/init.yaml", "--ignore-preflight-errors", resumable)
}

func TestInitRunsOnANewHost(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fake := fixture.Host("cp-1")
	expectInit(fake).Returns("[init] Using Kubernetes version\n")
	fixture.MustApply(Init())
	document, ok := fake.File("/etc/kubernetes/slipway/init.yaml")
	if !ok || document.Mode.Perm() != 0o600 || !strings.Contains(string(document.Content), "advertiseAddress: 192.0.2.11\n") {
		t.Errorf("the configuration is %v\n%s", document.Mode, document.Content)
	}
}

func TestInitDoesNotRunOnAnExistingCluster(t *testing.T) {
	t.Parallel()
	fixture, _, server := begun(t, "")
	fixture.MustApply(Init())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changes %v", got)
	}
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("the probe wrote: %v", got)
	}
}

func TestInitResumesAfterAnInterruption(t *testing.T) {
	t.Parallel()
	for path := range finished {
		t.Run("without "+path, func(t *testing.T) {
			t.Parallel()
			fixture, fake, _ := begun(t, path)
			expectInit(fake)
			fixture.MustApply(Init())
		})
	}
	t.Run("before its kubeconfig", func(t *testing.T) {
		t.Parallel()
		fixture, fake, _ := begun(t, "")
		fake.Remove(kube.AdminConf)
		expectInit(fake)
		fixture.MustApply(Init())
	})
	t.Run("before the administrator had permissions", func(t *testing.T) {
		t.Parallel()
		fixture, fake, server := begun(t, "")
		ready := server.Intercept
		server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if ready(w, r) {
				return true
			}
			kubetest.Refuse(w, http.StatusForbidden, "Forbidden", "no permissions")
			return true
		}
		expectInit(fake)
		fixture.MustApply(Init())
	})
}

// Init does not repair a broken API server.
func TestInitDoesNotRunIfTheProbeFails(t *testing.T) {
	t.Parallel()
	fixture, _, server := begun(t, "")
	ready := server.Intercept
	server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if ready(w, r) {
			return true
		}
		kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", "etcd is on fire")
		return true
	}
	if err := fixture.Apply(Init()); err == nil || !strings.Contains(err.Error(), "etcd is on fire") {
		t.Errorf("got %v", err)
	}
}

func TestAFailedInitHasAHint(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	expectInit(fixture.Host("cp-1")).Returns("[ERROR NumCPU]\n").FailsUnit(1)
	err := fixture.Apply(Init())
	if err == nil || !strings.Contains(err.Error(), "[ERROR NumCPU]") || !strings.Contains(workflow.Hint(err), "cp-1") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestAPlanListsInit(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Host("cp-1").StrictFiles()
	fixture.MustPlan(Init())
	got := fixture.Changes()
	if len(got) != 2 || got[0] != "write /etc/kubernetes/slipway/init.yaml" || !strings.Contains(got[1], "kubeadm init") {
		t.Error(cmp.Diff([]string{"write …", "… kubeadm init …"}, got))
	}
}
