package preflight

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// upgrading is a fixture with a healthy cluster of v1.36.3, and an inventory with another
// version.
func upgrading(t *testing.T, target string) (*workflowtest.Fixture, *cluster.State) {
	t.Helper()
	fixture := workflowtest.New(t, two)
	fixture.Cluster.Kubernetes.Version = target
	fixture.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.KubeletConf, facts.APIServerManifest, facts.EtcdMember}
	fixture.Facts("cp-1").Kubernetes.StaticPods = map[string]string{"kube-apiserver": "registry.k8s.io/kube-apiserver:v1.36.3"}
	state := &cluster.State{
		Exists: true, Version: "v1.36.3",
		Nodes: []cluster.Node{{Name: "cp-1", Version: "v1.36.3", Ready: true}, {Name: "w-1", Version: "v1.36.3", Ready: true}},
		Upgrade: &cluster.Upgrade{Etcd: kube.EtcdHealth{Members: []kube.EtcdMemberHealth{
			{EtcdMember: kube.EtcdMember{ID: 1, Name: "cp-1"}, Host: "cp-1", Voting: true},
		}}},
	}
	return fixture, state
}

var upgradeNames = []string{"upgrade-skew", "upgrade-budgets", upgradeAPIs, "upgrade-etcd", "upgrade-disk", "upgrade-hosts"}

// upgradeReport is the report of the checks of an upgrade.
func upgradeReport(fixture *workflowtest.Fixture, state *cluster.State) *check.Report {
	fixture.Hosts.SetState(state)
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, state: state, unmeasured: "none"}
	cc.target = state.NewVersion(fixture.Cluster)
	cc.readManifests(context.Background())
	return cc.report(Selection{Only: upgradeNames})
}

