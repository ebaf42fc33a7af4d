package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const one = "hosts:\n  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}\n"

// finished has the last object of each phase of kubeadm init, by API path.
var finished = map[string]string{
	"/api/v1/nodes/cp-1": "{apiVersion: v1, kind: Node, metadata: {name: cp-1}, status: {addresses: [{type: InternalIP, address: 192.0.2.11}]}}",
	roleBinding("kube-system", "kubeadm:nodes-kubeadm-config"):         binding("kube-system", "kubeadm:nodes-kubeadm-config"),
	roleBinding("kube-system", "kubeadm:kubelet-config"):               binding("kube-system", "kubeadm:kubelet-config"),
	roleBinding("kube-public", "kubeadm:bootstrap-signer-clusterinfo"): binding("kube-public", "kubeadm:bootstrap-signer-clusterinfo"),
	dns:   "{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}}",
	proxy: binding("kube-system", "kube-proxy"),
}

const (
	dns   = "/api/v1/namespaces/kube-system/services/kube-dns"
	proxy = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings/kube-proxy"
)

func roleBinding(namespace, name string) string {
	return "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace + "/rolebindings/" + name
}

func binding(namespace, name string) string {
	return fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: %q, namespace: %s}}", name, namespace)
}

// earlier are objects of the same phases that kubeadm creates before the last one.
var earlier = []string{
	"{apiVersion: v1, kind: ConfigMap, metadata: {name: kubeadm-config, namespace: kube-system}}",
	"{apiVersion: v1, kind: ConfigMap, metadata: {name: kubelet-config, namespace: kube-system}}",
	"{apiVersion: v1, kind: ConfigMap, metadata: {name: cluster-info, namespace: kube-public}}",
	"{apiVersion: v1, kind: ServiceAccount, metadata: {name: coredns, namespace: kube-system}}",
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: \"system:coredns\"}}",
	"{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}}",
	"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-proxy, namespace: kube-system}}",
	"{apiVersion: v1, kind: ServiceAccount, metadata: {name: kube-proxy, namespace: kube-system}}",
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: \"kubeadm:node-proxier\"}}",
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: kube-proxy, namespace: kube-system}}",
}

const record = "{apiVersion: v1, kind: ConfigMap, metadata: {name: slipway, namespace: kube-system}, data: {record.yaml: \"fixed: {podSubnet: 10.244.0.0/16}\"}}"

// answering lets the server answer /readyz, and the others with intercept, if any.
func answering(server *kubetest.Server, intercept func(http.ResponseWriter, *http.Request) bool) {
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/readyz" {
			_, _ = w.Write([]byte("ok"))
			return true
		}
		return intercept != nil && intercept(w, r)
	})
}

// begun is a fixture whose init has begun, with an API server that has the given
// objects.
func begun(t *testing.T, inventory string, objects ...string) (*workflowtest.Fixture, *hosttest.Fake, *kubetest.Server) {
	t.Helper()
	fixture, server := workflowtest.New(t, inventory), kubetest.NewInMemory(t)
	answering(server, nil)
	for _, object := range objects {
		server.Put(object)
	}
	fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest, facts.AdminConf, facts.CAKey, facts.EtcdMember}
	fixture.Facts("cp-1").Kubernetes.Files = whole()
	fixture.Serve(server)
	return fixture, fixture.Host("cp-1"), server
}

// allBut returns the objects of a complete init without those at a path.
func allBut(path string) []string {
	objects := slices.Clone(earlier)
	for at, object := range finished {
		if at != path {
			objects = append(objects, object)
		}
	}
	return objects
}

func refuses(status int, reason, message string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		kubetest.Refuse(w, status, reason, message)
		return true
	}
}

func expectInit(fake *hosttest.Fake) *hosttest.Expectation {
	return fake.ExpectUnitTimeout("kubeadm-init", 900,
		"/usr/local/bin/kubeadm", "init", "--config", "/etc/kubernetes/slipway/init.yaml", "--skip-token-print", "--ignore-preflight-errors", "Port-6443,"+resumable)
}

