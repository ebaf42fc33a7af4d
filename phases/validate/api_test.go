package validate

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/config"
)

// failing returns the error of the first attempt of the task with that target;
// empty if it passes.
func failing(t *testing.T, tasks []task, target string) string {
	t.Helper()
	for _, task := range tasks {
		if task.target == target {
			_, err := task.try(t.Context())
			if err != nil {
				return err.Error()
			}
			return ""
		}
	}
	t.Fatalf("no task %q", target)
	return ""
}

func TestNodesAreComparedWithTheInventory(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, target, objects string
		change                func(*config.Cluster)
		want                  string
	}{
		{"a node as the inventory wants it", "cp-1", "", nil, ""},
		{"a node that is missing", "w-9", "", func(c *config.Cluster) { c.Hosts = append(c.Hosts, config.Host{Name: "w-9"}) }, "host w-9 is not registered as a node"},
		{"another version", "cp-1", "", func(c *config.Cluster) { c.Kubernetes.Version = "v1.37.1" }, "kubelet is v1.36.4, but the inventory wants v1.37.1"},
		{"an address behind NAT", "cp-1", "", func(c *config.Cluster) { c.Hosts[0].NodeIP = "192.0.2.9" }, "InternalIP is 192.0.2.1, but the inventory wants 192.0.2.9"},
		{
			"a node that is not ready", "cp-1",
			"{apiVersion: v1, kind: Node, metadata: {name: cp-1}, status: {conditions: [{type: Ready, status: 'False', reason: R, message: m}]}}",
			nil, "not Ready: R: m",
		},
		{"all nodes are in the inventory", "no others", "", nil, ""},
		{
			"a node that is not in the inventory", "no others", "{apiVersion: v1, kind: Node, metadata: {name: stray}}", nil,
			"registered, but not in the inventory: stray",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t)
			if test.objects != "" {
				c.Put(test.objects)
			}
			r := c.run()
			if test.change != nil {
				test.change(r.cluster)
				r.targets = targetsOf(r.cluster)
			}
			if got := failing(t, nodeTasks(t.Context(), r), test.target); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestControlPlanePods(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, target, objects, want string }{
		{"etcd runs", "etcd on cp-1", "", ""},
		{
			"the scheduler crashes", "kube-scheduler on cp-1",
			`{apiVersion: v1, kind: Pod, metadata: {name: kube-scheduler-cp-1, namespace: kube-system}, status: {phase: Running,
			  containerStatuses: [{name: s, restartCount: 7, state: {waiting: {reason: CrashLoopBackOff}}}]}}`,
			"s: CrashLoopBackOff, 7 restarts",
		},
		{
			"kube-proxy is not everywhere", "kube-proxy",
			`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-proxy, namespace: kube-system}, spec: {selector: {matchLabels: {a: b}}},
			  status: {desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}}`,
			"1 of 2 pods available",
		},
		{
			"CoreDNS is not available", "coredns",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 2, selector: {matchLabels: {a: b}}},
			  status: {replicas: 2, updatedReplicas: 2}}`,
			"0 of 2 replicas available",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t)
			if test.objects != "" {
				c.Put(test.objects)
			}
			if got := failing(t, controlPlaneTasks(t.Context(), c.run()), test.target); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestAControlPlanePodThatIsMissing(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	r := c.run()
	r.targets[1].Roles = []config.Role{config.RoleControlPlane}
	if got := failing(t, controlPlaneTasks(t.Context(), r), "etcd on w-1"); got != "pod kube-system/etcd-w-1 does not exist" {
		t.Error(got)
	}
}

func TestWhatIsExpectedFollowsTheInventory(t *testing.T) {
	t.Parallel()
	targets := func(cluster *config.Cluster) string {
		var targets []string
		for _, task := range controlPlaneTasks(t.Context(), &run{cluster: cluster, targets: targetsOf(cluster)}) {
			targets = append(targets, task.target)
		}
		return strings.Join(targets, ", ")
	}
	cluster := &config.Cluster{Network: config.Network{CNI: config.CNI{Name: "none"}}}
	if got := targets(cluster); got != "kube-proxy, coredns" {
		t.Errorf("without a CNI of ours: %s", got)
	}
	cluster.Hosts = []config.Host{{Name: "cp", Roles: []config.Role{config.RoleControlPlane}}}
	cluster.Etcd.External.Endpoints = []string{"https://192.0.2.31:2379"}
	if got := targets(cluster); strings.Contains(got, "etcd") {
		t.Errorf("with an external etcd: %s", got)
	}
}