func TestWhatStandsInTheWayOfAnUpgrade(t *testing.T) {
	t.Parallel()
	budget := kube.Blocked{Node: "w-1", Pod: "shop/web-1", Budgets: []string{"web"}, Workload: "deployment shop/web", Why: "it wants 2 healthy of 2 pods, and so never allows an eviction", Never: true}
	disk := func(f *workflowtest.Fixture, name, path string, free int) {
		for i := range f.Facts(name).Disks {
			if d := &f.Facts(name).Disks[i]; d.Path == path {
				d.MountPoint, d.FreeMiB = path, free
			}
		}
	}
	unreachable := func(f *workflowtest.Fixture, i int) {
		f.Hosts.All[i].SetFacts(nil)
		f.Hosts.All[i].SetUnreachable(host.ErrUnreachable)
	}
	tests := []struct {
		name, target  string
		prepare       func(f *workflowtest.Fixture, s *cluster.State)
		want          []string
		evidence, fix string
	}{
		{name: "a patch release of a healthy cluster", target: "v1.36.4"},
		{name: "the next minor release", target: "v1.37.2"},
		{name: "two minor releases at once", target: "v1.38.0", want: []string{"upgrade-skew  error"}, evidence: "v1.38.0 is 2 minor versions ahead of v1.36.3 of the cluster", fix: "upgrade to v1.37 first"},
		{name: "an older patch release", target: "v1.36.1", want: []string{"upgrade-skew  error"}, evidence: "Kubernetes supports no downgrade", fix: "set kubernetes.version: v1.36.3"},
		{name: "an older minor release", target: "v1.35.8", want: []string{"upgrade-skew  error", "upgrade-skew cp-1 error", "upgrade-skew w-1 error"}},
		{
			name: "an API server of an older release", target: "v1.37.2", want: []string{"upgrade-skew cp-1 error"}, evidence: "its API server has v1.35.8, 2 minor versions behind v1.37.2", fix: "set kubernetes.version: v1.36.3",
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) {
				f.Facts("cp-1").Kubernetes.StaticPods["kube-apiserver"] = "registry.example:5000/kube-apiserver:v1.35.8"
			},
		},
		{
			name: "a kubelet that the new API servers do not support", target: "v1.37.2", want: []string{"upgrade-skew w-1 error"}, evidence: "its kubelet has v1.33.1, 4 minor versions behind v1.37.2", fix: "set kubernetes.version: v1.36.3",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Nodes[1].Version = "v1.33.1" },
		},
		{
			name: "a budget that never allows an eviction", target: "v1.36.4", want: []string{"upgrade-budgets w-1 error"},
			evidence: "PodDisruptionBudget web blocks pod shop/web-1 of deployment shop/web on node w-1",
			fix:      `kubectl -n shop patch poddisruptionbudget web --type merge -p '{"spec":{"minAvailable":null,"maxUnavailable":1}}', or start more pods than it wants: kubectl -n shop scale deployment/web --replicas=N`,
			prepare:  func(_ *workflowtest.Fixture, s *cluster.State) { s.Upgrade.Blocking = []kube.Blocked{budget} },
		},
		{
			name: "a budget that the inventory ignores", target: "v1.36.4", want: []string{"upgrade-budgets w-1 error"},
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				s.Upgrade.Blocking = []kube.Blocked{budget}
				f.Cluster.Preflight.Ignore = []config.IgnoredCheck{{Check: "upgrade-budgets", Reason: "I delete the pod by hand"}}
			},
		},
		{
			name: "a budget that waits for a pod", target: "v1.36.4", want: []string{"upgrade-budgets w-1 warning"}, fix: "kubectl -n shop get pods",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				b := budget
				b.Never = false
				s.Upgrade.Blocking = []kube.Blocked{b}
			},
		},
		{
			name: "two budgets for a pod", target: "v1.36.4", want: []string{"upgrade-budgets w-1 error"}, fix: "kubectl -n shop delete poddisruptionbudget b",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				b := budget
				b.Budgets = []string{"a", "b"}
				s.Upgrade.Blocking = []kube.Blocked{b}
			},
		},
		{
			name: "a budget of a node that has the version already", target: "v1.36.4",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Nodes[1].Version = "v1.36.4"
				s.Upgrade.Blocking = []kube.Blocked{budget}
			},
		},
		{
			name: "budgets that cannot be read", target: "v1.36.4", want: []string{"upgrade-budgets  unknown"}, evidence: "refused",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Upgrade.Err = errors.New("refused") },
		},
		{
			name: "an API that the new release removes", target: "v1.37.2", want: []string{"upgrade-apis  error"},
			evidence: "clients use ipaddresses of networking.k8s.io/v1beta1, which Kubernetes 1.37 removes (requested from the API server of cp-1", fix: "pkill -TERM -x kube-apiserver",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Upgrade.Requested("cp-1", []kube.DeprecatedAPI{{Group: "networking.k8s.io", Version: "v1beta1", Resource: "ipaddresses", RemovedIn: "1.37"}, {Version: "v1", Resource: "componentstatuses"}})
			},
		},
		{
			name: "an API that the release after it removes", target: "v1.36.4", want: []string{"upgrade-apis  warning", "upgrade-apis  info"},
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Upgrade.Requested("cp-1", []kube.DeprecatedAPI{{Group: "b", Version: "v1beta1", Resource: "b", RemovedIn: "1.40"}, {Group: "a", Version: "v1beta1", Resource: "a", RemovedIn: "1.37"}})
			},
		},
		{
			name: "an API server that does not say which APIs are used", target: "v1.36.4", want: []string{"upgrade-apis  unknown"}, evidence: "the API server of cp-1 does not say which deprecated APIs clients use: 403",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Upgrade.Unread = map[string]string{"cp-1": "403"} },
		},
		{
			name: "a manifest of an addon with a removed kind", target: "v1.37.2", want: []string{"upgrade-apis  error"}, evidence: "addon own has IPAddress of networking.k8s.io/v1beta1 (x), which Kubernetes 1.37 removes", fix: "change its apiVersion",
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) {
				dir := t.TempDir()
				text := "apiVersion: networking.k8s.io/v1beta1\nkind: IPAddress\nmetadata: {name: x}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
				if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				f.Cluster.Addons = []config.Addon{{Name: "own", Manifests: []config.ManifestSource{{Path: dir}}}}
			},
		},
		{
			name: "a manifest that cannot be read", target: "v1.37.2", want: []string{"upgrade-apis  unknown"}, evidence: "addon own: manifests[0]: stat /nowhere",
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) {
				f.Cluster.Addons = []config.Addon{{Name: "own", Manifests: []config.ManifestSource{{Path: "/nowhere"}}}}
			},
		},
		{
			name: "a member of etcd that is not healthy", target: "v1.36.4", want: []string{"upgrade-etcd  error"}, evidence: "etcd member cp-1 is not healthy: refused",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Upgrade.Etcd.Members[0].Problem = errors.New("refused")
			},
		},
		{
			name: "a member that an interrupted upgrade left", target: "v1.36.4", want: []string{"upgrade-etcd  warning"},
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Version = "v1.36.4"
				s.Upgrade.Etcd.Members[0].Problem = errors.New("refused")
			},
		},
		{
			name: "the member of a lost host, which apply removes first", target: "v1.36.4",
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				f.Cluster.Leaving = []config.Host{{Name: "cp-3", Address: "192.0.2.13", Roles: []config.Role{config.RoleControlPlane}, State: config.StateLost}}
				s.Upgrade.Etcd.Members = append(s.Upgrade.Etcd.Members, kube.EtcdMemberHealth{EtcdMember: kube.EtcdMember{ID: 3, Name: "cp-3"}, Voting: true, Problem: errors.New("off")})
			},
		},
		{
			name: "a learner", target: "v1.36.4", want: []string{"upgrade-etcd cp-1 error"}, fix: "set kubernetes.version: v1.36.3, then slipway apply",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Upgrade.Etcd.Members[0].Voting = false },
		},
		{
			name: "a member of external etcd of which nothing is known", target: "v1.36.4",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Upgrade.Etcd.Members[0].NotAsked = true },
		},
		{
			name: "an alarm of etcd", target: "v1.36.4", want: []string{"upgrade-etcd  error"}, evidence: "NOSPACE", fix: "etcdctl alarm disarm",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Upgrade.Etcd.Alarms = []string{"NOSPACE"} },
		},
		{
			name: "an etcd that does not answer", target: "v1.36.4", want: []string{"upgrade-etcd  error"},
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) { s.Upgrade.EtcdErr = errors.New("refused") },
		},
		{
			name: "a worker with a full disk", target: "v1.36.4", want: []string{"upgrade-disk w-1 error"}, evidence: "499 MiB free on /var/lib/containerd, 500 needed", fix: "free 1 MiB",
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { disk(f, "w-1", "/var/lib/containerd", 499) },
		},
		{
			name: "a control plane needs more", target: "v1.36.4", want: []string{"upgrade-disk cp-1 error"}, evidence: "1199 MiB free on /var/lib/containerd, 1200 needed",
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { disk(f, "cp-1", "/var/lib/containerd", 1199) },
		},
		{
			name: "a full disk of a node that has the version already", target: "v1.36.4",
			prepare: func(f *workflowtest.Fixture, s *cluster.State) {
				disk(f, "w-1", "/var/lib/containerd", 1)
				s.Nodes[1].Version = "v1.36.4"
			},
		},
		{
			name: "a worker that cannot be reached", target: "v1.36.4", want: []string{"upgrade-hosts w-1 warning"}, evidence: "keeps v1.36.3 until the next apply", fix: "slipway node lost w-1",
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { unreachable(f, 1) },
		},
		{
			// Without the name of the host, it is not dispensable.
			name: "a control plane that cannot be reached", target: "v1.36.4", want: []string{"upgrade-hosts  error"}, evidence: "control plane cp-1 cannot be reached, and would keep v1.36.3",
			prepare: func(f *workflowtest.Fixture, _ *cluster.State) { unreachable(f, 0) },
		},
		{
			name: "a node that is not ready", target: "v1.36.4", want: []string{"upgrade-hosts w-1 warning"}, evidence: "its node is not Ready: x",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Nodes[1].Ready, s.Nodes[1].Why = false, "not Ready: x"
			},
		},
		{
			name: "a node without a host", target: "v1.36.4", want: []string{"upgrade-hosts  warning"}, evidence: "node w-9 is not in the inventory, and keeps v1.36.3", fix: "state: absent or lost",
			prepare: func(_ *workflowtest.Fixture, s *cluster.State) {
				s.Nodes = append(s.Nodes, cluster.Node{Name: "w-9", Version: "v1.36.3", Ready: true})
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fixture, state := upgrading(t, test.target)
			if test.prepare != nil {
				test.prepare(fixture, state)
			}
			report := upgradeReport(fixture, state)
			complete(t, report)
			if diff := cmp.Diff(test.want, told(report)); diff != "" {
				t.Fatal(diff)
			}
			ignored := len(fixture.Cluster.Preflight.Ignore) > 0
			var evidence, fix strings.Builder
			for _, c := range report.Checks {
				for _, f := range c.Findings {
					if (f.Ignored != "") != ignored {
						t.Errorf("ignored: %q", f.Ignored)
					}
					evidence.WriteString(f.Evidence + "\n")
					fix.WriteString(f.Fix + "\n")
				}
			}
			if !strings.Contains(evidence.String(), test.evidence) || !strings.Contains(fix.String(), test.fix) {
				t.Errorf("got %s%s", evidence.String(), fix.String())
			}
		})
	}
}

