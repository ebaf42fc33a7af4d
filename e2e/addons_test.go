//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// labAddons are the addons that can be built from source. The addresses of the
// load balancer are in the lab's network and not used by a machine.
func (s *scenario) labAddons() string {
	cp := s.lab.machine("cp1").Address
	network := cp[:strings.LastIndex(cp, ".")]
	return `
addons:
  - name: local-path
  - name: traefik
  - name: metrics-server
  - name: metallb
    addresses: [` + network + ".201-" + network + `.205]
`
}

// setAddons replaces the addons section of the lab's inventory.
func (s *scenario) setAddons(t *testing.T, section string) {
	t.Helper()
	content, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(content), "\naddons:\n")
	// The lab writes the bundle after the addons.
	if _, bundle, found := strings.Cut(rest, "\nartifacts:\n"); found {
		before += "\n\nartifacts:\n" + bundle
	}
	write(t, s.lab.Inventory, strings.TrimRight(before, "\n")+"\n"+section)
}

func (s *scenario) addons(ctx context.Context, t *testing.T) {
	s.setAddons(t, s.labAddons())
	r := s.slipway.must(ctx, t, s.on("apply", "-o", "json")...)
	s.took("apply of four addons", r.took)
	s.nodesReady(ctx, t)
	// Each addon has an ApplySet.
	out, err := s.kubectl(ctx, t, "-n", "kube-system", "get", "configmaps", "-l", "applyset.kubernetes.io/id", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flannel", "local-path", "traefik", "metrics-server", "metallb"} {
		if !strings.Contains(out, "configmap/slipway-"+name+"\n") {
			t.Errorf("ApplySet %s is missing:\n%s", name, out)
		}
	}
	// TLS verification is on everywhere.
	for _, args := range [][]string{
		{"get", "apiservice", "v1beta1.metrics.k8s.io", "-o", "jsonpath={.spec.insecureSkipTLSVerify}"},
		{"-n", "kube-system", "get", "deployment", "metrics-server", "-o", "jsonpath={.spec.template.spec.containers[0].args}"},
	} {
		if out, err := s.kubectl(ctx, t, args...); err != nil || strings.Contains(out, "insecure") || out == "true" {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}

// probe is a probe in the report of a validation.
type probe struct{ Name, Target, Status, Evidence, Error string }

// probes runs slipway validate and returns its probes.
func (s *scenario) probes(ctx context.Context, t *testing.T, inventory string, args ...string) ([]probe, result) {
	t.Helper()
	r := s.slipway.run(ctx, t, append([]string{"validate", "-o", "json", "--inventory", inventory}, args...)...)
	var report struct{ Probes []probe }
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return report.Probes, r
}

// dataPath are the probes that need addons.
var dataPath = []string{"load-balancer", "ingress", "volume", "stateful-set", "rolling-update", "autoscaler"}

func (s *scenario) validatesDataPath(ctx context.Context, t *testing.T) {
	found, r := s.probes(ctx, t, s.lab.Inventory)
	s.took("validate with addons", r.took)
	for _, p := range found {
		wanted := "passed"
		if p.Name == "network-policy" || p.Name == "endpoint" { // Flannel enforces none, and the cluster has no endpoint
			wanted = "skipped"
		}
		if p.Status != wanted {
			t.Errorf("%s %s: %s: %s%s", p.Name, p.Target, p.Status, p.Evidence, p.Error)
		}
	}
	for _, name := range dataPath {
		if !slices.ContainsFunc(found, func(p probe) bool { return p.Name == name }) {
			t.Errorf("%s did not run", name)
		}
	}
	for format, want := range map[string]string{"junit": `classname="slipway.validate.load-balancer"`, "html": "requested from localhost"} {
		r := s.slipway.must(ctx, t, s.on("validate", "--only", "load-balancer", "-o", format)...)
		if !strings.Contains(r.stdout, want) {
			t.Errorf("-o %s has no %s:\n%s", format, want, r.stdout)
		}
	}
	// Both ports of both workers are requested from this computer.
	for _, target := range []string{"w1 http", "w1 https", "w2 http", "w2 https"} {
		if !slices.ContainsFunc(found, func(p probe) bool {
			return p.Name == "ingress" && p.Target == target && strings.Contains(p.Evidence, "requested from localhost")
		}) {
			t.Errorf("no probe requested %s", target)
		}
	}
}

// probeFault is a fault in the cluster, and the probe that fails because of it.
type probeFault struct {
	probe, target string
	// evidence is part of the error of the failed probe.
	evidence string
	// inject and repair are arguments of kubectl or, if machine is set, a script
	// that runs on it. Without repair, apply repairs the fault.
	machine        string
	inject, repair []string
}

// repairedByApply are faults in objects that slipway manages.
func repairedByApply() []probeFault {
	scale := func(namespace, name string) []string {
		return []string{"-n", namespace, "scale", "deployment", name, "--replicas=0"}
	}
	return []probeFault{
		{probe: "volume", target: "local-path", evidence: "claim volume-local-path is Pending", inject: scale("local-path-storage", "local-path-provisioner")},
		{probe: "stateful-set", evidence: "claim data-stateful-0 is Pending", inject: []string{"get", "storageclass", "local-path"}},
		{probe: "load-balancer", evidence: "has no address", inject: scale("metallb-system", "controller")},
		{probe: "autoscaler", evidence: "metrics", inject: scale("kube-system", "metrics-server")},
		{
			probe: "ingress", target: "w1 http", evidence: "connection refused",
			inject: []string{"-n", "traefik", "patch", "daemonset", "traefik", "-p", `{"spec":{"template":{"spec":{"nodeSelector":{"nobody":"here"}}}}}`},
		},
	}
}

// otherFaults are faults outside the objects that slipway manages.
func otherFaults() []probeFault {
	return []probeFault{
		{
			probe: "ingress", target: "w1 http", evidence: "deadline exceeded", machine: "w1",
			inject: []string{"iptables -t raw -I PREROUTING -p tcp --dport 80 -j DROP"},
			repair: []string{"iptables -t raw -D PREROUTING -p tcp --dport 80 -j DROP"},
		},
		{
			probe: "rolling-update", evidence: "nodes are available", inject: []string{"cordon", "w1", "w2"},
			repair: []string{"uncordon", "w1", "w2"},
		},
		{
			// The nodes are still cordoned, so the volume cannot be scheduled.
			probe: "volume", target: "local-path", evidence: "nodes are available",
			inject: []string{"get", "nodes"}, repair: []string{"get", "nodes"},
		},
		{
			probe: "stateful-set", evidence: "no default StorageClass",
			inject: []string{"annotate", "storageclass", "local-path", "--overwrite", "storageclass.kubernetes.io/is-default-class=false"},
			repair: []string{"annotate", "storageclass", "local-path", "--overwrite", "storageclass.kubernetes.io/is-default-class=true"},
		},
		{
			probe: "dns", target: "cp1", evidence: "",
			inject: []string{"-n", "kube-system", "scale", "deployment", "coredns", "--replicas=0"},
			repair: []string{"-n", "kube-system", "scale", "deployment", "coredns", "--replicas=2"},
		},
		{
			probe: "pod-to-pod", target: "cp1 -> w1", evidence: "", machine: "w1",
			inject: []string{"iptables -t raw -I PREROUTING -p udp --dport 8472 -j DROP"},
			repair: []string{"iptables -t raw -D PREROUTING -p udp --dport 8472 -j DROP"},
		},
	}
}

func (s *scenario) hurt(ctx context.Context, t *testing.T, machine string, args []string) {
	t.Helper()
	if machine != "" {
		s.mustSSH(ctx, t, machine, args[0])
		return
	}
	if _, err := s.kubectl(ctx, t, args...); err != nil {
		t.Fatal(err)
	}
}

// wantFailures checks that the probe of each fault failed with its evidence.
func wantFailures(t *testing.T, found []probe, r result, faults []probeFault) {
	t.Helper()
	if r.code != 6 {
		t.Errorf("exit code %d: %s", r.code, r)
	}
	for _, b := range faults {
		i := slices.IndexFunc(found, func(p probe) bool { return p.Name == b.probe && (b.target == "" || p.Target == b.target) })
		if i < 0 {
			t.Errorf("probe %s %s is missing", b.probe, b.target)
			continue
		}
		if p := found[i]; p.Status != "failed" || !strings.Contains(p.Error, b.evidence) {
			t.Errorf("%s %s: want failed with %q, got %s: %s%s", b.probe, b.target, b.evidence, p.Status, p.Evidence, p.Error)
		}
	}
}

func probeNames(faults []probeFault) string {
	var names []string
	for _, b := range faults {
		names = append(names, b.probe)
	}
	return strings.Join(names, ",")
}

// probesDetectFaults injects faults, checks that their probes fail, and repairs
// them. Faults in objects that slipway manages are in the plan, and apply repairs them.
// A probe of a broken object waits until the timeout. The timeout is short, but
// long enough for the test pods to start.
func (s *scenario) probesDetectFaults(ctx context.Context, t *testing.T) {
	ours := repairedByApply()
	for _, b := range ours {
		s.hurt(ctx, t, b.machine, b.inject)
	}
	found, r := s.probes(ctx, t, s.lab.Inventory, "--only", probeNames(ours), "--timeout", "40s")
	wantFailures(t, found, r, ours)
	s.drift(ctx, t)

	foreign := otherFaults()
	for _, b := range foreign {
		s.hurt(ctx, t, b.machine, b.inject)
	}
	found, r = s.probes(ctx, t, s.lab.Inventory, "--only", probeNames(foreign), "--timeout", "40s")
	for _, b := range foreign {
		s.hurt(ctx, t, b.machine, b.repair)
	}
	wantFailures(t, found, r, foreign)

	s.mustSSH(ctx, t, "w2", "systemctl stop kubelet")
	found, r = s.probes(ctx, t, s.lab.Inventory, "--only", "test-pods", "--timeout", "15s")
	s.mustSSH(ctx, t, "w2", "systemctl start kubelet")
	wantFailures(t, found, r, []probeFault{{probe: "test-pods", target: "w2", evidence: "test pod slipway-probe-"}})

	// An Ingress without a class gets the default class, which is not traefik.
	s.hurt(ctx, t, "", []string{"annotate", "ingressclass", "traefik", "--overwrite", "ingressclass.kubernetes.io/is-default-class=false"})
	other := s.scratch + "/ingress-class.yaml"
	write(t, other, "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: other\n  annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}\nspec: {controller: example.org/none}\n")
	s.hurt(ctx, t, "", []string{"apply", "-f", other})
	found, r = s.probes(ctx, t, s.lab.Inventory, "--only", "ingress", "--timeout", "30s")
	// Traefik answers 404, or 503 while it still has the route of an earlier
	// validation.
	wantFailures(t, found, r, []probeFault{{probe: "ingress", target: "w2 https", evidence: ""}, {probe: "ingress", target: "w2 http", evidence: "which is not a test pod"}})
	s.hurt(ctx, t, "", []string{"delete", "-f", other})

	// The inventory says calico, but flannel does not enforce network policies.
	calico := s.edit(t, "\nkubernetes:\n", "\nnetwork: {cni: {name: calico}}\nkubernetes:\n")
	found, r = s.probes(ctx, t, calico, "--only", "network-policy", "--timeout", "30s")
	wantFailures(t, found, r, []probeFault{{probe: "network-policy", evidence: "but it gets an answer"}})
	// apply does not switch the pod network.
	refused := s.slipway.run(ctx, t, "apply", "--inventory", calico)
	if refused.code != 5 || !strings.Contains(refused.stderr, "the cluster's pod network is flannel, but the inventory sets calico") {
		t.Errorf("apply with Calico in the inventory: %s", refused)
	}

	s.slipway.must(ctx, t, s.on("apply")...)
	found, _ = s.probes(ctx, t, s.lab.Inventory)
	for _, p := range found {
		if p.Status == "failed" {
			t.Errorf("after all repairs: %s %s: %s", p.Name, p.Target, p.Error)
		}
	}
}

// drift checks that plan and apply report the same changes to drifted objects.
func (s *scenario) drift(ctx context.Context, t *testing.T) {
	t.Helper()
	wanted := []string{
		"changed deployment local-path-storage/local-path-provisioner: spec.replicas: 0 -> 1",
		"changed deployment metallb-system/controller: spec.replicas: 0 -> 1",
		"changed deployment kube-system/metrics-server: spec.replicas: 0 -> 1",
		"changed daemonset traefik/traefik: spec.template.spec.nodeSelector",
	}
	for _, command := range []string{"plan", "apply"} {
		r := s.slipway.must(ctx, t, s.on(command, "-o", "json")...)
		var changes []string
		for _, e := range events(t, r.stdout) {
			if e.Kind == "change" {
				changes = append(changes, e.Message)
			}
		}
		if len(changes) != len(wanted) {
			t.Errorf("%s reports %q", command, changes)
		}
		for _, want := range wanted {
			if !slices.ContainsFunc(changes, func(message string) bool { return strings.HasPrefix(message, want) }) {
				t.Errorf("%s does not report %q but %q", command, want, changes)
			}
		}
	}
}

// removedAddon removes an addon from the inventory. Its objects are deleted, and
// nothing else. An addon whose volumes are in use is not deleted.
func (s *scenario) removedAddon(ctx context.Context, t *testing.T) {
	claim := s.scratch + "/claim.yaml"
	write(t, claim, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: keep, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: keep, namespace: default}
spec:
  containers: [{name: c, image: "`+s.agnhost(t)+`", command: [/agnhost, pause], volumeMounts: [{name: v, mountPath: /v}]}]
  volumes: [{name: v, persistentVolumeClaim: {claimName: keep}}]
`)
	s.hurt(ctx, t, "", []string{"apply", "-f", claim})
	s.hurt(ctx, t, "", []string{"wait", "--for=condition=Ready", "pod/keep", "--timeout=25s"})
	// An object that slipway does not manage, with a name like the addon's.
	s.hurt(ctx, t, "", []string{"create", "clusterrole", "traefik-mine", "--verb=get", "--resource=pods"})
	s.waitForCleanup(ctx, t)
	before := s.objects(ctx, t)

	all := s.labAddons()
	s.setAddons(t, strings.Replace(strings.Replace(all, "  - name: local-path\n", "", 1), "  - name: traefik\n", "", 1))
	refused := s.slipway.run(ctx, t, s.on("apply")...)
	if refused.code == 0 || !strings.Contains(refused.stderr, "it is in use: volume ") || !strings.Contains(refused.stderr, "default/keep") {
		t.Errorf("storage in use: %s", refused)
	}
	s.setAddons(t, strings.Replace(all, "  - name: traefik\n", "", 1))
	s.slipway.must(ctx, t, s.on("apply")...)
	after := s.objects(ctx, t)
	for _, object := range before {
		if gone, ofAddon := !slices.Contains(after, object), strings.Contains(object, "traefik") && object != "clusterrole/traefik-mine"; gone != ofAddon {
			t.Errorf("%s: deleted: %v", object, gone)
		}
	}
	for _, object := range after {
		if !slices.Contains(before, object) {
			t.Errorf("%s is new", object)
		}
	}
	s.setAddons(t, all)
	s.hurt(ctx, t, "", []string{"delete", "-f", claim, "--wait=true", "--timeout=25s"})
	s.slipway.must(ctx, t, s.on("apply")...)
}

// customAddon installs a chart and manifests of the user, and the console. The
// test image replaces the console's image, which cannot be pulled here.
func (s *scenario) customAddon(ctx context.Context, t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"chart/Chart.yaml":            "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
		"chart/values.yaml":           "goods: none\n",
		"chart/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {goods: {{ .Values.goods }}, version: {{ .Capabilities.KubeVersion.Version }}}\n",
		"manifests/a.yaml":            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: default}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), content)
	}
	all := s.labAddons()
	t.Cleanup(func() { s.setAddons(t, all) })
	s.setAddons(t, all+`  - name: shop
    chart: {path: "`+dir+`/chart", values: {goods: apples}}
    manifests: [{path: "`+dir+`/manifests"}]
`+s.headlamp(t))
	s.slipway.must(ctx, t, s.on("apply")...)
	var config struct{ Data map[string]string }
	s.get(ctx, t, &config, "-n", "shop", "configmap", "shop")
	if config.Data["goods"] != "apples" || config.Data["version"] != s.version(t) {
		t.Errorf("the chart rendered %v", config.Data)
	}
	s.get(ctx, t, &config, "-n", "default", "configmap", "plain")
	r := s.slipway.must(ctx, t, s.on("apply", "-o", "json")...)
	nothingChanged(t, s.lab.names(), r)
	s.addonStatuses(ctx, t)
	s.console(ctx, t)
	s.slipway.must(ctx, t, s.on("addon", "disable", "headlamp")...)
	s.setAddons(t, all)
	s.slipway.must(ctx, t, s.on("apply")...)
	if out, err := s.kubectl(ctx, t, "get", "namespaces", "shop", "headlamp", "--ignore-not-found", "-o", "name"); err != nil || out != "" {
		t.Errorf("namespaces of removed addons: %v, %s", err, out)
	}
}

// headlamp is the addon entry of the console, with the test image.
func (s *scenario) headlamp(t *testing.T) string {
	t.Helper()
	return `  - name: headlamp
    patches:
      - kind: Deployment
        name: headlamp
        patch: {spec: {template: {spec: {containers: [{name: headlamp, image: "` + s.agnhost(t) + `",
          command: [/agnhost, netexec, --http-port=4466, --udp-port=-1], ports: [{name: http, containerPort: 4466}],
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}}}
`
}

// addonStatuses checks that every addon is listed, installed and ready.
func (s *scenario) addonStatuses(ctx context.Context, t *testing.T) {
	t.Helper()
	r := s.slipway.must(ctx, t, s.on("addon", "status", "-o", "json")...)
	var all []struct {
		Name                     string
		Listed, Installed, Ready bool
		Objects                  int
	}
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if len(all) != 7 {
		t.Errorf("status lists %d addons, want 7:\n%s", len(all), r.stdout)
	}
	for _, a := range all {
		if !a.Listed || !a.Installed || !a.Ready || a.Objects == 0 {
			t.Errorf("%+v", a)
		}
	}
}

// console runs slipway console, sends a request to its URL, and interrupts it.
func (s *scenario) console(ctx context.Context, t *testing.T) {
	t.Helper()
	cmd := s.slipway.command(ctx, s.on("console")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var printed []string
	for len(printed) < 2 && lines.Scan() {
		printed = append(printed, lines.Text())
	}
	if len(printed) < 2 || !strings.HasPrefix(printed[0], "http://127.0.0.1:") || strings.Count(printed[1], ".") != 2 {
		t.Errorf("the console prints %q", printed)
	} else if response, err := http.Get(printed[0] + "/hostname"); err != nil {
		t.Error(err)
	} else {
		body, err := io.ReadAll(response.Body)
		if response.Body.Close(); err != nil || !strings.HasPrefix(string(body), "headlamp-") {
			t.Errorf("got response %q, %v", body, err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // the interrupt ended it
}

// waitForCleanup waits until the namespaces and volumes of validations are deleted.
func (s *scenario) waitForCleanup(ctx context.Context, t *testing.T) {
	t.Helper()
	eventually(ctx, t, "the objects of validations are deleted", time.Minute, func(ctx context.Context) error {
		out, err := s.kubectl(ctx, t, "get", "namespaces,persistentvolumes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.claimRef.namespace}{"\n"}{end}`)
		if err == nil && strings.Contains(out, "slipway-validate-") {
			err = errors.New(out)
		}
		return err
	})
}

// objects lists all objects except those that controllers create or change.
func (s *scenario) objects(ctx context.Context, t *testing.T) []string {
	t.Helper()
	out, err := s.kubectl(ctx, t, "get", "-A", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{"\n"}{end}`,
		"namespaces,serviceaccounts,configmaps,secrets,services,deployments,daemonsets,roles,rolebindings,clusterroles,clusterrolebindings,"+
			"storageclasses,ingressclasses,customresourcedefinitions,validatingwebhookconfigurations,apiservices,persistentvolumes,persistentvolumeclaims,"+
			"ipaddresspools,l2advertisements")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(out) {
		all = append(all, strings.ToLower(strings.ReplaceAll(strings.TrimSpace(line), "//", "/")))
	}
	return all
}

// agnhost is the test image of the bundle.
func (s *scenario) agnhost(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(s.bundle + "/bundle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "registry.k8s.io/e2e-test-images/agnhost:")
	if !found {
		t.Fatal("agnhost is not in the bundle")
	}
	tag, _, _ := strings.Cut(rest, "\n")
	return fmt.Sprintf("registry.k8s.io/e2e-test-images/agnhost:%s", strings.TrimSpace(tag))
}