func TestInitRunsOnANewHost(t *testing.T) {
	t.Parallel()
	fixture, server := workflowtest.New(t, one), kubetest.New(t)
	fake := fixture.Host("cp-1")
	fixture.Serve(server) // kubeadm creates admin.conf
	expectInit(fake).Returns("[init] Using Kubernetes version\n")
	fixture.MustApply(Init())
	document, ok := fake.File("/etc/kubernetes/slipway/init.yaml")
	if !ok || document.Mode.Perm() != 0o600 || !strings.Contains(string(document.Content), "advertiseAddress: 192.0.2.11\n") {
		t.Errorf("the configuration is %v\n%s", document.Mode, document.Content)
	}
	if written := server.Get("/api/v1/namespaces/kube-system/configmaps/slipway"); written == nil {
		t.Error("the last act of init is not slipway's record")
	}
}

func TestInitDoesNotRunOnAnExistingCluster(t *testing.T) {
	t.Parallel()
	noProxy := one + "kubernetes: {clusterConfiguration: {proxy: {disabled: true}, dns: {disabled: true}}}\n"
	skipping := one + "kubernetes: {initConfiguration: {skipPhases: [addon]}}\n"
	var bare []string
	for path, object := range finished {
		if path != proxy && path != dns {
			bare = append(bare, object)
		}
	}
	tests := []struct {
		name, inventory string
		objects         []string
		joined          bool
	}{
		{"of an earlier release", one, allBut(""), false},
		{"with slipway's record, and without kube-proxy", one, []string{record}, false},
		{"without kube-proxy and CoreDNS, as the inventory says", noProxy, bare, false},
		{"whose addons the inventory skips", skipping, bare, false},
		{"of an earlier release, with workers, and without kube-proxy", one + "  - {name: w-1, address: 192.0.2.21}\n", bare, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, _, server := begun(t, test.inventory, test.objects...)
			if test.joined {
				fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
			}
			fixture.MustApply(Init())
			if got := fixture.Changes(); len(got) > 0 {
				t.Errorf("changes %v", got)
			}
			if got := server.Requests(); len(got) > 0 {
				t.Errorf("the probe wrote: %v", got)
			}
		})
	}
}

func TestInitResumesAfterAnInterruption(t *testing.T) {
	t.Parallel()
	for path := range finished {
		t.Run("without "+path, func(t *testing.T) {
			t.Parallel()
			fixture, fake, _ := begun(t, one, allBut(path)...)
			expectInit(fake)
			fixture.MustApply(Init())
		})
	}
	t.Run("before the manifest of the API server", func(t *testing.T) {
		t.Parallel()
		fixture, fake, server := begun(t, one)
		fixture.Facts("cp-1").Existing = []facts.Path{facts.AdminConf, facts.CAKey}
		server.Intercept(refuses(http.StatusServiceUnavailable, "ServiceUnavailable", "not started"))
		started := time.Now()
		expectInit(fake).Then(func() { answering(server, nil) })
		fixture.MustApply(Init())
		if waited := time.Since(started); waited > apiTimeout/2 {
			t.Errorf("it waited %s for an API server that nothing starts", waited)
		}
	})
	t.Run("before its kubeconfig", func(t *testing.T) {
		t.Parallel()
		fixture, fake, server := begun(t, one)
		fake.Remove(kube.AdminConf)
		expectInit(fake).Then(func() { fixture.Serve(server) })
		fixture.MustApply(Init())
	})
	t.Run("before the administrator had permissions", func(t *testing.T) {
		t.Parallel()
		fixture, fake, server := begun(t, one)
		answering(server, refuses(http.StatusForbidden, "Forbidden", "no permissions"))
		expectInit(fake).Then(func() { answering(server, nil) })
		fixture.MustApply(Init())
	})
	t.Run("before the API server answered", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			fixture, fake, server := begun(t, one)
			server.Intercept(refuses(http.StatusServiceUnavailable, "ServiceUnavailable", "starting"))
			expectInit(fake).Then(func() { answering(server, nil) })
			fixture.MustApply(Init())
		})
	})
}