func TestTheChecksOfAnUpgradeAreSkippedIfTheVersionStays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, target string
		prepare      func(s *cluster.State)
		run          bool
	}{
		{"another version", "v1.36.4", func(*cluster.State) {}, true},
		{"the same version", "v1.36.3", func(*cluster.State) {}, false},
		{"an upgrade that was interrupted", "v1.36.3", func(s *cluster.State) { s.Nodes[1].Version = "v1.36.2" }, true},
		{"a node that is not in the inventory", "v1.36.3", func(s *cluster.State) { s.Nodes = append(s.Nodes, cluster.Node{Name: "w-9", Version: "v1.36.2"}) }, false},
		{"no version in the inventory", "", func(*cluster.State) {}, false},
		{"an API server that does not answer", "v1.36.4", func(s *cluster.State) { s.Silent = errors.New("refused") }, false},
		{"no cluster", "v1.36.4", func(s *cluster.State) { *s = cluster.State{} }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, state := upgrading(t, test.target)
			test.prepare(state)
			for _, c := range upgradeReport(fixture, state).Checks {
				if ran := c.Status != check.Skipped; ran != test.run || !ran && c.Reason != "the Kubernetes version does not change" {
					t.Errorf("%s: %s %q", c.Name, c.Status, c.Reason)
				}
			}
		})
	}
}

