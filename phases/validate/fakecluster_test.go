package validate

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/util/remotecommand"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
)

// testCluster is a fake API server with the controllers, kubelets and network
// that a validation needs, and two nodes, cp-1 and w-1.
type testCluster struct {
	*kubetest.Server
	t *testing.T
	// proxy, if not nil, answers instead of agnhost and reports whether it did.
	proxy func(w http.ResponseWriter, pod string, r *http.Request) bool
	// sick is a node whose test pod does not start.
	sick string
	// workloads is how the workloads of single probes behave.
	workloads workloads

	mu   sync.Mutex
	pods map[string]string // addresses, by name
	// executed are the commands that ran in pods.
	executed []string
	// files are the contents of volumes, by claim.
	files map[string]string
}

const clusterObjects = `
apiVersion: v1
kind: Node
metadata: {name: cp-1}
status:
  addresses: [{type: InternalIP, address: 192.0.2.1}]
  conditions: [{type: Ready, status: "True"}]
  nodeInfo: {kubeletVersion: v1.36.4, containerRuntimeVersion: containerd://2.3.1}
---
apiVersion: v1
kind: Node
metadata: {name: w-1}
status:
  addresses: [{type: InternalIP, address: 192.0.2.2}]
  conditions: [{type: Ready, status: "True"}]
  nodeInfo: {kubeletVersion: v1.36.4, containerRuntimeVersion: containerd://2.3.1}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system}
status: {desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-flannel-ds, namespace: kube-flannel}
status: {desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec: {replicas: 2}
status: {replicas: 2, updatedReplicas: 2, availableReplicas: 2}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns-a, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {nodeName: cp-1}
status: {conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns-b, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {nodeName: w-1}
status: {conditions: [{type: Ready, status: "True"}]}`

func newTestCluster(t *testing.T) *testCluster {
	t.Helper()
	return testClusterOn(t, kubetest.New(t))
}

