package kube

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/cluster/kubetest"
)

const waiting = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: square, generation: 1}
spec: {replicas: 2, selector: {matchLabels: {app: shop}}}
status: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 0}
---
apiVersion: v1
kind: Pod
metadata: {name: shop-1, namespace: square, labels: {app: shop}}
spec: {nodeName: w-1}
status:
  phase: Pending
  containerStatuses:
    - {name: shop, image: "registry.example/shop:1", state: {waiting: {reason: ImagePullBackOff, message: "Back-off pulling image"}}}
---
apiVersion: v1
kind: Pod
metadata: {name: shop-2, namespace: square, labels: {app: shop}}
spec: {nodeName: w-2}
status:
  phase: Running
  containerStatuses:
    - name: shop
      image: registry.example/shop:1
      state: {waiting: {reason: CrashLoopBackOff, message: back-off 40s}}
      lastState: {terminated: {exitCode: 1, message: "starting\nno such flag: --fast\n"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: goods, namespace: square}
`

func TestReadyNamesPodsAndImages(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put("{apiVersion: v1, kind: Namespace, metadata: {name: square}}")
	server.Put(waiting)
	c := testClient(t, server)
	all := objectsOf(t, waiting)
	look := Ready("shop", append(all[:1:1], all[3]))
	done, seen, err := look.Check(t.Context(), c)
	if done || err != nil {
		t.Fatalf("%v, %v", done, err)
	}
	for _, want := range []string{
		"Deployment square/shop: 0 of 2 replicas available",
		"shop-1 on w-1: shop: ImagePullBackOff of registry.example/shop:1: Back-off pulling image",
		"shop-2 on w-2: shop: CrashLoopBackOff: no such flag: --fast",
	} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q does not say %q", seen, want)
		}
	}
	if strings.Contains(seen, "ConfigMap") {
		t.Errorf("it waits for a ConfigMap: %q", seen)
	}
	server.Put(strings.ReplaceAll(strings.Split(waiting, "---")[0], "availableReplicas: 0", "availableReplicas: 2"))
	if done, seen, err := look.Check(t.Context(), c); !done || err != nil {
		t.Errorf("%v, %q, %v", done, seen, err)
	}
}

func TestReadyOfObjectsThatDoNotExist(t *testing.T) {
	t.Parallel()
	c := testClient(t, kubetest.New(t))
	done, seen, err := Ready("shop", objectsOf(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: kube-system}}\n---\n{apiVersion: example.org/v1, kind: Boat, metadata: {name: b}}")).Check(t.Context(), c)
	if done || err != nil || !strings.Contains(seen, "ConfigMap kube-system/a: does not exist") || !strings.Contains(seen, "Boat b: the cluster does not serve its kind") {
		t.Errorf("%v, %q, %v", done, seen, err)
	}
}