func TestTheStateForAnUpgradeIsReadOnlyIfTheVersionChanges(t *testing.T) {
	t.Parallel()
	const node, metrics = "spec: {podCIDR: x}", `apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="ipaddresses",subresource="",version="v1beta1"} 1` + "\n"
	for _, test := range []struct {
		name, target string
		forced, read bool
	}{
		{name: "another version", target: "v1.36.4", read: true},
		{name: "the same version", target: "v1.36.3"},
		{name: "for the command upgrade plan", target: "v1.36.3", forced: true, read: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, _ := upgrading(t, test.target)
			server := kubetest.New(t, "192.0.2.11")
			server.Put("{apiVersion: v1, kind: ConfigMap, metadata: {name: kubeadm-config, namespace: kube-system}, data: {ClusterConfiguration: \"kubernetesVersion: v1.36.3\"}}")
			for _, name := range []string{"cp-1", "w-1"} {
				server.Put("{apiVersion: v1, kind: Node, metadata: {name: " + name + "}, " + node + ", status: {nodeInfo: {kubeletVersion: v1.36.3}, conditions: [{type: Ready, status: 'True'}]}}")
			}
			server.Put("{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {nodeName: w-1}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}")
			server.Put("{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}}, status: {currentHealthy: 1, desiredHealthy: 1, expectedPods: 1}}")
			asked := 0
			server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/metrics" {
					return false
				}
				asked++
				_, _ = w.Write([]byte(metrics))
				return true
			})
			fixture.ServeEtcd("cp-1", `{"ID":"1","name":"cp-1"}`)
			fixture.Host("cp-1").Put(kube.AdminConf, string(server.Kubeconfig("")))
			// Its own address leads to the server, and that of etcd to etcd.
			cp1 := fixture.Hosts.All[0]
			cp1.Conn = towards{cp1.Conn, "192.0.2.11:6443", strings.TrimPrefix(server.URL(), "https://")}
			state := observe(t.Context(), fixture.Cluster, fixture.Hosts, func(ctx context.Context) (*kube.Client, error) {
				return fixture.Hosts.Connect(ctx, kube.Options{DryRun: true})
			}, test.forced)
			if state.Silent != nil {
				t.Fatal(state.Silent)
			}
			if u := state.Upgrade; (u != nil) != test.read || asked > 0 != test.read {
				t.Fatalf("read %+v, asked %d times for metrics", u, asked)
			} else if u == nil {
				return
			}
			u := state.Upgrade
			if u.Err != nil || len(u.Blocking) != 1 || !u.Blocking[0].Never || u.Blocking[0].Pod != "shop/web" {
				t.Errorf("blocking %+v, %v", u.Blocking, u.Err)
			}
			if len(u.APIs) != 1 || u.APIs[0].RemovedIn != "1.37" || len(u.Unread) > 0 || cmp.Diff([]string{"cp-1"}, u.APIs[0].Servers) != "" {
				t.Errorf("APIs %+v, unread %v", u.APIs, u.Unread)
			}
			if u.EtcdErr != nil || len(u.Etcd.Members) != 1 || u.Etcd.Members[0].Problem != nil {
				t.Errorf("etcd %+v, %v", u.Etcd, u.EtcdErr)
			}
		})
	}
}

// towards is a host from which an address leads to another one.
type towards struct {
	host.Host
	from, to string
}

func (d towards) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == d.from {
		addr = d.to
	}
	return d.Host.(host.Dialer).DialContext(ctx, network, addr)
}
