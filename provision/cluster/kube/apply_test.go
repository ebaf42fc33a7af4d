package kube

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
)

// manifest has a custom resource before its kind, and an object before its
// namespace.
const manifest = `
apiVersion: example.org/v1
kind: Boat
metadata: {name: dinghy, namespace: harbour}
spec: {oars: 2}
---
# nothing here
---
apiVersion: v1
kind: ConfigMap
metadata: {name: charts, namespace: harbour}
data: {north: up}
---
apiVersion: v1
kind: Namespace
metadata: {name: harbour}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: boats, kind: Boat}
  versions: [{name: v1, served: true, storage: true}]
`

func testClient(t *testing.T, server *kubetest.Server) *Client {
	t.Helper()
	client, err := New(server.Kubeconfig(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// dryRunClient returns a client of the same server that changes nothing.
func dryRunClient(t *testing.T, server *kubetest.Server) *Client {
	t.Helper()
	client, err := newClient(server.Kubeconfig(""), nil, Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func actions(changes []Change) []string {
	var lines []string
	for _, c := range changes {
		name := c.Name
		if c.Namespace != "" {
			name = c.Namespace + "/" + name
		}
		lines = append(lines, string(c.Action)+" "+c.Kind+" "+name)
	}
	return lines
}

func TestApplyCreatesNamespacesAndKindsFirstAndIsIdempotent(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client := testClient(t, server)
	// The mapper's cache is filled before the CRD exists.
	if _, err := client.Apply(t.Context(), []byte("{apiVersion: v1, kind: Namespace, metadata: {name: first}}")); err != nil {
		t.Fatal(err)
	}

	changes, err := client.Apply(t.Context(), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"created Namespace harbour", "created CustomResourceDefinition boats.example.org",
		"created Boat harbour/dinghy", "created ConfigMap harbour/charts",
	}
	if diff := cmp.Diff(want, actions(changes)); diff != "" {
		t.Error(diff)
	}

	changes, err = client.Apply(t.Context(), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i] = strings.Replace(want[i], "created", "unchanged", 1)
	}
	if diff := cmp.Diff(want, actions(changes)); diff != "" {
		t.Error(diff)
	}
}

func TestApplyReportsChangesAndRemovesFieldsThatItNoLongerSets(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client := testClient(t, server)
	server.Put("{apiVersion: v1, kind: Namespace, metadata: {name: default}}")
	apply := func(data string) []Change {
		t.Helper()
		changes, err := client.Apply(t.Context(), []byte("{apiVersion: v1, kind: ConfigMap, metadata: {name: charts}, data: "+data+"}"))
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	apply("{north: up, south: down}")
	changes := apply("{north: left}")
	if diff := cmp.Diff([]string{"changed ConfigMap default/charts"}, actions(changes)); diff != "" {
		t.Error(diff)
	}
	got := server.Get("/api/v1/namespaces/default/configmaps/charts")["data"]
	if diff := cmp.Diff(kubetest.Object{"north": "left"}, got); diff != "" {
		t.Error(diff)
	}
	for _, request := range server.Requests() {
		if !strings.Contains(request, "fieldManager=slipway") || !strings.Contains(request, "force=true") {
			t.Errorf("%s is not a forced apply as slipway", request)
		}
	}
}

func TestDryRunChangesNothingAndShowsTheDifference(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client := testClient(t, server)
	dryRun := dryRunClient(t, server)

	changes, err := dryRun.Apply(t.Context(), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"created Namespace harbour", "created CustomResourceDefinition boats.example.org",
		"created Boat harbour/dinghy", "created ConfigMap harbour/charts",
	}
	if diff := cmp.Diff(want, actions(changes)); diff != "" {
		t.Error(diff)
	}
	if server.Get("/api/v1/namespaces/harbour") != nil {
		t.Fatal("a dry run created a namespace")
	}
	for i, object := range []string{"+kind: Namespace", "+kind: CustomResourceDefinition", "+  oars: 2", "+kind: ConfigMap"} {
		if !strings.Contains(changes[i].Unified+"\n", object+"\n") {
			t.Errorf("no %s in\n%s", object, changes[i].Unified)
		}
	}

	if _, err := client.Apply(t.Context(), []byte(manifest)); err != nil {
		t.Fatal(err)
	}
	changes, err = dryRun.Apply(t.Context(), []byte(strings.Replace(manifest, "oars: 2", "oars: 4", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want = []string{
		"unchanged Namespace harbour", "unchanged CustomResourceDefinition boats.example.org",
		"changed Boat harbour/dinghy", "unchanged ConfigMap harbour/charts",
	}
	if diff := cmp.Diff(want, actions(changes)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"spec.oars: 2 -> 4"}, changes[2].Diff); diff != "" {
		t.Error(diff)
	}
	if got := changes[2].Unified; !strings.Contains(got, "\n-  oars: 2\n+  oars: 4") || strings.Contains(got, "resourceVersion") {
		t.Errorf("the diff is\n%s", got)
	}
	if got := changes[0].Unified; got != "" {
		t.Errorf("the diff of an unchanged object is\n%s", got)
	}
	spec := server.Get("/apis/example.org/v1/namespaces/harbour/boats/dinghy")["spec"]
	if diff := cmp.Diff(kubetest.Object{"oars": 2.0}, spec); diff != "" {
		t.Errorf("a dry run changed the boat: %s", diff)
	}
}

// Neither the message nor the diff shows a secret, whatever the kind of the object, but
// both show that it changes.
func TestADryRunHidesSecrets(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client, dryRun := testClient(t, server), dryRunClient(t, server)
	for name, object := range map[string]string{
		"a Secret":                 "{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: kube-system}, stringData: {harmless: %s}}",
		"the data of a Secret":     "{apiVersion: v1, kind: Secret, metadata: {name: other, namespace: kube-system}, data: {harmless: %s}}",
		"a password in a file":     "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: kube-system}, data: {app.conf: \"a = 1\\npassword = %s\\n\"}}",
		"a password":               "{apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: kube-system}, data: {password: %s}}",
		"an environment variable":  "{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: kube-system}, spec: {containers: [{name: a, env: [{name: DB_PASSWORD, value: %s}]}]}}",
		"an argument of a program": "{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: kube-system}, spec: {containers: [{name: a, args: [--token=%s]}]}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := fmt.Sprintf(object, "aHVudGVyMQ=="), fmt.Sprintf(object, "aHVudGVyMg==")
			created, err := dryRun.Apply(t.Context(), []byte(before))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Apply(t.Context(), []byte(before)); err != nil {
				t.Fatal(err)
			}
			changed, err := dryRun.Apply(t.Context(), []byte(after))
			if err != nil {
				t.Fatal(err)
			}
			shown := created[0].Unified + changed[0].Unified + strings.Join(changed[0].Diff, "\n")
			if strings.Contains(shown, "aHVudGVy") || changed[0].Action != Changed || len(changed[0].Diff) != 1 {
				t.Errorf("%s:\n%s", changed[0].Action, shown)
			}
			if strings.Count(changed[0].Unified, "(sensitive value)") != 2 {
				t.Errorf("the diff does not show the change:\n%s", changed[0].Unified)
			}
		})
	}
}

func TestAStatusWrittenMeanwhileIsNoChange(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client := testClient(t, server)
	const namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: harbour}}"
	if _, err := client.Apply(t.Context(), []byte(namespace)); err != nil {
		t.Fatal(err)
	}
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			object := server.Get("/api/v1/namespaces/harbour") // a controller, between Get and Apply
			object["status"] = kubetest.Object{"phase": "Active"}
			server.PutObject(object)
		}
		return false
	})
	changes, err := client.Apply(t.Context(), []byte(namespace))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"unchanged Namespace harbour"}, actions(changes)); diff != "" {
		t.Error(diff)
	}
}

