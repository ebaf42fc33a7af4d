package network

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const coreDNS = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 2}}"

// pod is a pod of CoreDNS on cp-1 with that metadata and status, as YAML.
func pod(name, metadata, status string) string {
	return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", namespace: kube-system, labels: {k8s-app: kube-dns}" + metadata + "}, " +
		"spec: {nodeName: cp-1}, status: {" + status + "}}"
}

// The statuses of pods.
const (
	pending  = "phase: Pending, containerStatuses: [{name: coredns, image: dns, state: {waiting: {reason: ContainerCreating}}}]"
	started  = "phase: Running, containerStatuses: [{name: coredns, containerID: a, state: {running: {}}}], conditions: [{type: Ready, status: \"False\"}]"
	crashed  = "phase: Running, containerStatuses: [{name: coredns, containerID: a, image: dns, state: {waiting: {reason: CrashLoopBackOff, message: back-off}}, restartCount: 1, lastState: {terminated: {message: Loop detected, exitCode: 1}}}]"
	again    = "phase: Running, containerStatuses: [{name: coredns, containerID: a, restartCount: 1, state: {running: {}}}], conditions: [{type: Ready, status: \"False\"}]"
	restored = "phase: Running, containerStatuses: [{name: coredns, containerID: a, restartCount: 1, state: {running: {}}}], conditions: [{type: Ready, status: \"True\"}]"
	unbound  = "phase: Pending, conditions: [{type: PodScheduled, status: \"False\", reason: Unschedulable, message: 0/1 nodes are available}]"
)

// sandbox is the event of a pod without a network.
const sandbox = `{apiVersion: v1, kind: Event, metadata: {name: e, namespace: kube-system}, type: Warning, reason: FailedCreatePodSandBox,
message: 'Failed to create pod sandbox: plugin type="calico" failed (add): stat /var/lib/calico/nodename: no such file or directory'}`

// waitForDNS runs the phase against a server with these objects.
func waitForDNS(t *testing.T, objects ...string) (took time.Duration, requests int, err error) {
	t.Helper()
	fixture, server := workflowtest.New(t, one), kubetest.NewInMemory(t)
	for _, object := range objects {
		server.Put(object)
	}
	var count atomic.Int64
	server.Intercept(func(http.ResponseWriter, *http.Request) bool { count.Add(1); return false })
	fixture.Serve(server)
	start := time.Now()
	err = fixture.Apply(DNS())
	return time.Since(start), int(count.Load()), err
}

func TestApplyDoesNotWaitForCoreDNSThatHasStarted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		objects  []string
		requests int
	}{
		"one of two pods has started":   {[]string{coreDNS, pod("a", "", pending), pod("b", "", started)}, 1},
		"a pod is ready after a crash":  {[]string{coreDNS, pod("a", "", restored)}, 1},
		"somebody scaled it to zero":    {[]string{strings.Replace(coreDNS, "replicas: 2", "replicas: 0", 1)}, 2},
		"its last pod is being deleted": {[]string{strings.Replace(coreDNS, "replicas: 2", "replicas: 0", 1), pod("a", ", deletionTimestamp: 2026-01-01T00:00:00Z", started)}, 2},
		"somebody deleted it":           {nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				took, requests, err := waitForDNS(t, test.objects...)
				if err != nil || took > time.Second || requests != test.requests {
					t.Errorf("got %v after %s and %d requests", err, took, requests)
				}
			})
		})
	}
}

func TestApplyFailsIfCoreDNSDoesNotStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		objects []string
		want    string
	}{
		"no sandbox": {
			[]string{coreDNS, pod("coredns-x", "", pending), sandbox},
			`1 pods; coredns-x on cp-1: coredns: ContainerCreating of dns: FailedCreatePodSandBox: Failed to create pod sandbox: plugin type="calico" failed (add): stat /var/lib/calico/nodename: no such file or directory`,
		},
		"it crashes":             {[]string{coreDNS, pod("coredns-x", "", crashed)}, "1 pods; coredns-x on cp-1: coredns: CrashLoopBackOff: Loop detected"},
		"it may crash again":     {[]string{coreDNS, pod("coredns-x", "", again)}, "1 pods; coredns-x on cp-1: not Ready, phase Running"},
		"no node accepts it":     {[]string{coreDNS, pod("coredns-x", "", unbound)}, "coredns-x on cp-1: Unschedulable: 0/1 nodes are available"},
		"only old pods run":      {[]string{coreDNS, pod("coredns-x", ", deletionTimestamp: 2026-01-01T00:00:00Z", started)}, "1 pods; coredns-x on cp-1: "},
		"there is no pod":        {[]string{coreDNS}, "0 pods"},
		"its pods are refused":   {[]string{strings.TrimSuffix(coreDNS, "}") + ", status: {conditions: [{type: ReplicaFailure, status: \"True\", reason: FailedCreate, message: exceeded quota}]}}"}, "0 pods; FailedCreate: exceeded quota"},
		"a pod without a status": {[]string{coreDNS, pod("coredns-x", "", "")}, "1 pods; coredns-x on cp-1: not started yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := kubetest.NewInMemory(t)
				for _, object := range test.objects {
					server.Put(object)
				}
				client, err := kube.New(server.Kubeconfig(""), server.Dial)
				if err != nil {
					t.Fatal(err)
				}
				err = client.WaitFor(t.Context(), kube.CoreDNSStarted(), kube.WaitOptions{Timeout: time.Second})
				if err == nil || !strings.Contains(err.Error(), "waiting for CoreDNS to start after 1s: ") || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
			})
		})
	}
}

func TestTheErrorOfCoreDNSNamesTheReasonAndTheFix(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		took, _, err := waitForDNS(t, coreDNS, pod("coredns-x", "", pending), sandbox)
		var wait *kube.WaitError
		if !errors.As(err, &wait) || took != 5*time.Minute {
			t.Errorf("got %v after %s", err, took)
		}
		for _, want := range []string{"coredns-x on cp-1", "FailedCreatePodSandBox", `plugin type="calico" failed`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error lacks %q: %v", want, err)
			}
		}
		if hint := workflow.Hint(err); !strings.Contains(hint, "cni-config") || !strings.Contains(hint, "/etc/cni/net.d") {
			t.Errorf("the hint is %q", hint)
		}
	})
}

func TestApplyWaitsUntilCoreDNSStarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture, server := workflowtest.New(t, one), kubetest.NewInMemory(t)
		server.Put(coreDNS)
		server.Put(pod("a", "", pending))
		fixture.Serve(server)
		time.AfterFunc(3*time.Second, func() { server.Put(pod("a", "", started)) })
		start := time.Now()
		fixture.MustApply(DNS())
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestApplyWaitsForCoreDNSOnlyIfItCanStart(t *testing.T) {
	t.Parallel()
	for inventory, want := range map[string]bool{
		"":                                 true,
		"network: {cni: {name: calico}}\n": true,
		"network: {cni: {name: none}}\n":   false,
		"kubernetes: {clusterConfiguration: {dns: {disabled: true}}}\n":       false,
		"kubernetes: {initConfiguration: {skipPhases: [addon/coredns]}}\n":    false,
		"kubernetes: {initConfiguration: {skipPhases: [addon/kube-proxy]}}\n": true,
	} {
		c, err := config.Parse("i.yaml", []byte("apiVersion: slipway.io/v1alpha1\nkind: Cluster\n"+one+inventory))
		if err != nil {
			t.Fatal(err)
		}
		if got := DNS().Enabled(c); got != want {
			t.Errorf("%q: enabled %t", inventory, got)
		}
	}
}
