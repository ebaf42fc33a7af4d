//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster"
)

// allChanges makes the test apply each edit on its own, which takes long.
var allChanges = os.Getenv("SLIPWAY_E2E_CHANGES") == "all"

// fieldEdit is an edit of one field of docs/changes.md.
type fieldEdit struct {
	edit func(inventory map[string]any)
	// invalid: the loader refuses the edited inventory. refused: preflight does, although
	// other edits of the field are applied.
	invalid, refused bool
	// says is a part of the refusal or of the reported difference. Default: the field.
	says string
	// changes: a plan of the applied edit lists changes.
	changes bool
	// effect fails the test unless the applied edit had its effect.
	effect func(context.Context, *testing.T, *scenario)
	// together: the short form of the test applies this edit, with others.
	together bool
}

// set returns an edit that sets a field at a path of mappings.
func set(value any, path ...string) func(map[string]any) {
	return func(inventory map[string]any) { setIn(inventory, value, path...) }
}

func setIn(at map[string]any, value any, path ...string) {
	for _, name := range path[:len(path)-1] {
		inner, ok := at[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			at[name] = inner
		}
		at = inner
	}
	at[path[len(path)-1]] = value
}

// item returns an entry of a list by its name.
func item(inventory map[string]any, list, name string) map[string]any {
	for _, each := range inventory[list].([]any) {
		if found := each.(map[string]any); found["name"] == name {
			return found
		}
	}
	panic(list + " has no " + name)
}

// ofHost and ofAddon return edits of one host, and of one addon.
func ofHost(name string, value any, path ...string) func(map[string]any) {
	return func(inventory map[string]any) { setIn(item(inventory, "hosts", name), value, path...) }
}

func ofAddon(name string, value any, path ...string) func(map[string]any) {
	return func(inventory map[string]any) { setIn(item(inventory, "addons", name), value, path...) }
}

type object = map[string]any

// kubectlSays checks the output of kubectl.
func kubectlSays(want string, args ...string) func(context.Context, *testing.T, *scenario) {
	return func(ctx context.Context, t *testing.T, s *scenario) {
		t.Helper()
		if out, err := s.kubectl(ctx, t, args...); err != nil || !strings.Contains(out, want) {
			t.Errorf("kubectl %s: %v, %s; want %s", strings.Join(args, " "), err, out, want)
		}
	}
}

// machineSays checks the output of a command on a machine.
func machineSays(want, machine, script string) func(context.Context, *testing.T, *scenario) {
	return func(ctx context.Context, t *testing.T, s *scenario) {
		t.Helper()
		if out := s.mustSSH(ctx, t, machine, script); !strings.Contains(out, want) {
			t.Errorf("%s on %s: %s; want %s", script, machine, out, want)
		}
	}
}

// extra is a custom addon with everything that rows of the table edit.
func (s *scenario) extra(t *testing.T) (addon object, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range map[string]string{
		"chart/Chart.yaml":            "apiVersion: v2\nname: extra\nversion: 1.0.0\n",
		"chart/values.yaml":           "goods: none\n",
		"chart/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chart}\ndata: {goods: {{ .Values.goods }}}\n",
		"one.yaml":                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: default}\ndata: {from: one}\n",
		"two.yaml":                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: default}\ndata: {from: two}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, content)
	}
	if err := os.CopyFS(filepath.Join(dir, "other"), os.DirFS(filepath.Join(dir, "chart"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "other/values.yaml"), "goods: other\n")
	return object{
		"name": "extra", "namespace": "extra",
		"chart":     object{"path": dir + "/chart"},
		"manifests": []any{object{"path": dir + "/one.yaml"}},
		"patches":   []any{object{"kind": "ConfigMap", "name": "plain", "patch": object{"data": object{"patched": "yes"}}}},
	}, dir
}

