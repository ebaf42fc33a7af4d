package addons

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const three = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
  - {name: w-2, address: 192.0.2.22}
`

// published are reduced manifests of the projects, with the parts that are edited.
var published = map[[2]string]string{
	{"metallb", "metallb-native.yaml"}: `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bgppeers.metallb.io}
spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {caBundle: AA==, service: {name: s, namespace: n}}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: metallb-system}
spec: {selector: {}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: metallb-webhook-configuration}
webhooks: [{name: a.metallb.io, clientConfig: {caBundle: AA==}}]
`,
	{"ingress-nginx", "deploy.yaml"}: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress-nginx-controller, namespace: ingress-nginx}
spec:
  strategy: {type: RollingUpdate}
  template:
    spec:
      containers:
        - {name: controller, image: "registry.k8s.io/x:v1@sha256:aa", ports: [{name: http, containerPort: 80}, {name: https, containerPort: 443}, {name: webhook, containerPort: 8443}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
`,
	{"longhorn", "longhorn.yaml"}: `
apiVersion: v1
kind: ConfigMap
metadata: {name: longhorn-default-setting, namespace: longhorn-system}
data: {default-setting.yaml: "priority-class: x"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: longhorn-storageclass, namespace: longhorn-system}
data:
  storageclass.yaml: |
    metadata:
      annotations:
        storageclass.kubernetes.io/is-default-class: "true"
    parameters:
      numberOfReplicas: "3"
`,
	{"gateway-api", "standard-install.yaml"}: "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}}",
}

