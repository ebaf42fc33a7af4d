package validate

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	gorilla "github.com/gorilla/websocket"

	"slipway.io/slipway/provision/cluster/kubetest"
)

// workloads is how the workloads of single probes behave; the zero value works.
type workloads struct {
	// pendingClaims: no claim is bound, and pods with one do not start.
	pendingClaims bool
	// localVolumes: volumes are bound to one node.
	localVolumes bool
	// losesData: a volume is empty when its pod was deleted.
	losesData bool
	// noReplicas: the pods of Deployments do not start; stalePods: one pod keeps
	// its version.
	noReplicas, stalePods bool
	// noMetrics: autoscalers cannot read metrics.
	noMetrics bool
	// noAddress: Services of type LoadBalancer get no address.
	noAddress bool
}

func (w workloads) loadBalancer() kubetest.Object {
	if w.noAddress {
		return kubetest.Object{}
	}
	return kubetest.Object{"loadBalancer": kubetest.Object{"ingress": []any{kubetest.Object{"ip": "192.0.2.100"}}}}
}

// createdWorkload is what controllers do with the workload of a probe.
func (c *testCluster) createdWorkload(object kubetest.Object) {
	metadata := object["metadata"].(kubetest.Object)
	name, namespace := fmt.Sprint(metadata["name"]), fmt.Sprint(metadata["namespace"])
	switch object["kind"] {
	case "Pod":
		node := "w-1"
		if strings.Contains(fmt.Sprint(object["spec"]), "NotIn values:[w-1]") {
			node = "cp-1"
		}
		object["spec"].(kubetest.Object)["nodeName"] = node
		object["status"] = c.podStatus(strings.Contains(fmt.Sprint(object["spec"]), "claimName"))
		c.PutObject(object)
	case "PersistentVolumeClaim":
		c.bind(object)
	case "StatefulSet":
		for i := range 2 {
			c.putReplica(namespace, name, i)
			c.bind(kubetest.Object{
				"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": kubetest.Object{},
				"metadata": kubetest.Object{"name": fmt.Sprintf("data-%s-%d", name, i), "namespace": namespace},
			})
		}
	case "Deployment":
		object["status"] = kubetest.Object{"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
		if c.workloads.noReplicas {
			object["status"] = kubetest.Object{"replicas": 2, "updatedReplicas": 2}
		}
		c.PutObject(object)
	case "HorizontalPodAutoscaler":
		object["status"] = kubetest.Object{"currentMetrics": []any{kubetest.Object{
			"type": "Resource", "resource": kubetest.Object{"name": "memory", "current": kubetest.Object{"averageValue": "5Mi"}},
		}}}
		if c.workloads.noMetrics {
			object["status"] = kubetest.Object{"conditions": []any{kubetest.Object{
				"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics returned",
			}}}
		}
		c.PutObject(object)
	}
}

func (c *testCluster) podStatus(claims bool) kubetest.Object {
	if claims && c.workloads.pendingClaims {
		return kubetest.Object{"phase": "Pending"}
	}
	return kubetest.Object{"phase": "Running", "podIP": "10.244.1.9", "conditions": []any{kubetest.Object{"type": "Ready", "status": "True"}}}
}

// bind gives a claim a volume of its own.
func (c *testCluster) bind(claim kubetest.Object) {
	metadata := claim["metadata"].(kubetest.Object)
	if c.workloads.pendingClaims {
		claim["status"] = kubetest.Object{"phase": "Pending"}
		c.PutObject(claim)
		c.Put(fmt.Sprintf("{apiVersion: v1, kind: Event, metadata: {name: e, namespace: %s}, message: waiting for the provisioner}", metadata["namespace"]))
		return
	}
	volume := fmt.Sprintf("pv-%s", metadata["name"])
	affinity := ""
	if c.workloads.localVolumes {
		affinity = "nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [w-1]}]}]}}"
	}
	c.Put(fmt.Sprintf("{apiVersion: v1, kind: PersistentVolume, metadata: {name: %s}, spec: {%s}}", volume, affinity))
	claim["spec"].(kubetest.Object)["volumeName"] = volume
	claim["status"] = kubetest.Object{"phase": "Bound"}
	c.PutObject(claim)
}

// putReplica creates a pod of a StatefulSet.
func (c *testCluster) putReplica(namespace, set string, i int) {
	pod := fmt.Sprintf("%s-%d", set, i)
	c.PutObject(kubetest.Object{
		"apiVersion": "v1", "kind": "Pod", "metadata": kubetest.Object{"name": pod, "namespace": namespace},
		"spec": kubetest.Object{"nodeName": "w-1", "volumes": []any{kubetest.Object{
			"name": "data", "persistentVolumeClaim": kubetest.Object{"claimName": "data-" + pod},
		}}},
		"status": c.podStatus(true),
	})
}

// interceptWorkload reacts to deleted pods and to new versions of Deployments.
func (c *testCluster) interceptWorkload(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(r.URL.Path, "/")
	name, kind, namespace := parts[len(parts)-1], parts[max(len(parts)-2, 0)], parts[max(len(parts)-3, 0)]
	switch {
	case r.Method == http.MethodDelete && kind == "pods":
		if c.workloads.losesData {
			c.mu.Lock()
			clear(c.files)
			c.mu.Unlock()
		}
		if name == "stateful-0" {
			c.putReplica(namespace, "stateful", 0)
			kubetest.Answer(w, http.StatusOK, kubetest.Object{"apiVersion": "v1", "kind": "Status", "status": "Success"})
			return true
		}
	case r.Method == http.MethodPatch && kind == "deployments":
		text, err := io.ReadAll(r.Body)
		if err != nil {
			c.t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(text))
		c.roll(namespace, name, string(text))
	}
	return false
}

// roll replaces the pods of a Deployment by those of the version in its manifest.
func (c *testCluster) roll(namespace, name, manifest string) {
	version := "v1"
	if strings.Contains(manifest, `"slipway.io/version":"v2"`) {
		version = "v2"
	}
	c.Put(fmt.Sprintf("{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: %s-%s, namespace: %s, labels: {app.kubernetes.io/name: %s}}}",
		name, version, namespace, name))
	for i := range 2 {
		label := version
		if i == 1 && c.workloads.stalePods {
			label = "v1"
		}
		c.Put(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s-%d, namespace: %s, labels: {app.kubernetes.io/name: %s, slipway.io/version: %s}}}`,
			name, i, namespace, name, label))
	}
}

// input is the standard input of a command: what the client sends on channel 0
// until it closes that with a message on channel 255.
func input(t *testing.T, conn *gorilla.Conn) string {
	var text strings.Builder
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			t.Error(err)
			return ""
		}
		switch message[0] {
		case 0:
			text.Write(message[1:])
		case 255:
			return text.String()
		}
	}
}

// claimOf is the claim of the pod that an exec request is for.
func (c *testCluster) claimOf(path string) string {
	pod := c.Get(strings.TrimSuffix(path, "/exec"))
	for _, volume := range pod["spec"].(kubetest.Object)["volumes"].([]any) {
		if claim, ok := volume.(kubetest.Object)["persistentVolumeClaim"].(kubetest.Object); ok {
			return claim["claimName"].(string)
		}
	}
	c.t.Errorf("%s has no claim", path)
	return ""
}

func (c *testCluster) writeFile(path, text string) {
	claim := c.claimOf(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[claim] = text
}

func (c *testCluster) readFile(path string) string {
	claim := c.claimOf(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files[claim]
}
