package addon_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const (
	one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

	web       = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: kube-system, generation: 1}, spec: {replicas: 1, selector: {matchLabels: {app: web}}}}"
	readyWeb  = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: kube-system, generation: 1}, spec: {replicas: 1, selector: {matchLabels: {app: web}}}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}"
	pool      = "{apiVersion: v1, kind: ConfigMap, metadata: {name: pool, namespace: kube-system}}"
	settings  = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: kube-system}}"
	account   = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: kube-system}}"
	webPath   = "/apis/apps/v1/namespaces/kube-system/deployments/web"
	poolPath  = "/api/v1/namespaces/kube-system/configmaps/pool"
	otherPath = "/api/v1/namespaces/kube-system/configmaps/settings"
)

func objects(t *testing.T, manifests ...string) addon.Objects {
	t.Helper()
	decoded, err := kube.Decode([]byte(strings.Join(manifests, "\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func served(t *testing.T) (*workflowtest.Fixture, *kubetest.Server) {
	t.Helper()
	fixture, server := workflowtest.New(t, one), kubetest.New(t)
	fixture.Serve(server)
	return fixture, server
}

// install is a phase that installs the stages as the set "shop".
func install(stages ...addon.Stage) workflow.Phase {
	return workflow.Phase{Name: "install", Title: "install it", On: workflow.Seed, Do: func(ctx context.Context, s *workflow.Step) error {
		return addon.Install(ctx, s, "shop", stages)
	}}
}

func TestAStageIsReadyBeforeTheNextOneBegins(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	var checks atomic.Int32
	server.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && r.URL.Path == webPath && server.Get(webPath) != nil && checks.Add(1) == 3 {
			if server.Get(poolPath) != nil {
				t.Error("the second stage began before the first one was ready")
			}
			server.Put(readyWeb)
		}
		return false
	})
	fixture.MustApply(install(addon.Stage{Objects: objects(t, web)}, addon.Stage{Objects: objects(t, pool)}))
	want := []string{"created deployment kube-system/web", "created configmap kube-system/pool"}
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestAStageWaitsForWhatItsControllersCreate(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	var checks atomic.Int32
	created := kube.Condition{Name: "driver", Check: func(context.Context, *kube.Client) (bool, string, error) {
		if server.Get(poolPath) != nil {
			t.Error("the second stage began before the driver was created")
		}
		return checks.Add(1) > 2, "no driver", nil
	}}
	fixture.MustApply(install(
		addon.Stage{Objects: objects(t, settings), Also: []kube.Condition{created}}, addon.Stage{Objects: objects(t, pool)}))
	if server.Get(poolPath) == nil || checks.Load() != 3 {
		t.Errorf("after %d checks the second stage is %v", checks.Load(), server.Get(poolPath))
	}
}

func TestAFailureNamesTheObjectAndEndsTheInstallation(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch || r.URL.Path != otherPath {
			return false
		}
		kubetest.Refuse(w, http.StatusUnprocessableEntity, "Invalid", "data: too large")
		return true
	})
	err := fixture.Apply(install(addon.Stage{Objects: objects(t, settings)}, addon.Stage{Objects: objects(t, pool)}))
	if err == nil || !strings.Contains(err.Error(), "apply ConfigMap kube-system/settings: data: too large") {
		t.Errorf("got %v", err)
	}
	if server.Get(poolPath) != nil {
		t.Error("the second stage is installed")
	}
}

func TestFormerObjectsAreDeleted(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	fixture.MustApply(install(addon.Stage{Objects: objects(t, settings, account)}, addon.Stage{Objects: objects(t, pool)}))
	fixture.MustApply(install(addon.Stage{Objects: objects(t, account)}, addon.Stage{Objects: objects(t, pool)}))
	if diff := cmp.Diff([]string{"deleted configmap kube-system/settings"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	if server.Get(otherPath) != nil || server.Get(poolPath) == nil {
		t.Error("another object than the former one is gone")
	}
}

func TestAPlanListsAllStagesAndWaitsForNone(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	fixture.MustPlan(install(addon.Stage{Objects: objects(t, web)}, addon.Stage{Objects: objects(t, pool)}))
	want := []string{"created deployment kube-system/web", "created configmap kube-system/pool"}
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	if server.Get(webPath) != nil || server.Get(poolPath) != nil {
		t.Error("the plan has created an object")
	}
}

func TestAPlanNotesAWebhookThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	fixture, server := served(t)
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch || r.URL.Path != poolPath {
			return false
		}
		kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", `failed calling webhook "pools": connection refused`)
		return true
	})
	fixture.MustPlan(install(addon.Stage{Objects: objects(t, web)}, addon.Stage{Objects: objects(t, pool)}))
	if diff := cmp.Diff([]string{"created deployment kube-system/web"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	notes := fixture.Notes()
	if len(notes) != 1 || !strings.Contains(notes[0], "shop: the plan is incomplete") || !strings.Contains(notes[0], "ConfigMap kube-system/pool") {
		t.Errorf("notes %q", notes)
	}
}

func TestPatches(t *testing.T) {
	t.Parallel()
	const elsewhere = "{apiVersion: v1, kind: ConfigMap, metadata: {name: pool, namespace: elsewhere}}"
	tests := []struct {
		name       string
		patch      config.Patch
		stage      int
		err, hints string
	}{
		{"of an object in a later stage", config.Patch{Kind: "Deployment", Name: "web"}, 1, "", ""},
		{"of one of two objects of that name", config.Patch{Kind: "ConfigMap", Name: "pool", Namespace: "kube-system"}, 0, "", ""},
		{
			"that match several objects",
			config.Patch{Kind: "ConfigMap", Name: "pool"},
			0, "addons: shop: patches[0]: ConfigMap pool matches 2 objects", "ConfigMap pool in elsewhere",
		},
		{
			"that match no object",
			config.Patch{Kind: "DaemonSet", Name: "web"},
			0, "addons: shop: patches[0]: DaemonSet web matches 0 objects", "Deployment web in kube-system",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stages := []addon.Stage{{Objects: objects(t, pool, elsewhere)}, {Objects: objects(t, web)}}
			test.patch.Patch = map[string]any{"metadata": map[string]any{"labels": map[string]any{"patched": "yes"}}}
			err := addon.Patch(config.Addon{Name: "shop", Patches: []config.Patch{test.patch}}, stages)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(workflow.Hint(err), test.hints) {
					t.Errorf("got %v, hint %q", err, workflow.Hint(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			patched := stages[test.stage].Objects[0]
			if patched.GetLabels()["patched"] != "yes" || patched.GetName() != test.patch.Name {
				t.Errorf("got %v", patched)
			}
		})
	}
}

func TestFindNamesTheMissingObject(t *testing.T) {
	t.Parallel()
	if _, err := objects(t, pool).Find("ConfigMap", "settings"); err == nil || !strings.Contains(err.Error(), "ConfigMap settings") {
		t.Errorf("got %v", err)
	}
}