func testClusterOn(t *testing.T, server *kubetest.Server) *testCluster {
	t.Helper()
	c := &testCluster{Server: server, t: t, pods: make(map[string]string), files: make(map[string]string)}
	c.Put(clusterObjects)
	for _, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"} {
		c.Put(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s-cp-1, namespace: kube-system},
			status: {conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: a, restartCount: 2}]}}`, component))
	}
	c.OnCreate(c.created)
	c.Intercept(c.intercept)
	return c
}

// run is a validation of the cluster as the inventory of two hosts describes it.
func (c *testCluster) run() *run {
	client, err := kube.New(c.Kubeconfig(""), c.Dial)
	if err != nil {
		c.t.Fatal(err)
	}
	cluster := &config.Cluster{
		Metadata:     config.Metadata{Name: "lab"},
		Kubernetes:   config.Kubernetes{Version: "1.36.4"},
		Network:      config.Network{CNI: config.CNI{Name: config.CNIFlannel}},
		ControlPlane: config.ControlPlane{BindPort: 6443},
		Hosts: []config.Host{
			{Name: "cp-1", NodeIP: "192.0.2.1", Roles: []config.Role{config.RoleControlPlane}},
			{Name: "w-1", NodeIP: "192.0.2.2", Roles: []config.Role{config.RoleWorker}},
		},
	}
	r := &run{
		client: client, cluster: cluster, image: testImage, progress: &progress{say: func(string) {}},
		harness: &namespaceHarness{client: client, image: testImage},
		etcd: func(context.Context) (kube.EtcdHealth, error) {
			return kube.EtcdHealth{Members: []kube.EtcdMemberHealth{etcdMemberOf("cp-1", 1)}}, nil
		},
		readyAt: func(context.Context, host.Host, string) (time.Time, error) { return testExpiry, nil },
	}
	r.targets = targetsOf(cluster)
	return r
}

// targetsOf are the hosts of an inventory, which are not off.
func targetsOf(cluster *config.Cluster) []target {
	var all []target
	for _, h := range cluster.Hosts {
		all = append(all, target{Host: h})
	}
	return all
}

// testExpiry is the end of the certificates of API servers.
var testExpiry = time.Date(2027, 11, 30, 0, 0, 0, 0, time.UTC)

// etcdMemberOf is a healthy member; the one with the ID 1 leads.
func etcdMemberOf(name string, id uint64) kube.EtcdMemberHealth {
	return kube.EtcdMemberHealth{
		EtcdMember: kube.EtcdMember{ID: id, Name: name}, Host: name, Voting: true, Leader: id == 1, Term: 7, Committed: 5000, Applied: 5000,
	}
}

// testImage is the reference of the test image.
const testImage = "registry.test/agnhost:1"

// created is what controllers do with a new object.
func (c *testCluster) created(object kubetest.Object) {
	metadata := object["metadata"].(kubetest.Object)
	name, namespace := metadata["name"], metadata["namespace"]
	switch object["kind"] {
	case "Namespace":
		c.Put(fmt.Sprintf("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: %s}}", name))
	case "Service":
		spec := object["spec"].(kubetest.Object)
		spec["clusterIP"] = "10.96.7.7"
		switch spec["type"] {
		case "NodePort":
			spec["ports"].([]any)[0].(kubetest.Object)["nodePort"] = 30123
		case "LoadBalancer":
			object["status"] = c.workloads.loadBalancer()
		}
		c.PutObject(object)
	case "DaemonSet":
		for i, node := range []string{"cp-1", "w-1"} {
			// The only affinity of a validation excludes nodes.
			if strings.Contains(fmt.Sprint(object["spec"]), "operator:NotIn values:["+node+"]") {
				continue
			}
			pod, address := fmt.Sprintf("%s-%d", name, i), fmt.Sprintf("10.244.%d.2", i)
			c.mu.Lock()
			c.pods[pod] = address
			c.mu.Unlock()
			status := fmt.Sprintf(`{podIP: %s, phase: Running, conditions: [{type: Ready, status: "True"}]}`, address)
			if node == c.sick {
				status = "{phase: Pending, containerStatuses: [{name: agnhost, state: {waiting: {reason: ErrImagePull}}}]}"
			}
			c.Put(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s, labels: {app.kubernetes.io/name: %s}}, spec: {nodeName: %s}, status: %s}",
				pod, namespace, name, node, status))
			// Another probe has a pod on the node.
			c.Put(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: volume-%d, namespace: %s}, spec: {nodeName: %s}, status: {phase: Pending}}", i, namespace, node))
		}
	default:
		c.createdWorkload(object)
	}
}

// intercept answers requests that go to kubelets and pods, and notes those that
// controllers react to.
func (c *testCluster) intercept(w http.ResponseWriter, r *http.Request) bool {
	if c.interceptWorkload(w, r) {
		return true
	}
	_, after, found := strings.Cut(r.URL.Path, "/pods/")
	pod, action, _ := strings.Cut(after, "/")
	if !found || action == "" {
		return false
	}
	switch action {
	case "log":
		fmt.Fprintln(w, "2026/11/20 12:00:00 Started HTTP server on port 8080")
	case "exec":
		c.exec(w, r)
	case "proxy/dial":
		pod = strings.TrimSuffix(pod, ":8080")
		if c.proxy == nil || !c.proxy(w, pod, r) {
			c.dial(w, r)
		}
	default:
		return false
	}
	return true
}

// dial is agnhost's /dial in a network that works.
func (c *testCluster) dial(w http.ResponseWriter, r *http.Request) {
	host, request := r.FormValue("host"), r.FormValue("request")
	if strings.HasPrefix(host, "no-such-service.") {
		http.Error(w, "host and/or port param are invalid. lookup "+host+" on 10.96.0.10:53: no such host", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	response := "slipway-probe-0"
	if len(c.pods) > 0 {
		response = slices.Min(slices.Collect(maps.Keys(c.pods)))
	}
	for pod, address := range c.pods {
		if address == host {
			response = pod
		}
	}
	c.mu.Unlock()
	if text, ok := strings.CutPrefix(request, "echo?msg="); ok {
		response = text
	}
	fmt.Fprintf(w, `{"responses":[%q]}`, response)
}

// exitCode1 is the status of a command that failed.
const exitCode1 = `{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"1"}]}}`

// exec answers like agnhost connect, agnhost --version, and the commands that
// write and read a file of a volume.
func (c *testCluster) exec(w http.ResponseWriter, r *http.Request) {
	argv := r.URL.Query()["command"]
	command := strings.Join(argv, " ")
	c.mu.Lock()
	c.executed = append(c.executed, command)
	c.mu.Unlock()
	upgrader := gorilla.Upgrader{Subprotocols: []string{remotecommand.StreamProtocolV5Name}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	status, out := `{"status":"Success"}`, "\x01app version 2.63.0\n"
	switch {
	case argv[0] == "sh":
		c.writeFile(r.URL.Path, input(c.t, conn))
		out = "\x01"
	case argv[0] == "cat":
		out = "\x01" + c.readFile(r.URL.Path)
	case strings.Contains(command, "no-such-service"):
		out, status = "\x02DNS: lookup no-such-service: no such host\n", exitCode1
	case strings.Contains(command, "no-answer"):
		out, status = "\x02TIMEOUT\n", exitCode1
	}
	for _, message := range []string{out, "\x03" + status} {
		if err := conn.WriteMessage(gorilla.BinaryMessage, []byte(message)); err != nil {
			c.t.Error(err)
		}
	}
	_ = conn.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, ""), time.Now().Add(time.Second))
}

// namespaces are those of validations that still exist.
func (c *testCluster) namespaces() []string {
	var names []string
	for _, request := range c.Requests() {
		path, _, _ := strings.Cut(strings.TrimPrefix(request, "PATCH "), "?")
		if strings.HasPrefix(path, "/api/v1/namespaces/"+namespacePrefix) && c.Get(path) != nil {
			names = append(names, path)
		}
	}
	return names
}
