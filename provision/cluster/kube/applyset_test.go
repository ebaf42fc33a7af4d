package kube

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/kubetest"
)

func objectsOf(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// applied opens a set, applies the objects and prunes.
func applied(t *testing.T, c *Client, name, text string) []string {
	t.Helper()
	set, err := c.OpenApplySet(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var all []Change
	if text != "" {
		changes, err := set.Apply(t.Context(), objectsOf(t, text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, changes...)
	}
	changes, err := set.Prune(t.Context(), WaitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return actions(append(all, changes...))
}

const harbour = `
apiVersion: v1
kind: Namespace
metadata: {name: harbour}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: charts, namespace: harbour}
data: {north: up}
`

const lamp = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: lamp, namespace: harbour}
`

const clusterWide = `
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pilot}
rules: []
`

func TestASetDeletesItsFormerMembersAndNothingElse(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	c := testClient(t, server)
	applied(t, c, "port", harbour+lamp+clusterWide)
	server.Put("{apiVersion: v1, kind: ConfigMap, metadata: {name: foreign, namespace: harbour}}")
	got := applied(t, c, "port", harbour)
	want := []string{
		"unchanged Namespace harbour", "unchanged ConfigMap harbour/charts", "deleted ClusterRole pilot", "deleted ConfigMap harbour/lamp",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if server.Get("/api/v1/namespaces/harbour/configmaps/foreign") == nil {
		t.Error("somebody else's object is gone")
	}
	sets, err := c.ApplySets(t.Context())
	if diff := cmp.Diff([]string{"port"}, sets); err != nil || diff != "" {
		t.Error(err, diff)
	}
	// The whole set: what it knows of kinds has shrunk with it.
	got = applied(t, c, "port", "")
	if diff := cmp.Diff([]string{"deleted ConfigMap harbour/charts", "deleted Namespace harbour"}, got); diff != "" {
		t.Error(diff)
	}
	if sets, err := c.ApplySets(t.Context()); err != nil || sets != nil {
		t.Errorf("left: %q, %v", sets, err)
	}
}

func TestASetNeverDeletesObjectsThatExistedBefore(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put(strings.ReplaceAll(harbour, "north: up", "south: down"))
	c := testClient(t, server)
	applied(t, c, "port", harbour)
	if got := applied(t, c, "port", ""); got != nil {
		t.Errorf("an object that existed before is pruned: %q", got)
	}
	if server.Get("/api/v1/namespaces/harbour/configmaps/charts") == nil {
		t.Error("an object that existed before is gone")
	}
}

func TestASetRefusesTheObjectsOfAnother(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	c := testClient(t, server)
	applied(t, c, "port", harbour)
	set, err := c.OpenApplySet(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	_, err = set.Apply(t.Context(), objectsOf(t, harbour))
	if err == nil || !strings.Contains(err.Error(), "belongs to another apply set") {
		t.Errorf("got %v", err)
	}
}

func TestADryRunOfASetChangesNothing(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	c := testClient(t, server)
	applied(t, c, "port", harbour+lamp)
	before := len(server.Requests())
	got := applied(t, dryRunClient(t, server), "port", harbour+clusterWide)
	want := []string{
		"unchanged Namespace harbour", "unchanged ConfigMap harbour/charts", "created ClusterRole pilot", "deleted ConfigMap harbour/lamp",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, request := range server.Requests()[before:] {
		if !strings.Contains(request, "dryRun=All") {
			t.Errorf("the plan sent %s", request)
		}
	}
	if server.Get("/api/v1/namespaces/harbour/configmaps/lamp") == nil {
		t.Error("the plan has deleted the lamp")
	}
}

// The run after one that was killed between the parent and its members finds all
// of them.
func TestTheParentIsWrittenFirst(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	c := testClient(t, server)
	applied(t, c, "port", harbour)
	requests := server.Requests()
	if len(requests) == 0 || !strings.HasPrefix(requests[0], "PATCH /api/v1/namespaces/kube-system/configmaps/slipway-port?") {
		t.Errorf("the first request is %q", requests)
	}
	parent := server.Get("/api/v1/namespaces/kube-system/configmaps/slipway-port")
	metadata, _ := parent["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations[applySetKinds] != "ConfigMap,Namespace" || annotations[applySetNamespaces] != "harbour" || annotations[applySetTooling] != "slipway/v1" {
		t.Errorf("annotations %v", annotations)
	}
}

func TestCustomResourcesGoBeforeTheirKinds(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	c := testClient(t, server)
	applied(t, c, "port", manifest)
	got := applied(t, c, "port", "")
	want := []string{
		"deleted Boat harbour/dinghy", "deleted ConfigMap harbour/charts",
		"deleted CustomResourceDefinition boats.example.org", "deleted Namespace harbour",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAConfigMapThatIsNotASetIsRefused(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	server.Put("{apiVersion: v1, kind: ConfigMap, metadata: {name: slipway-port, namespace: kube-system}}")
	if _, err := testClient(t, server).OpenApplySet(t.Context(), "port"); err == nil || !strings.Contains(err.Error(), "is not an apply set") {
		t.Errorf("got %v", err)
	}
}