// An outage needs a repair, and never a second init.
func TestInitDoesNotRunIfTheClusterDoesNotAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		prepare   func(*workflowtest.Fixture)
		intercept func(http.ResponseWriter, *http.Request) bool
		want      string
	}{
		{"the API server is down, and a worker has joined", func(f *workflowtest.Fixture) {
			f.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
		}, refuses(http.StatusServiceUnavailable, "ServiceUnavailable", "down"), "the cluster exists, but its API server does not answer"},
		{"the API server is down, and kubelet has its own certificate", func(f *workflowtest.Fixture) {
			f.Facts("cp-1").Kubernetes.Finalized = true
		}, refuses(http.StatusServiceUnavailable, "ServiceUnavailable", "down"), "the cluster exists, but its API server does not answer"},
		{"the administrator is refused, and kubelet has its own certificate", func(f *workflowtest.Fixture) {
			f.Facts("cp-1").Kubernetes.Finalized = true
		}, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/readyz" {
				_, _ = w.Write([]byte("ok"))
				return true
			}
			kubetest.Refuse(w, http.StatusUnauthorized, "Unauthorized", "who are you")
			return true
		}, "who are you"},
		{"etcd has failed", func(*workflowtest.Fixture) {}, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/readyz" {
				_, _ = w.Write([]byte("ok"))
				return true
			}
			kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", "etcd is on fire")
			return true
		}, "etcd is on fire"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fixture, _, server := begun(t, one+"  - {name: w-1, address: 192.0.2.21}\n")
				server.Intercept(test.intercept)
				test.prepare(fixture)
				if err := fixture.Apply(Init()); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestInitNeverCreatesASecondCluster(t *testing.T) {
	t.Parallel()
	const two = one + "  - {name: w-1, address: 192.0.2.21}\n"
	t.Run("a worker belongs to a cluster", func(t *testing.T) {
		t.Parallel()
		fixture := workflowtest.New(t, two)
		fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
		err := fixture.Apply(Init())
		if err == nil || !strings.Contains(err.Error(), "w-1 already belong") || !strings.Contains(workflow.Hint(err), "slipway reset --yes --hosts w-1") {
			t.Errorf("got %v, hint %q", err, workflow.Hint(err))
		}
	})
	t.Run("the host was joining a cluster that is gone", func(t *testing.T) {
		t.Parallel()
		fixture := workflowtest.New(t, two)
		fixture.Facts("cp-1").Existing = []facts.Path{facts.JoinConfig, facts.CAKey, facts.EtcdMember, facts.APIServerManifest}
		err := fixture.Apply(Init())
		if err == nil || !strings.Contains(err.Error(), "cp-1 was joining a cluster") || !strings.Contains(workflow.Hint(err), "slipway reset --yes --hosts cp-1") {
			t.Errorf("got %v, hint %q", err, workflow.Hint(err))
		}
	})
	t.Run("another control plane has the cluster", func(t *testing.T) {
		t.Parallel()
		fixture := workflowtest.New(t, "controlPlane: {endpoint: api.example}\n"+one+`
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`)
		fixture.Hosts.All[0].SetFacts(nil) // it is powered off
		fixture.Facts("cp-3").Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf}
		fixture.Facts("cp-3").Kubernetes.Finalized = true
		server := kubetest.New(t)
		fixture.Serve(server)
		if seed := fixture.Hosts.Seed().Config.Name; seed != "cp-3" {
			t.Fatalf("the seed is %s", seed)
		}
		server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			kubetest.Refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "no leader")
			return true
		})
		phase := Init()
		done := phase.Done
		phase.Done = func(ctx context.Context, s *workflow.Step) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return done(ctx, s)
		}
		if err := fixture.Apply(phase); err == nil { // the strict fakes refuse kubeadm
			t.Error("init is done although the API server does not answer")
		}
	})
	t.Run("the control plane of the cluster is lost", func(t *testing.T) {
		t.Parallel()
		fixture := workflowtest.New(t, one+"  - {name: cp-0, address: 192.0.2.10, roles: [control-plane], state: lost}\n")
		err := fixture.Apply(Init())
		if err == nil || !strings.Contains(err.Error(), "cp-0 is lost, and no host has the data of its cluster") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a host was not read", func(t *testing.T) {
		t.Parallel()
		fixture := workflowtest.New(t, two)
		fixture.Hosts.All[1].SetFacts(nil)
		if err := fixture.Apply(Init()); err == nil || !strings.Contains(err.Error(), "w-1 was not read") {
			t.Errorf("got %v", err)
		}
	})
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