func TestApplyRetriesTransientErrorsOnly(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		code    int
		reason  string
		message string
		retried bool
	}{
		{"etcd elects a leader", 500, "InternalError", "etcdserver: leader changed", true},
		{"a webhook is not up yet", 500, "InternalError", `failed calling webhook "x"`, true},
		{"the API server shuts down", 503, "ServiceUnavailable", "shutting down", true},
		{"the object is wrong", 422, "Invalid", "spec.oars: not a number", false},
		{"the user has no permission", 403, "Forbidden", "forbidden", false},
		{"the server is broken", 500, "InternalError", "nil pointer", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := kubetest.New(t)
			var refused atomic.Bool
			server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPatch || refused.Swap(true) {
					return false
				}
				kubetest.Refuse(w, test.code, test.reason, test.message)
				return true
			})
			changes, err := testClient(t, server).Apply(t.Context(), []byte("{apiVersion: v1, kind: Namespace, metadata: {name: harbour}}"))
			if retried := err == nil && len(changes) == 1; retried != test.retried {
				t.Errorf("retried = %v, want %v; error: %v", retried, test.retried, err)
			}
			if err != nil && !strings.Contains(err.Error(), "apply Namespace harbour: ") {
				t.Errorf("the error does not name the object: %v", err)
			}
		})
	}
}

func TestApplyReportsErrorsInAManifest(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, manifest, want string }{
		{"a duplicate key", "kind: A\nkind: B\n", "document 1: "},
		{"no name", "{apiVersion: v1, kind: ConfigMap, metadata: {}}", "document 1: ConfigMap has no metadata.name"},
		{"no kind in the second document", "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n{apiVersion: v1, metadata: {name: b}}", "document 2: "},
		{"a nameless item of a list", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {}}\n", "item 0: Secret has no metadata.name"},
		{"a kind that nobody serves", "{apiVersion: no.org/v1, kind: Ghost, metadata: {name: a}}", `apply Ghost a: no matches for kind "Ghost"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := testClient(t, kubetest.New(t)).Apply(t.Context(), []byte(test.manifest))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not contain %q", err, test.want)
			}
		})
	}
}

func TestDiffHidesSecrets(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	client := dryRunClient(t, server)
	server.Put("{apiVersion: v1, kind: Namespace, metadata: {name: default}}")
	server.Put("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: default}, data: {key: b2xk}}")
	changes, err := client.Apply(t.Context(),
		[]byte("{apiVersion: v1, kind: Secret, metadata: {name: key, labels: {a.b/c: d}}, data: {key: bmV3}}"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`data.key: (secret) -> (secret)`, `metadata.labels: (none) -> {"a.b/c":"d"}`}
	if diff := cmp.Diff(want, changes[0].Diff); diff != "" {
		t.Error(diff)
	}
}

func TestApplyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch {
			return false
		}
		cancel()
		kubetest.Refuse(w, 503, "ServiceUnavailable", "shutting down")
		return true
	})
	if _, err := testClient(t, server).Apply(ctx, []byte("{apiVersion: v1, kind: Namespace, metadata: {name: a}}")); err == nil {
		t.Error("no error although the context ended")
	}
}