func newBundle(t *testing.T) *bundle.Bundle {
	t.Helper()
	w, err := bundle.NewWriter(filepath.Join(t.TempDir(), "bundle"), "v1.36.4", bundle.OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	for key, text := range published {
		if err := w.AddManifest(t.Context(), bundle.AddonFile{Addon: key[0], Name: key[1], Version: "v1.0.0"}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stagesOf are those of an addon as its phase would apply them.
func stagesOf(t *testing.T, inventory, name string) []addon.Stage {
	t.Helper()
	fixture := workflowtest.New(t, three+inventory)
	fixture.Bundle = newBundle(t)
	fixture.Serve(kubetest.New(t))
	a, ok := fixture.Cluster.Addon(name)
	if !ok {
		t.Fatalf("the inventory has no %s", name)
	}
	var stages []addon.Stage
	i := slices.IndexFunc(definitions(), func(d definition) bool { return d.name == name })
	fixture.MustApply(workflow.Phase{Name: "stages", On: workflow.Seed, Do: func(ctx context.Context, s *workflow.Step) (err error) {
		if i >= 0 {
			stages, err = definitions()[i].stages(ctx, s, a)
		} else {
			stages, err = customStages(ctx, s, a)
		}
		if err != nil {
			return err
		}
		return addon.Patch(a, stages)
	}})
	return stages
}

func at(t *testing.T, stages []addon.Stage, stage int, kind, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := stages[stage].Objects.Find(kind, name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func text(o *unstructured.Unstructured, fields ...string) string {
	s, _, _ := unstructured.NestedString(o.Object, fields...)
	return s
}

func TestTheFirstOfEachKindIsTheDefault(t *testing.T) {
	t.Parallel()
	const both = "addons: [{name: local-path}, {name: traefik}, {name: longhorn}]\n"
	class := at(t, stagesOf(t, both, "local-path"), 0, "StorageClass", "local-path")
	if class.GetAnnotations()["storageclass.kubernetes.io/is-default-class"] != "true" {
		t.Errorf("got %v", class.GetAnnotations())
	}
	ingress := at(t, stagesOf(t, both, "traefik"), 0, "IngressClass", "traefik")
	if ingress.GetAnnotations()["ingressclass.kubernetes.io/is-default-class"] != "true" {
		t.Errorf("got %v", ingress.GetAnnotations())
	}
	other := "addons: [{name: local-path}, {name: longhorn, default: true}]\n"
	class = at(t, stagesOf(t, other, "local-path"), 0, "StorageClass", "local-path")
	if class.GetAnnotations()["storageclass.kubernetes.io/is-default-class"] != "false" {
		t.Errorf("got %v", class.GetAnnotations())
	}
}

func TestLonghornHasAsManyReplicasAsNodes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ inventory, copies, class string }{
		"by their number": {"addons: [{name: longhorn}]\n", `"2"`, `"true"`},
		"by hand":         {"addons: [{name: local-path}, {name: longhorn, replicas: 1, path: /data}]\n", `"1"`, `"false"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stages := stagesOf(t, test.inventory, "longhorn")
			class := text(at(t, stages, 0, "ConfigMap", "longhorn-storageclass"), "data", "storageclass.yaml")
			if !strings.Contains(class, "numberOfReplicas: "+test.copies) || !strings.Contains(class, "is-default-class: "+test.class) {
				t.Errorf("got %s", class)
			}
			settings := text(at(t, stages, 0, "ConfigMap", "longhorn-default-setting"), "data", "default-setting.yaml")
			if !strings.Contains(settings, "default-replica-count") || strings.Contains(settings, `default-data-path: "/data"`) != (test.copies == `"1"`) {
				t.Errorf("got %s", settings)
			}
		})
	}
}

func TestMetalLBKeepsItsOwnCABundle(t *testing.T) {
	t.Parallel()
	stages := stagesOf(t, "addons: [{name: metallb, addresses: [192.0.2.240/30, 192.0.2.9]}]\n", "metallb")
	crd := at(t, stages, 0, "CustomResourceDefinition", "bgppeers.metallb.io")
	if text(crd, "spec", "conversion", "webhook", "clientConfig", "caBundle") != "" {
		t.Error("the CRD's caBundle is applied")
	}
	hooks, _, _ := unstructured.NestedSlice(at(t, stages, 0, "ValidatingWebhookConfiguration", "metallb-webhook-configuration").Object, "webhooks")
	if client := hooks[0].(map[string]any)["clientConfig"].(map[string]any); client["caBundle"] != nil {
		t.Error("the webhook's caBundle is applied")
	}
	// Apply detects that it was scaled down.
	if n, _, _ := unstructured.NestedInt64(at(t, stages, 0, "Deployment", "controller").Object, "spec", "replicas"); n != 1 {
		t.Errorf("replicas %d", n)
	}
	pool, _, _ := unstructured.NestedStringSlice(at(t, stages, 1, "IPAddressPool", "slipway").Object, "spec", "addresses")
	if want := []string{"192.0.2.240-192.0.2.243", "192.0.2.9-192.0.2.9"}; !slices.Equal(pool, want) {
		t.Errorf("pool %q", pool)
	}
}

func TestIngressNginxListensOnTheNodesPorts(t *testing.T) {
	t.Parallel()
	stages := stagesOf(t, "addons: [{name: ingress-nginx, controlPlanes: true}]\n", "ingress-nginx")
	set := at(t, stages, 0, "DaemonSet", "ingress-nginx-controller")
	containers, _, _ := unstructured.NestedSlice(set.Object, "spec", "template", "spec", "containers")
	container := containers[0].(map[string]any)
	if container["image"] != "registry.k8s.io/x:v1" {
		t.Errorf("image %v", container["image"])
	}
	for i, want := range []any{int64(80), int64(443), nil} {
		if got := container["ports"].([]any)[i].(map[string]any)["hostPort"]; got != want {
			t.Errorf("port %d: hostPort %v, want %v", i, got, want)
		}
	}
	if tolerations, _, _ := unstructured.NestedSlice(set.Object, "spec", "template", "spec", "tolerations"); len(tolerations) != 1 {
		t.Errorf("tolerations %v", tolerations)
	}
	if strategy, found, _ := unstructured.NestedMap(set.Object, "spec", "strategy"); found {
		t.Errorf("a DaemonSet has no strategy: %v", strategy)
	}
}

func TestPatchesOfTheInventoryAreMerged(t *testing.T) {
	t.Parallel()
	stages := stagesOf(t, `
addons:
  - name: traefik
    patches: [{kind: DaemonSet, name: traefik, patch: {spec: {template: {spec: {priorityClassName: null, hostNetwork: true}}}}}]
`, "traefik")
	spec, _, _ := unstructured.NestedMap(at(t, stages, 0, "DaemonSet", "traefik").Object, "spec", "template", "spec")
	if spec["hostNetwork"] != true || spec["priorityClassName"] != nil || spec["serviceAccountName"] != "traefik" {
		t.Errorf("got %v", spec)
	}
}

func TestAPatchThatMatchesNothingNamesTheObjects(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three+"addons: [{name: traefik, patches: [{kind: Deployment, name: traefik, patch: {a: b}}]}]\n")
	fixture.Bundle = newBundle(t)
	fixture.Serve(kubetest.New(t))
	err := fixture.Plan(traefik().phase())
	if err == nil || !strings.Contains(err.Error(), "patches[0]: Deployment traefik matches 0 objects") ||
		!strings.Contains(workflow.Hint(err), "DaemonSet traefik in traefik") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestEveryAddonOfTheInventoryHasAPhaseAndACatalogueEntry(t *testing.T) {
	t.Parallel()
	catalogue, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range definitions() {
		names = append(names, d.name)
		if _, err := catalogue.Addon(d.name); err != nil {
			t.Error(err)
		}
	}
	if want := config.KnownAddons(); !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestCustomManifestsGoIntoTheirNamespace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.yaml":    "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}",
		"a.yml":     "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: elsewhere}}",
		"notes.txt": "not: a manifest",
		"c.json":    `{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "c"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stages := stagesOf(t, "addons: [{name: shop, namespace: square, manifests: [{path: "+dir+"}]}]\n", "shop")
	var got []string
	for _, o := range stages[0].Objects {
		got = append(got, o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName())
	}
	want := []string{"Namespace /square", "ConfigMap elsewhere/a", "ConfigMap square/b", "ClusterRole /c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnlistedAddonsAreRemovedAndPodNetworksAreNot(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	fixture := workflowtest.New(t, three)
	fixture.Serve(server)
	fixture.Facts("cp-1").Existing = []facts.Path{kube.AdminConf}
	conf := server.Kubeconfig("")
	client, err := kube.New(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flannel", "shop"} {
		set, err := client.OpenApplySet(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := kube.Decode([]byte("{apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + ", namespace: kube-system}}"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.Apply(t.Context(), objects); err != nil {
			t.Fatal(err)
		}
	}
	fixture.MustPlan(Removed())
	if got := fixture.Changes(); !slices.Equal(got, []string{"deleted configmap kube-system/shop"}) {
		t.Errorf("the plan lists %q", got)
	}
	fixture.MustApply(Removed())
	if server.Get("/api/v1/namespaces/kube-system/configmaps/shop") != nil {
		t.Error("the unlisted addon still exists")
	}
	if server.Get("/api/v1/namespaces/kube-system/configmaps/flannel") == nil {
		t.Error("the pod network is gone")
	}
	fixture.MustApply(Removed())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("a second run changes %q", got)
	}
}
