package kube

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"slipway.io/slipway/provision/cluster/kubetest"
)

// dnsDeployment is what kubeadm creates, as far as it says where pods may run.
const dnsDeployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 2, template: {spec: {
nodeSelector: {kubernetes.io/os: linux}, tolerations: [{key: CriticalAddonsOnly, operator: Exists}, {key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]}}}}`

func dnsNode(name, spec, status string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s, labels: {kubernetes.io/os: linux}}, spec: {%s}, status: {conditions: [{type: Ready, status: "%s"}]}}`, name, spec, status)
}

func dnsPod(name, node string, ready bool) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {nodeName: "%s"},
status: {phase: Running, conditions: [{type: Ready, status: "%s"}]}}`, name, node, map[bool]string{true: "True", false: "False"}[ready])
}

func TestDNSReplicas(t *testing.T) {
	t.Parallel()
	taint := func(key, effect string) string { return "taints: [{key: " + key + ", effect: " + effect + "}]" }
	controlPlane := taint("node-role.kubernetes.io/control-plane", "NoSchedule")
	both := []string{dnsPod("a", "cp-1", true), dnsPod("b", "cp-1", true)}
	for name, test := range map[string]struct {
		objects   []string
		nodes     []string
		crowded   string
		removable string
		unsettled bool
	}{
		"both on the first control plane of several": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("cp-2", controlPlane, "True")), []string{"cp-1", "cp-2"}, "cp-1", "b", false,
		},
		"both on the only node": {append(both, dnsNode("cp-1", controlPlane, "True")), []string{"cp-1"}, "", "b", false},
		"the other node is not ready": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "", "Unknown")), []string{"cp-1"}, "", "b", false,
		},
		"the other node is cordoned": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "unschedulable: true", "True")), []string{"cp-1"}, "", "b", false,
		},
		"the other node has a taint": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", taint("gpu", "NoSchedule"), "True")), []string{"cp-1"}, "", "b", false,
		},
		"the other node has a taint that only discourages": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", taint("gpu", "PreferNoSchedule"), "True")), []string{"cp-1", "w-1"}, "cp-1", "b", false,
		},
		"the pod network of the other node starts": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", taint("node.kubernetes.io/network-unavailable", "NoSchedule"), "True")), []string{"cp-1"}, "", "b", true,
		},
		"the pod network of a third node starts": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "", "True"), dnsNode("w-2", taint("node.kubernetes.io/not-ready", "NoSchedule"), "True")), []string{"cp-1", "w-1"}, "cp-1", "b", false,
		},
		"the pod network of another node with a taint starts": {
			append(both, dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "taints: [{key: gpu, effect: NoSchedule}, {key: node.kubernetes.io/not-ready, effect: NoSchedule}]", "True")), []string{"cp-1"}, "", "b", false,
		},
		"one on each of two nodes": {
			[]string{dnsPod("a", "cp-1", true), dnsPod("b", "w-1", true), dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "", "True")},
			[]string{"cp-1", "w-1"},
			"", "b", false,
		},
		"one is not scheduled yet": {
			[]string{dnsPod("a", "cp-1", true), dnsPod("b", "", false), dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "", "True")},
			[]string{"cp-1", "w-1"},
			"", "b", false,
		},
		"one is not ready": {
			[]string{dnsPod("a", "cp-1", false), dnsPod("b", "cp-1", true), dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "", "True")},
			[]string{"cp-1", "w-1"},
			"cp-1", "a", false,
		},
		"the only one is never evicted": {
			[]string{dnsPod("a", "cp-1", true), dnsNode("cp-1", controlPlane, "True"), dnsNode("w-1", "", "True")}, []string{"cp-1", "w-1"}, "", "", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := kubetest.New(t)
			server.Put(dnsDeployment)
			for _, object := range test.objects {
				server.Put(object)
			}
			d := replicasOf(t, server)
			if diff := cmp.Diff(test.nodes, d.Nodes); diff != "" {
				t.Error(diff)
			}
			if got := d.Crowded(); got != test.crowded {
				t.Errorf("crowded: %q, want %q", got, test.crowded)
			}
			if got := d.Unsettled(); got != test.unsettled {
				t.Errorf("unsettled: %t, want %t", got, test.unsettled)
			}
			removable := ""
			if pod := d.Removable(); pod != nil {
				removable = pod.Name
			}
			if removable != test.removable {
				t.Errorf("removable: %q, want %q", removable, test.removable)
			}
		})
	}
}

func replicasOf(t *testing.T, server *kubetest.Server) DNSReplicas {
	t.Helper()
	client, err := New(server.Kubeconfig(""), server.Dial)
	if err != nil {
		t.Fatal(err)
	}
	d, err := client.ReadDNSReplicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWithoutCoreDNSThereAreNoReplicas(t *testing.T) {
	t.Parallel()
	if d := replicasOf(t, kubetest.New(t)); d.Wanted != 0 || d.Ready() != 0 || d.Crowded() != "" {
		t.Errorf("got %+v", d)
	}
}

func TestReadyReplicasDoNotCountThoseThatAreDeleted(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(dnsDeployment)
	server.Put(dnsPod("a", "w-2", true))
	server.Put(dnsPod("b", "w-1", true))
	server.Put(dnsPod("c", "w-1", true))
	server.Put(strings.Replace(dnsPod("d", "w-3", true), "name: d,", "name: d, deletionTimestamp: 2026-01-01T00:00:00Z,", 1))
	d := replicasOf(t, server)
	if diff := cmp.Diff([]string{"w-1", "w-2"}, d.ReadyOn()); diff != "" || d.Ready() != 3 || d.Wanted != 2 {
		t.Errorf("%d of %d ready: %s", d.Ready(), d.Wanted, diff)
	}
}

func TestEvictionsWaitForADisruptionBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.NewInMemory(t)
		client, err := New(server.Kubeconfig(""), server.Dial)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || r.URL.Path != "/api/v1/namespaces/kube-system/pods/a/eviction" {
				return false
			}
			body, err := kubetest.Body(r)
			if options, _ := body["deleteOptions"].(kubetest.Object); err != nil || fmt.Sprint(options["preconditions"]) != "map[uid:u]" {
				t.Errorf("body %v, %v", body, err)
			}
			if asked++; asked < 3 {
				kubetest.Refuse(w, http.StatusTooManyRequests, "TooManyRequests", "it would violate the pod's disruption budget")
			} else {
				kubetest.Answer(w, http.StatusCreated, kubetest.Object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
			}
			return true
		})
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name, pod.UID = "kube-system", "a", "u"
		if err := client.WaitFor(t.Context(), Evicted(pod), WaitOptions{Timeout: time.Minute}); err != nil || asked != 3 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
}
