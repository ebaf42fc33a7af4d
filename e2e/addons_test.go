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

// labAddons are those that can be built from source; the load balancer's
// addresses are of the lab's network, and no machine's.
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

// setAddons writes the section into the lab's inventory.
func (s *scenario) setAddons(t *testing.T, section string) {
	t.Helper()
	content, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(content), "\naddons:\n")
	// The lab writes the bundle behind them.
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
	// Every object is a member of a set, or belongs to what is.
	out, err := s.kubectl(ctx, t, "-n", "kube-system", "get", "configmaps", "-l", "applyset.kubernetes.io/id", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flannel", "local-path", "traefik", "metrics-server", "metallb"} {
		if !strings.Contains(out, "configmap/slipway-"+name+"\n") {
			t.Errorf("there is no set %s:\n%s", name, out)
		}
	}
	// Verification is off nowhere.
	for _, args := range [][]string{
		{"get", "apiservice", "v1beta1.metrics.k8s.io", "-o", "jsonpath={.spec.insecureSkipTLSVerify}"},
		{"-n", "kube-system", "get", "deployment", "metrics-server", "-o", "jsonpath={.spec.template.spec.containers[0].args}"},
	} {
		if out, err := s.kubectl(ctx, t, args...); err != nil || strings.Contains(out, "insecure") || out == "true" {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}

// probe is one of a validation's report.
type probe struct{ Name, Target, Status, Evidence, Error string }

// probes runs some probes, all if none is named.
func (s *scenario) probes(ctx context.Context, t *testing.T, inventory string, args ...string) ([]probe, result) {
	t.Helper()
	r := s.slipway.run(ctx, t, append([]string{"validate", "-o", "json", "--inventory", inventory}, args...)...)
	var report struct{ Probes []probe }
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return report.Probes, r
}

// dataPath are the probes that addons make possible.
var dataPath = []string{"load-balancer", "ingress", "volume", "stateful-set", "rolling-update", "autoscaler"}

func (s *scenario) provesDataPath(ctx context.Context, t *testing.T) {
	found, r := s.probes(ctx, t, s.lab.Inventory)
	s.took("validate with addons", r.took)
	for _, p := range found {
		wanted := "passed"
		if p.Name == "network-policy" { // Flannel enforces none
			wanted = "skipped"
		}
		if p.Status != wanted {
			t.Errorf("%s %s: %s: %s%s", p.Name, p.Target, p.Status, p.Evidence, p.Error)
		}
	}
	for _, name := range dataPath {
		if !slices.ContainsFunc(found, func(p probe) bool { return p.Name == name }) {
			t.Errorf("%s was not run", name)
		}
	}
	for format, want := range map[string]string{"junit": `classname="slipway.validate.load-balancer"`, "html": "requested from localhost"} {
		r := s.slipway.must(ctx, t, s.on("validate", "--only", "load-balancer", "-o", format)...)
		if !strings.Contains(r.stdout, want) {
			t.Errorf("-o %s has no %s:\n%s", format, want, r.stdout)
		}
	}
	// Both ports of both workers, each asked from here.
	for _, target := range []string{"w1 http", "w1 https", "w2 http", "w2 https"} {
		if !slices.ContainsFunc(found, func(p probe) bool {
			return p.Name == "ingress" && p.Target == target && strings.Contains(p.Evidence, "requested from localhost")
		}) {
			t.Errorf("no probe asked %s", target)
		}
	}
}

// breach is something that is broken in the cluster, and how a probe tells it.
type breach struct {
	probe, target string
	// evidence is part of what the failed probe says.
	evidence string
	// breakIt and heal are arguments of kubectl, or with a machine before them
	// a script that runs there. Without heal, apply mends it.
	machine       string
	breakIt, heal []string
}

// mendedByApply are breaches of slipway's own objects.
func mendedByApply() []breach {
	scale := func(namespace, name string) []string {
		return []string{"-n", namespace, "scale", "deployment", name, "--replicas=0"}
	}
	return []breach{
		{probe: "volume", target: "local-path", evidence: "claim volume-local-path is Pending", breakIt: scale("local-path-storage", "local-path-provisioner")},
		{probe: "stateful-set", evidence: "claim data-stateful-0 is Pending", breakIt: []string{"get", "storageclass", "local-path"}},
		{probe: "load-balancer", evidence: "has no address", breakIt: scale("metallb-system", "controller")},
		{probe: "autoscaler", evidence: "metrics", breakIt: scale("kube-system", "metrics-server")},
		{
			probe: "ingress", target: "w1 http", evidence: "connection refused",
			breakIt: []string{"-n", "traefik", "patch", "daemonset", "traefik", "-p", `{"spec":{"template":{"spec":{"nodeSelector":{"nobody":"here"}}}}}`},
		},
	}
}

// others are breaches that slipway's objects do not show.
func others() []breach {
	return []breach{
		{
			probe: "ingress", target: "w1 http", evidence: "deadline exceeded", machine: "w1",
			breakIt: []string{"iptables -t raw -I PREROUTING -p tcp --dport 80 -j DROP"},
			heal:    []string{"iptables -t raw -D PREROUTING -p tcp --dport 80 -j DROP"},
		},
		{
			probe: "rolling-update", evidence: "nodes are available", breakIt: []string{"cordon", "w1", "w2"},
			heal: []string{"uncordon", "w1", "w2"},
		},
		{
			// The nodes that hold volumes are gone for the scheduler.
			probe: "volume", target: "local-path", evidence: "nodes are available",
			breakIt: []string{"get", "nodes"}, heal: []string{"get", "nodes"},
		},
		{
			probe: "stateful-set", evidence: "no default StorageClass",
			breakIt: []string{"annotate", "storageclass", "local-path", "--overwrite", "storageclass.kubernetes.io/is-default-class=false"},
			heal:    []string{"annotate", "storageclass", "local-path", "--overwrite", "storageclass.kubernetes.io/is-default-class=true"},
		},
		{
			probe: "dns", target: "cp1", evidence: "",
			breakIt: []string{"-n", "kube-system", "scale", "deployment", "coredns", "--replicas=0"},
			heal:    []string{"-n", "kube-system", "scale", "deployment", "coredns", "--replicas=2"},
		},
		{
			probe: "pod-to-pod", target: "cp1 -> w1", evidence: "", machine: "w1",
			breakIt: []string{"iptables -t raw -I PREROUTING -p udp --dport 8472 -j DROP"},
			heal:    []string{"iptables -t raw -D PREROUTING -p udp --dport 8472 -j DROP"},
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

// told wants each breach to be told by its probe.
func told(t *testing.T, found []probe, r result, breaches []breach) {
	t.Helper()
	if r.code != 6 {
		t.Errorf("exit code %d: %s", r.code, r)
	}
	for _, b := range breaches {
		i := slices.IndexFunc(found, func(p probe) bool { return p.Name == b.probe && (b.target == "" || p.Target == b.target) })
		if i < 0 {
			t.Errorf("no probe %s %s", b.probe, b.target)
			continue
		}
		if p := found[i]; p.Status != "failed" || !strings.Contains(p.Error, b.evidence) {
			t.Errorf("%s %s: want a failure that says %q, got %s: %s%s", b.probe, b.target, b.evidence, p.Status, p.Evidence, p.Error)
		}
	}
}

func namesOf(breaches []breach) string {
	var names []string
	for _, b := range breaches {
		names = append(names, b.probe)
	}
	return strings.Join(names, ",")
}

// probesSeeFaults breaks things, sees the probes fail, and mends them: what is
// slipway's by apply, after plan has named it.
// What is broken is waited for until the timeout, which therefore is short, but
// must leave time for the test pods to start.
func (s *scenario) probesSeeFaults(ctx context.Context, t *testing.T) {
	ours := mendedByApply()
	for _, b := range ours {
		s.hurt(ctx, t, b.machine, b.breakIt)
	}
	found, r := s.probes(ctx, t, s.lab.Inventory, "--only", namesOf(ours), "--timeout", "40s")
	told(t, found, r, ours)
	s.drift(ctx, t)

	foreign := others()
	for _, b := range foreign {
		s.hurt(ctx, t, b.machine, b.breakIt)
	}
	found, r = s.probes(ctx, t, s.lab.Inventory, "--only", namesOf(foreign), "--timeout", "40s")
	for _, b := range foreign {
		s.hurt(ctx, t, b.machine, b.heal)
	}
	told(t, found, r, foreign)

	s.mustSSH(ctx, t, "w2", "systemctl stop kubelet")
	found, r = s.probes(ctx, t, s.lab.Inventory, "--only", "test-pods", "--timeout", "15s")
	s.mustSSH(ctx, t, "w2", "systemctl start kubelet")
	told(t, found, r, []breach{{probe: "test-pods", target: "w2", evidence: "test pod slipway-probe-"}})

	// An Ingress that names no class gets the default one, which is another.
	s.hurt(ctx, t, "", []string{"annotate", "ingressclass", "traefik", "--overwrite", "ingressclass.kubernetes.io/is-default-class=false"})
	other := s.scratch + "/ingress-class.yaml"
	write(t, other, "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: other\n  annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}\nspec: {controller: example.org/none}\n")
	s.hurt(ctx, t, "", []string{"apply", "-f", other})
	found, r = s.probes(ctx, t, s.lab.Inventory, "--only", "ingress", "--timeout", "30s")
	told(t, found, r, []breach{{probe: "ingress", target: "w2 https", evidence: ""}, {probe: "ingress", target: "w2 http", evidence: "answered 404"}})
	s.hurt(ctx, t, "", []string{"delete", "-f", other})

	// A pod network that does not enforce policies, said to be one that does.
	calico := s.edit(t, "\nkubernetes:\n", "\nnetwork: {cni: {name: calico}}\nkubernetes:\n")
	found, r = s.probes(ctx, t, calico, "--only", "network-policy", "--timeout", "30s")
	told(t, found, r, []breach{{probe: "network-policy", evidence: "but it gets an answer"}})
	// And it cannot be switched to.
	refused := s.slipway.run(ctx, t, "apply", "--inventory", calico)
	if refused.code != 5 || !strings.Contains(refused.stderr, "the cluster's pod network is flannel, the inventory wants calico") {
		t.Errorf("a switch to Calico: %s", refused)
	}

	s.slipway.must(ctx, t, s.on("apply")...)
	found, _ = s.probes(ctx, t, s.lab.Inventory)
	for _, p := range found {
		if p.Status == "failed" {
			t.Errorf("after all is mended: %s %s: %s", p.Name, p.Target, p.Error)
		}
	}
}

// drift is told by plan and repaired by apply.
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
			t.Errorf("%s tells %q", command, changes)
		}
		for _, want := range wanted {
			if !slices.ContainsFunc(changes, func(message string) bool { return strings.HasPrefix(message, want) }) {
				t.Errorf("%s does not tell %q but %q", command, want, changes)
			}
		}
	}
}

// dropped takes an addon out of the inventory: what was its is gone, and
// nothing else. What holds data is not let go.
func (s *scenario) dropped(ctx context.Context, t *testing.T) {
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
	// Somebody's own object, in the addon's namespace and like one of it.
	s.hurt(ctx, t, "", []string{"create", "clusterrole", "traefik-mine", "--verb=get", "--resource=pods"})
	s.settled(ctx, t)
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
		if gone, its := !slices.Contains(after, object), strings.Contains(object, "traefik") && object != "clusterrole/traefik-mine"; gone != its {
			t.Errorf("%s: gone: %v", object, gone)
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

// own installs a chart and manifests of the user's, and the console with the
// test image in the place of its own, which cannot be had here.
func (s *scenario) own(ctx context.Context, t *testing.T) {
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
		t.Errorf("the chart gave %v", config.Data)
	}
	s.get(ctx, t, &config, "-n", "default", "configmap", "plain")
	r := s.slipway.must(ctx, t, s.on("apply", "-o", "json")...)
	nothingChanged(t, s.lab.names(), r)
	s.statuses(ctx, t)
	s.console(ctx, t)
	s.slipway.must(ctx, t, s.on("addon", "disable", "headlamp")...)
	s.setAddons(t, all)
	s.slipway.must(ctx, t, s.on("apply")...)
	if out, err := s.kubectl(ctx, t, "get", "namespaces", "shop", "headlamp", "--ignore-not-found", "-o", "name"); err != nil || out != "" {
		t.Errorf("left of what was dropped: %v, %s", err, out)
	}
}

// headlamp is the console's entry among the addons, with the test image.
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

// statuses wants every addon to be there and ready.
func (s *scenario) statuses(ctx context.Context, t *testing.T) {
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
		t.Errorf("%d addons have a status:\n%s", len(all), r.stdout)
	}
	for _, a := range all {
		if !a.Listed || !a.Installed || !a.Ready || a.Objects == 0 {
			t.Errorf("%+v", a)
		}
	}
}

// console opens the forwarding, asks what is behind it, and ends it.
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
	var told []string
	for len(told) < 2 && lines.Scan() {
		told = append(told, lines.Text())
	}
	if len(told) < 2 || !strings.HasPrefix(told[0], "http://127.0.0.1:") || strings.Count(told[1], ".") != 2 {
		t.Errorf("the console says %q", told)
	} else if response, err := http.Get(told[0] + "/hostname"); err != nil {
		t.Error(err)
	} else {
		body, err := io.ReadAll(response.Body)
		if response.Body.Close(); err != nil || !strings.HasPrefix(string(body), "headlamp-") {
			t.Errorf("%q answers, %v", body, err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it ends by the interrupt
}

// settled waits until what validations made is gone, volumes last.
func (s *scenario) settled(ctx context.Context, t *testing.T) {
	t.Helper()
	eventually(ctx, t, "what validations made is gone", time.Minute, func(ctx context.Context) error {
		out, err := s.kubectl(ctx, t, "get", "namespaces,persistentvolumes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.claimRef.namespace}{"\n"}{end}`)
		if err == nil && strings.Contains(out, "slipway-validate-") {
			err = errors.New(out)
		}
		return err
	})
}

// objects are all that no controller made, but what changes by itself.
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
		t.Fatal("the bundle has no agnhost")
	}
	tag, _, _ := strings.Cut(rest, "\n")
	return fmt.Sprintf("registry.k8s.io/e2e-test-images/agnhost:%s", strings.TrimSpace(tag))
}
