package validate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/report"
)

func TestAHealthyClusterPasses(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	var found report.ValidationReport
	if err := c.run().validate(t.Context(), Options{Selection: Selection{Skip: workloadProbes}}, &found); err != nil {
		t.Fatal(err)
	}
	if !found.OK || found.Skipped != len(workloadProbes)+1 || found.Leftover != "" {
		t.Errorf("ok %v, %d skipped, leftover %q", found.OK, found.Skipped, found.Leftover)
	}
	want := []string{
		"cp-1: passed: Ready, kubelet v1.36.4, InternalIP 192.0.2.1, containerd://2.3.1",
		"w-1: passed: Ready, kubelet v1.36.4, InternalIP 192.0.2.2, containerd://2.3.1",
		"no others: passed: 2 nodes, all in the inventory",
		"kube-apiserver on cp-1: passed: Ready, 2 restarts",
		"kube-controller-manager on cp-1: passed: Ready, 2 restarts",
		"kube-scheduler on cp-1: passed: Ready, 2 restarts",
		"etcd on cp-1: passed: Ready, 2 restarts",
		"kube-proxy: passed: 2 of 2 pods available",
		"flannel: passed: 2 of 2 pods available",
		"coredns: passed: 2 of 2 replicas available",
		"cp-1: passed: leader, votes, term 7, entry 5000 applied",
		"quorum: passed: 1 member, 1 needed, 1 healthy: tolerates no failure, leader cp-1",
		"cp-1: passed: 192.0.2.1:6443 is ready; its certificate is valid for the address until 2027-11-30",
		": skipped: the inventory sets no controlPlane.endpoint",
		"coredns: passed: 2 of 2 replicas ready, on cp-1, w-1",
		"cp-1: passed: slipway-probe-0 at 10.244.0.2",
		"w-1: passed: slipway-probe-1 at 10.244.1.2",
	}
	if diff := cmp.Diff(want, lines(found.Probes)[:len(want)]); diff != "" {
		t.Error(diff)
	}
	if left := c.namespaces(); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheNamespaceIsDeletedAfterAnInterruption(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := c.run()
	c.sick = "w-1" // so that there is something to wait for
	r.progress.say = func(message string) {
		if strings.HasPrefix(message, "test pods: 1 of 2 ready") {
			cancel()
		}
	}
	var found report.ValidationReport
	err := r.validate(ctx, Options{Selection: Selection{Skip: workloadProbes}}, &found)
	if !errors.Is(err, context.Canceled) || found.OK {
		t.Errorf("error %v, ok %v", err, found.OK)
	}
	if left := c.namespaces(); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestNamespacesOfKilledRunsAreDeletedAndNoOthers(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	put := func(name string, age time.Duration, labels string) string {
		c.Put(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, creationTimestamp: %q, labels: %s}}",
			name, time.Now().Add(-age).UTC().Format(time.RFC3339), labels))
		return "/api/v1/namespaces/" + name
	}
	const ours = "{app.kubernetes.io/managed-by: slipway, slipway.io/purpose: validate}"
	left := put("slipway-validate-old", 16*time.Minute, ours)
	kept := []string{
		put("slipway-validate-young", 14*time.Minute, ours), // another run, under way
		put("slipway-validate-foreign", time.Hour, "{}"),
		put("other", time.Hour, ours),
	}
	var found report.ValidationReport
	if err := c.run().validate(t.Context(), Options{Selection: Selection{Only: []string{"logs"}}}, &found); err != nil {
		t.Fatal(err)
	}
	if c.Get(left) != nil {
		t.Error("the namespace of a killed run still exists")
	}
	for _, path := range kept {
		if c.Get(path) == nil {
			t.Errorf("%s is gone", path)
		}
	}
}

func TestProbesOfTheAPINeedNoNamespace(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	var found report.ValidationReport
	if err := c.run().validate(t.Context(), Options{Selection: Selection{Only: []string{"nodes-ready"}}}, &found); err != nil || found.Passed != 3 {
		t.Errorf("%d passed, error %v", found.Passed, err)
	}
	if requests := c.Requests(); requests != nil {
		t.Errorf("written: %v", requests)
	}
}