// fieldEdits are the edits, by field. Rows that need a server or another inventory
// than the lab's are in untried.
func (s *scenario) fieldEdits(t *testing.T, dir string) map[string]fieldEdit {
	t.Helper()
	plain := func(want string) func(context.Context, *testing.T, *scenario) {
		return kubectlSays(want, "get", "configmap", "plain", "-o", "jsonpath={.data}")
	}
	chart := func(want string) func(context.Context, *testing.T, *scenario) {
		return kubectlSays(want, "-n", "extra", "get", "configmap", "chart", "-o", "jsonpath={.data}")
	}
	key, known := filepath.Join(dir, "key"), filepath.Join(dir, "known")
	link(t, filepath.Join(s.lab.dir(), "id_ed25519"), key)
	link(t, filepath.Join(s.lab.dir(), "known_hosts"), known)
	link(t, s.bundle, filepath.Join(dir, "bundle"))
	taint := func(effect, value string) func(map[string]any) {
		return ofHost("w2", []any{object{"key": "example.com/e2e", "value": value, "effect": effect}}, "taints")
	}
	taints := func(want string) func(context.Context, *testing.T, *scenario) {
		return kubectlSays(want, "get", "node", "w2", "-o", "jsonpath={.spec.taints}")
	}
	mirrors := func(mirror object) func(map[string]any) { return set([]any{mirror}, "containerd", "mirrors") }
	mirror := object{"registry": "example.com", "endpoints": []any{"https://mirror.example"}}
	cp, w2 := s.lab.machine("cp1").Address, s.lab.machine("w2").Address
	pool := cp[:strings.LastIndex(cp, ".")]
	driver := "cgroupfs"
	if content, err := os.ReadFile(s.lab.Inventory); err == nil && strings.Contains(string(content), "cgroupDriver: cgroupfs") {
		driver = "systemd"
	}
	return map[string]fieldEdit{
		"apiVersion":         {edit: set("slipway.io/v2", "apiVersion"), invalid: true},
		"kind":               {edit: set("Clusters", "kind"), invalid: true},
		"metadata.name":      {edit: set("renamed", "metadata", "name")},
		"kubernetes.version": {edit: set("v1.35.8", "kubernetes", "version"), refused: true, says: "downgrade"},
		"kubernetes.clusterConfiguration": {
			edit:    set(object{"apiServer": object{"extraArgs": []any{object{"name": "profiling", "value": "false"}}}}, "kubernetes", "clusterConfiguration"),
			changes: true, together: true,
			effect: machineSays("--profiling=false", "cp1", `tr '\0' ' ' </proc/$(pgrep -xo kube-apiserver)/cmdline`),
		},
		"kubernetes.initConfiguration": {edit: set([]any{"addon/kube-proxy"}, "kubernetes", "initConfiguration", "skipPhases")},
		"kubernetes.joinConfiguration": {edit: set("10m0s", "kubernetes", "joinConfiguration", "timeouts", "tlsBootstrap")},
		"kubernetes.kubeletConfiguration": {
			edit: set(77, "kubernetes", "kubeletConfiguration", "maxPods"), changes: true, together: true,
			effect: kubectlSays("77 77 77", "get", "nodes", "-o", "jsonpath={.items[*].status.capacity.pods}"),
		},
		"kubernetes.kubeProxyConfiguration": {
			edit: set("10s", "kubernetes", "kubeProxyConfiguration", "configSyncPeriod"), changes: true, together: true,
			effect: kubectlSays("slipway.io/configuration", "-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-proxy", "-o", "jsonpath={.items[*].metadata.annotations}"),
		},
		"network.podSubnet":     {edit: set("10.200.0.0/16", "network", "podSubnet")},
		"network.serviceSubnet": {edit: set("10.201.0.0/16", "network", "serviceSubnet")},
		"network.dnsDomain":     {edit: set("c.example", "network", "dnsDomain")},
		"network.cni.name":      {edit: set("none", "network", "cni", "name")},
		"network.cni.backend":   {edit: set("host-gw", "network", "cni", "backend")},
		"network.cni.mtu": {
			edit: set(1300, "network", "cni", "mtu"), changes: true,
			effect: kubectlSays(`"MTU": 1300`, "-n", "kube-flannel", "get", "configmap", "kube-flannel-cfg", "-o", "jsonpath={.data.net-conf\\.json}"),
		},
		"controlPlane.endpoint": {edit: set(cp+":6443", "controlPlane", "endpoint")},
		"controlPlane.certSANs": {
			edit: set([]any{"api.example"}, "controlPlane", "certSANs"), changes: true, together: true,
			effect: kubectlSays("ok", "--tls-server-name=api.example", "get", "--raw", "/readyz"),
		},
		"controlPlane.apiServer.auditPolicyFile": {
			edit:    set(document(t, dir, "audit", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"), "controlPlane", "apiServer", "auditPolicyFile"),
			changes: true, together: true,
			effect: machineSays(`"kind":"Event"`, "cp1", "tail -n 1 /var/log/kubernetes/audit/audit.log"),
		},
		"controlPlane.apiServer.encryptionConfigurationFile": {
			edit:    set(document(t, dir, "encryption", "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{identity: {}}]}]\n"), "controlPlane", "apiServer", "encryptionConfigurationFile"),
			changes: true, effect: machineSays("--encryption-provider-config=", "cp1", `tr '\0' ' ' </proc/$(pgrep -xo kube-apiserver)/cmdline`),
		},
		"controlPlane.apiServer.admissionConfigurationFile": {
			edit:    set(document(t, dir, "admission", "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: []\n"), "controlPlane", "apiServer", "admissionConfigurationFile"),
			changes: true, effect: machineSays("--admission-control-config-file=", "cp1", `tr '\0' ' ' </proc/$(pgrep -xo kube-apiserver)/cmdline`),
		},
		"containerd.cgroupDriver": {edit: set(driver, "containerd", "cgroupDriver")},
		"containerd.config": {
			edit: set("debug", "containerd", "config", "debug", "level"), changes: true, together: true,
			effect: machineSays("debug", "w1", "containerd config dump | grep -A9 '^.debug'; systemctl is-active containerd"),
		},
		"containerd.mirrors[].registry": {edit: mirrors(mirror), changes: true, together: true, effect: machineSays("mirror.example", "w1", "cat /etc/containerd/certs.d/example.com/hosts.toml")},
		"containerd.mirrors[].endpoints": {
			edit: mirrors(object{"registry": "example.com", "endpoints": []any{"https://other.example"}}), changes: true,
			effect: machineSays("other.example", "w1", "cat /etc/containerd/certs.d/example.com/hosts.toml"),
		},
		"containerd.mirrors[].skipVerify": {
			edit: mirrors(object{"registry": "example.com", "endpoints": []any{"https://mirror.example"}, "skipVerify": true}), changes: true,
			effect: machineSays("skip_verify", "w1", "cat /etc/containerd/certs.d/example.com/hosts.toml"),
		},
		"containerd.mirrors[].caFile": {
			edit: mirrors(object{"registry": "example.com", "endpoints": []any{"https://mirror.example"}, "caFile": authority(t, dir)}), changes: true,
			effect: machineSays("/etc/containerd/certs.d/example.com/ca.pem", "w1", "cat /etc/containerd/certs.d/example.com/hosts.toml"),
		},
		"proxy.httpProxy": {
			edit: set(object{"httpProxy": "http://proxy.example:3128"}, "proxy"), changes: true,
			effect: machineSays("HTTPS_PROXY=http://proxy.example:3128", "w1", "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value containerd)/environ; systemctl is-active containerd"),
		},
		"proxy.noProxy": {
			edit: set(object{"httpProxy": "http://proxy.example:3128", "noProxy": []any{".inside.example"}}, "proxy"), changes: true,
			effect: machineSays(".inside.example", "w1", "cat /etc/containerd/proxy.env"),
		},
		"proxy.httpsProxy": {
			edit: set(object{"httpsProxy": "http://other.example:3128"}, "proxy"), changes: true,
			effect: machineSays("HTTPS_PROXY='http://other.example:3128'", "w1", "cat /etc/containerd/proxy.env"),
		},
		"artifacts.registries": {edit: set(object{"registry.k8s.io": "mirror.example/k8s"}, "artifacts", "registries")},
		"artifacts.caFile":     {edit: set(authority(t, dir), "artifacts", "caFile")},
		"ssh.user": {edit: func(i map[string]any) {
			for _, host := range i["hosts"].([]any) {
				setIn(host.(map[string]any), i["ssh"].(map[string]any)["user"], "ssh", "user")
			}
			setIn(i, "nobody", "ssh", "user")
		}},
		"ssh.port":           {edit: set(22, "ssh", "port")},
		"ssh.identityFile":   {edit: set(key, "ssh", "identityFile")},
		"ssh.knownHostsFile": {edit: set(known, "ssh", "knownHostsFile")},
		"ssh.bastion":        {edit: set("none", "ssh", "bastion")},
		"firewall":           {edit: set("leave", "firewall")},
		"hosts[].firewall":   {edit: ofHost("w2", "leave", "firewall")},
		"hosts[].name":       {edit: ofHost("w2", "w9", "name"), says: "its kubelet is node w2 of a cluster"},
		"hosts[].address":    {edit: func(i map[string]any) { e := item(i, "hosts", "w2"); e["nodeIP"] = w2 }},
		"hosts[].roles":      {edit: ofHost("w2", []any{"control-plane"}, "roles"), says: "controlPlane.endpoint"},
		"hosts[].nodeIP":     {edit: ofHost("w2", pool+".250", "nodeIP"), says: pool + ".250"},
		"hosts[].ssh.user": {edit: func(i map[string]any) {
			setIn(item(i, "hosts", "w2"), i["ssh"].(map[string]any)["user"], "ssh", "user")
		}},
		"hosts[].ssh.port":           {edit: ofHost("w2", 22, "ssh", "port")},
		"hosts[].ssh.identityFile":   {edit: ofHost("w2", key, "ssh", "identityFile")},
		"hosts[].ssh.knownHostsFile": {edit: ofHost("w2", known, "ssh", "knownHostsFile")},
		"hosts[].ssh.bastion":        {edit: ofHost("w2", "none", "ssh", "bastion")},
		"hosts[].labels":             {edit: ofHost("w2", object{"example.com/disk": "ssd"}, "labels"), changes: true, together: true, effect: kubectlSays("ssd", "get", "node", "w2", "-o", "jsonpath={.metadata.labels}")},
		"hosts[].taints[].key":       {edit: taint("PreferNoSchedule", "a"), changes: true, together: true, effect: taints(`"example.com/e2e"`)},
		"hosts[].taints[].value":     {edit: taint("PreferNoSchedule", "b"), changes: true, effect: taints(`"b"`)},
		"hosts[].taints[].effect":    {edit: taint("NoSchedule", "a"), changes: true, effect: taints("NoSchedule")},
		"addons[].name":              {edit: func(i map[string]any) { i["addons"] = i["addons"].([]any)[:len(i["addons"].([]any))-1] }, changes: true},
		"addons[].default":           {edit: ofAddon("local-path", false, "default"), changes: true, effect: kubectlSays("false", "get", "storageclass", "local-path", "-o", "jsonpath={.metadata.annotations}")},
		"addons[].controlPlanes":     {edit: ofAddon("traefik", true, "controlPlanes"), changes: true, effect: kubectlSays("control-plane", "-n", "traefik", "get", "daemonset", "traefik", "-o", "jsonpath={.spec.template.spec.tolerations}")},
		"addons[].addresses":         {edit: ofAddon("metallb", []any{pool + ".211-" + pool + ".215"}, "addresses"), changes: true, effect: kubectlSays(pool+".211", "-n", "metallb-system", "get", "ipaddresspools", "-o", "jsonpath={.items[*].spec.addresses}")},
		"addons[].path":              {edit: ofAddon("local-path", "/opt/other", "path"), changes: true, effect: kubectlSays("/opt/other", "-n", "local-path-storage", "get", "configmap", "local-path-config", "-o", "jsonpath={.data}")},
		"addons[].namespace":         {edit: ofAddon("extra", "moved", "namespace"), changes: true, effect: kubectlSays("none", "-n", "moved", "get", "configmap", "chart", "-o", "jsonpath={.data}")},
		"addons[].manifests[].path":  {edit: ofAddon("extra", []any{object{"path": dir + "/two.yaml"}}, "manifests"), changes: true, together: true, effect: plain("two")},
		"addons[].chart.path":        {edit: ofAddon("extra", dir+"/other", "chart", "path"), changes: true, effect: chart("other")},
		"addons[].chart.values":      {edit: ofAddon("extra", object{"goods": "apples"}, "chart", "values"), changes: true, effect: chart("apples")},
		"addons[].patches[].patch":   {edit: ofAddon("extra", []any{object{"kind": "ConfigMap", "name": "plain", "patch": object{"data": object{"patched": "again"}}}}, "patches"), changes: true, effect: plain("again")},
		"addons[].patches[].kind":    {edit: ofAddon("extra", []any{object{"kind": "Secret", "name": "plain", "patch": object{}}}, "patches"), invalid: true, says: "plain"},
		"addons[].patches[].name":    {edit: ofAddon("extra", []any{object{"kind": "ConfigMap", "name": "chart", "patch": object{"data": object{"patched": "chart"}}}}, "patches"), changes: true, effect: chart("patched")},
		"artifacts.bundle":           {edit: set(dir+"/bundle", "artifacts", "bundle")},
		"artifacts.rewrites":         {edit: set(object{"https://dl.k8s.io/": "https://mirror.example/"}, "artifacts", "rewrites")},
		"preflight.ignore[].check":   {edit: set([]any{object{"check": "swap", "reason": "a test"}, object{"check": "duplicate-uuid", "reason": "a lab"}, object{"check": "cgroup-v1", "reason": "a lab"}}, "preflight", "ignore")},
		"controlPlane.bindPort":      {edit: set(6444, "controlPlane", "bindPort")},
		"preflight.expect[].name":    {edit: set([]any{object{"name": "metrics-server"}}, "preflight", "expect")},
		"addons[].patches[].namespace": {
			edit:    ofAddon("extra", []any{object{"kind": "ConfigMap", "name": "plain", "namespace": "default", "patch": object{"data": object{"patched": "here"}}}}, "patches"),
			changes: true, effect: plain("here"),
		},
	}
}

// untried says why the test has no edit of a field.
var untried = map[string]string{
	"containerd.mirrors[].copyCredentials":      "needs a login of Docker on this computer; a unit test writes the files",
	"controlPlane.loadBalancer.type":            "needs a cluster with an endpoint; a unit test compares it",
	"controlPlane.loadBalancer.virtualRouterID": "needs keepalived; a unit test reloads it",
	"etcd.external.endpoints":                   "needs a cluster with external etcd; TestExternalEtcd changes the set of hosts, and unit tests compare the endpoints",
	"etcd.external.caFile":                      "needs a cluster with external etcd",
	"etcd.external.certFile":                    "needs a cluster with external etcd",
	"etcd.external.keyFile":                     "needs a cluster with external etcd",
	"hosts[].state":                             "the long form of TestHA removes hosts",
	"addons[].replicas":                         "the images of Longhorn are not in a bundle built from source; the step on Longhorn reads what apply makes of it",
	"addons[].manifests[].url":                  "the same file by another way; unit tests have a server",
	"addons[].manifests[].sha256":               "belongs to the url",
	"artifacts.catalogue":                       "the lab names a bundle, which needs no catalogue; unit tests create one from a catalogue file",
	"addons[].chart.url":                        "the same file by another way; unit tests have a server",
	"addons[].chart.sha256":                     "belongs to the url",
	"addons[].chart.oci":                        "needs a registry; unit tests have one",
	"addons[].chart.version":                    "belongs to the reference",
	"preflight.ignore[].reason":                 "appears beside the result of the check",
	"preflight.expect[].addresses":              "belongs to the name",
	"backup.schedule":                           "TestBackup has a timer; unit tests add and delete it",
	"backup.directory":                          "belongs to the schedule",
	"backup.retention":                          "belongs to the schedule; a unit test runs the script of the timer",
	"backup.recipients":                         "used by slipway backup create alone; unit tests encrypt to them",
}

// changes edits each field of the inventory of a running cluster: plans show the
// outcome that docs/changes.md says.
func (s *scenario) changes(ctx context.Context, t *testing.T) {
	addon, dir := s.extra(t)
	content, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { write(t, s.lab.Inventory, string(content)) })
	var base map[string]any
	if err := yaml.Unmarshal(content, &base); err != nil {
		t.Fatal(err)
	}
	base["addons"] = append(base["addons"].([]any), addon)
	write(t, s.lab.Inventory, marshal(t, base))
	s.slipway.must(ctx, t, s.on("apply")...)

	all := s.fieldEdits(t, dir)
	t.Run("plans", func(t *testing.T) {
		for _, c := range cluster.FieldChanges() {
			e, tried := all[c.Field]
			if !tried {
				if untried[c.Field] == "" {
					t.Errorf("%s has no edit", c.Field)
				}
				continue
			}
			t.Run(c.Field, func(t *testing.T) {
				t.Parallel()
				path, inventory := s.copied(t)
				e.edit(inventory)
				write(t, path, marshal(t, inventory))
				s.planned(ctx, t, c, e, path)
			})
		}
	})
	s.appliedTogether(ctx, t, all)
	if allChanges {
		s.appliedEach(ctx, t, all)
	}
	write(t, s.lab.Inventory, string(content))
	s.slipway.must(ctx, t, s.on("apply")...)
	s.slipway.must(ctx, t, s.on("plan", "--detailed-exitcode")...)
}

func marshal(t *testing.T, inventory map[string]any) string {
	t.Helper()
	text, err := yaml.Marshal(inventory)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// planned checks what a plan says of an edit.
func (s *scenario) planned(ctx context.Context, t *testing.T, c cluster.FieldChange, e fieldEdit, path string) {
	t.Helper()
	says := e.says
	if says == "" {
		says = c.Field
	}
	r := s.slipway.run(ctx, t, "plan", "--detailed-exitcode", "-o", "json", "--inventory", path)
	switch {
	case e.invalid:
		if !slices.Contains([]int{1, 3}, r.code) || !strings.Contains(r.stderr+r.stdout, says) {
			t.Errorf("want an invalid inventory: %s", r)
		}
	case c.Outcome == cluster.Refused || e.refused:
		if !slices.Contains([]int{3, 5}, r.code) || !strings.Contains(r.stderr+r.stdout, says) {
			t.Errorf("want a refusal: %s", r)
		}
	default:
		changes := changesOf(t, r)
		code := 0
		if e.changes {
			code = 12
		}
		if r.code != code || e.changes != (changes > 0) {
			t.Errorf("want exit code %d, got %d changes: %s", code, changes, r)
		}
	}
}

// changesOf returns the number of the changes of a run.
func changesOf(t *testing.T, r result) (changes int) {
	t.Helper()
	for _, e := range events(t, r.stdout) {
		if e.Kind == "change" {
			changes++
		}
	}
	return changes
}

// appliedTogether applies several edits.
func (s *scenario) appliedTogether(ctx context.Context, t *testing.T, all map[string]fieldEdit) {
	t.Helper()
	path, inventory := s.copied(t)
	for _, e := range all {
		if e.together {
			e.edit(inventory)
		}
	}
	write(t, path, marshal(t, inventory))
	r := s.slipway.must(ctx, t, "apply", "-o", "json", "--inventory", path)
	s.took("apply of ten edits", r.took)
	if changesOf(t, r) == 0 {
		t.Error("no changes")
	}
	for field, e := range all {
		if e.together {
			t.Run(field, func(t *testing.T) { e.effect(ctx, t, s) })
		}
	}
	again := s.slipway.run(ctx, t, "plan", "--detailed-exitcode", "-o", "json", "--inventory", path)
	if changes := changesOf(t, again); again.code != 0 || changes > 0 {
		t.Errorf("a plan after it: %s", again)
	}
	s.nodesReady(ctx, t)
}

// appliedEach applies each edit, and takes it back.
func (s *scenario) appliedEach(ctx context.Context, t *testing.T, all map[string]fieldEdit) {
	t.Helper()
	for _, c := range cluster.FieldChanges() {
		e, tried := all[c.Field]
		if !tried || e.invalid {
			continue
		}
		t.Run(c.Field, func(t *testing.T) {
			s.slipway.must(ctx, t, s.on("apply")...)
			path, inventory := s.copied(t)
			e.edit(inventory)
			write(t, path, marshal(t, inventory))
			r := s.slipway.run(ctx, t, "apply", "-o", "json", "--inventory", path)
			if c.Outcome == cluster.Refused || e.refused {
				if !slices.Contains([]int{3, 5}, r.code) {
					t.Errorf("want a refusal: %s", r)
				}
				s.slipway.must(ctx, t, s.on("plan", "--detailed-exitcode")...)
				return
			}
			changes := changesOf(t, r)
			if r.code != 0 || e.changes != (changes > 0) {
				t.Fatalf("got %d changes: %s", changes, r)
			}
			if e.effect != nil {
				e.effect(ctx, t, s)
			}
			again := s.slipway.run(ctx, t, "plan", "--detailed-exitcode", "-o", "json", "--inventory", path)
			if changesOf(t, again) > 0 {
				t.Errorf("a plan after it: %s", again)
			}
		})
	}
	s.slipway.must(ctx, t, s.on("apply")...)
	s.validate(ctx, t)
}

// authority writes the certificate of a CA, and returns the path.
func authority(t *testing.T, dir string) string {
	t.Helper()
	_, certificate, _ := clientCertificate(t)
	path := filepath.Join(dir, "authority.pem")
	write(t, path, string(certificate))
	return path
}

// document writes a file that the inventory names, and returns its path.
func document(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name+".yaml")
	write(t, path, content)
	return path
}
