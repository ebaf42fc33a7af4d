package templates

import (
	"encoding/json"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "update the golden files")

type values = map[string]any

// rendering is a template, its data and the golden file of the result.
type rendering struct {
	template string
	data     any
	golden   string
}

func renderings() []rendering {
	node := values{
		"NodeName": "node-1", "NodeIP": "192.0.2.11", "CRISocket": "unix:///run/containerd/containerd.sock",
		"Discovery": "/etc/kubernetes/slipway/discovery.conf", "Token": "abcdef.0123456789abcdef", "CgroupDriver": "systemd",
		"ClusterName": "lab", "Version": "v1.36.4", "Endpoint": "api.example:6443", "PodSubnet": "10.244.0.0/16",
		"ServiceSubnet": "10.96.0.0/12", "DNSDomain": "cluster.local", "CertSANs": []string{"192.0.2.11", "node-1"},
		"ServerTLSBootstrap": false, "BindPort": 6443, "ControlPlane": false, "EtcdEndpoints": []string(nil), "ExternalEtcd": false,
	}
	controlPlane := values{}
	for key, value := range node {
		controlPlane[key] = value
	}
	controlPlane["BindPort"], controlPlane["ControlPlane"] = 6444, true
	single := values{}
	for key, value := range node {
		single[key] = value
	}
	single["Endpoint"] = ""
	single["ServerTLSBootstrap"] = true
	external := values{}
	for key, value := range node {
		external[key] = value
	}
	external["ExternalEtcd"], external["EtcdEndpoints"] = true, []string{"https://192.0.2.31:2379", "https://192.0.2.32:2379"}
	external["EtcdCA"], external["EtcdCert"], external["EtcdKey"] = "/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/apiserver-etcd-client.crt", "/etc/kubernetes/pki/apiserver-etcd-client.key"
	hosts := func(nodes ...values) values { return values{"Cluster": "lab", "Nodes": nodes} }
	sysctl := func(key string, value int) values { return values{"Key": key, "Value": value} }
	runtime := func(systemd bool) values {
		return values{"PauseImage": "registry.k8s.io/pause:3.10.2", "SystemdCgroup": systemd}
	}
	mirror := func(skip bool, endpoints ...string) values {
		var hosts []values
		for _, endpoint := range endpoints {
			hosts = append(hosts, values{"Endpoint": endpoint, "OverridePath": false, "SkipVerify": skip, "CA": "", "Authorization": ""})
		}
		return values{"Registry": "docker.io", "Hosts": hosts}
	}
	timer := values{
		"Cluster": "lab", "Host": "cp-1", "Version": "v1.36.4", "Directory": "/var/backups/slipway", "Retention": 7, "Schedule": "daily",
		"Script": "/usr/local/lib/slipway/etcd-backup.sh", "Fixed": "/usr/local/lib/slipway/etcd-backup.json",
	}
	return slices.Concat(addonRenderings(), endpointRenderings(), []rendering{
		{"backup/slipway-backup.service.tmpl", timer, "slipway-backup.service"},
		{"backup/slipway-backup.timer.tmpl", timer, "slipway-backup.timer"},
		{"hostprep/hosts-block.tmpl", hosts(values{"Address": "192.0.2.11", "Name": "node-1"}, values{"Address": "192.0.2.12", "Name": "node-2"}), "hosts-block"},
		{"hostprep/sysctl.conf.tmpl", values{"Settings": []values{sysctl("net.ipv4.ip_forward", 1), sysctl("fs.inotify.max_user_watches", 524288)}}, "sysctl.conf"},
		{"kubeadm/init.yaml.tmpl", node, "init.yaml"},
		{"kubeadm/cluster.yaml.tmpl", node, "cluster-endpoint.yaml"},
		{"kubeadm/cluster.yaml.tmpl", single, "cluster-single.yaml"},
		{"kubeadm/cluster.yaml.tmpl", external, "cluster-external-etcd.yaml"},
		{"etcd/kubeadm.yaml.tmpl", values{
			"Name": "etcd-1", "IP": "192.0.2.31", "CRISocket": "unix:///run/containerd/containerd.sock", "Version": "v1.36.4",
			"InitialCluster": "etcd-1=https://192.0.2.31:2380,etcd-2=https://192.0.2.32:2380",
		}, "etcd.yaml"},
		{"kubeadm/kubelet.yaml.tmpl", node, "kubelet.yaml"},
		{"kubeadm/kubelet.yaml.tmpl", single, "kubelet-serving.yaml"},
		{"kubeadm/kube-proxy.yaml.tmpl", node, "kube-proxy.yaml"},
		{"kubeadm/join.yaml.tmpl", node, "join.yaml"},
		{"kubeadm/join.yaml.tmpl", controlPlane, "join-control-plane.yaml"},
		{"kubeadm/discovery.conf.tmpl", values{"Endpoint": "192.0.2.11:6443", "CA": "LS0tLS1CRUdJTg=="}, "discovery.conf"},
		{"kubeadm/reset.yaml.tmpl", node, "reset.yaml"},
		{"kubeadm/reset.yaml.tmpl", external, "reset-external-etcd.yaml"},
		{"network/flannel.yaml.tmpl", flannel("vxlan", 0), "flannel-vxlan.yaml"},
		{"network/flannel.yaml.tmpl", flannel("vxlan", 1400), "flannel-vxlan-mtu.yaml"},
		{"network/flannel.yaml.tmpl", flannel("host-gw", 1400), "flannel-host-gw-mtu.yaml"},
		{"runtime/config-v2.toml.tmpl", runtime(true), "containerd-1.toml"},
		{"runtime/config-v3.toml.tmpl", runtime(true), "containerd-2.toml"},
		{"runtime/config-v3.toml.tmpl", runtime(false), "containerd-2-cgroupfs.toml"},
		{"runtime/hosts.toml.tmpl", mirror(false, "https://a.example", "http://b.example:5000"), "hosts.toml"},
		{"runtime/hosts.toml.tmpl", mirror(true, "https://a.example"), "hosts-skip-verify.toml"},
		{"runtime/hosts.toml.tmpl", values{"Registry": "docker.io", "Hosts": []values{
			{"Endpoint": "https://a.example/v2/hub", "OverridePath": true, "SkipVerify": false, "CA": "/etc/containerd/certs.d/docker.io/ca.pem", "Authorization": "Basic bWU6cHc="},
			{"Endpoint": "https://b.example", "OverridePath": false, "SkipVerify": false, "CA": "", "Authorization": "Basic eW91OnB3"},
		}}, "hosts-login.toml"},
	})
}

func endpointRenderings() []rendering {
	haproxy := values{
		"Endpoint": "192.0.2.100:6443", "Cluster": "lab", "Bind": "*:6443", "Interval": "600ms", "StatePort": 10241, "KubeletPort": 10248, "Own": "cp-1",
		"Servers": []values{{"Name": "cp-1", "Address": "192.0.2.11:6444"}, {"Name": "cp-2", "Address": "192.0.2.12:6444"}},
	}
	local := maps.Clone(haproxy)
	local["Endpoint"], local["Bind"], local["Interval"], local["StatePort"], local["KubeletPort"] = "api.example:6443", "127.0.0.1:6443", "2s", 0, 0
	keepalived := values{
		"Cluster": "lab", "Name": "cp-1", "Address": "192.0.2.100", "NodeIP": "192.0.2.11", "Interface": "eth0", "RouterID": 51, "Priority": 100,
		"StatePort": 10241, "KubeletPort": 10248, "Script": "/usr/libexec/keepalived/slipway-check",
		"Disconnect": "/usr/libexec/keepalived/slipway-disconnect",
		"Peers":      []string{"192.0.2.12", "192.0.2.13"},
	}
	single := maps.Clone(keepalived)
	single["Peers"], single["KubeletPort"] = []string{}, 0
	return []rendering{
		{"endpoint/haproxy.cfg.tmpl", haproxy, "haproxy-keepalived.cfg"},
		{"endpoint/haproxy.cfg.tmpl", local, "haproxy-local.cfg"},
		{"endpoint/keepalived.conf.tmpl", keepalived, "keepalived.conf"},
		{"endpoint/keepalived.conf.tmpl", single, "keepalived-single.conf"},
		{"endpoint/keepalived-unit.conf.tmpl", keepalived, "keepalived-unit.conf"},
		{"endpoint/kube-vip.yaml.tmpl", values{
			"Image": "ghcr.io/kube-vip/kube-vip:v1.1.2", "Interface": "eth0", "Address": "192.0.2.100", "Port": "6443",
			"APIServer": "192.0.2.11:6443", "Kubeconfig": "/etc/kubernetes/admin.conf",
		}, "kube-vip.yaml"},
	}
}

func addonRenderings() []rendering {
	return []rendering{
		{"addons/namespace.yaml.tmpl", values{"Name": "shop"}, "namespace.yaml"},
		{"addons/local-path.yaml.tmpl", values{
			"Path": "/opt/local-path-provisioner", "Default": true,
			"Image": "docker.io/rancher/local-path-provisioner:v0.0.30", "HelperImage": "docker.io/library/busybox:1.37.0",
		}, "local-path.yaml"},
		{"addons/traefik.yaml.tmpl", values{"Image": "docker.io/library/traefik:v3.6.12", "ControlPlanes": false, "Default": true}, "traefik.yaml"},
		{"addons/traefik.yaml.tmpl", values{"Image": "docker.io/library/traefik:v3.6.12", "ControlPlanes": true, "Default": false}, "traefik-control-planes.yaml"},
		{"addons/metallb-pools.yaml.tmpl", values{"Addresses": []string{"192.0.2.240-192.0.2.250", "192.0.2.3-192.0.2.3"}}, "metallb-pools.yaml"},
		{"addons/metrics-server.yaml.tmpl", values{
			"Image": "registry.k8s.io/metrics-server/metrics-server:v0.9.0", "Certificate": "Y2VydGlmaWNhdGU=", "Key": "a2V5", "Fingerprint": "0011223344556677",
		}, "metrics-server.yaml"},
		{"addons/headlamp.yaml.tmpl", values{"Image": "ghcr.io/headlamp-k8s/headlamp:v0.45.0"}, "headlamp.yaml"},
		{"addons/longhorn-uninstall.yaml.tmpl", values{"Image": "docker.io/longhornio/longhorn-manager:v1.12.1"}, "longhorn-uninstall.yaml"},
	}
}

func flannel(backend string, mtu int) values {
	return values{
		"PodSubnet": "10.244.0.0/16", "Backend": backend, "MTU": mtu, "APIHost": "192.0.2.11", "APIPort": "6443",
		"Image": "ghcr.io/flannel-io/flannel:v0.28.4", "CNIPluginImage": "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1",
	}
}

func TestTemplatesMatchTheirGoldenFiles(t *testing.T) {
	t.Parallel()
	for _, r := range renderings() {
		t.Run(r.golden, func(t *testing.T) {
			t.Parallel()
			got, err := Render(r.template, r.data)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", r.golden)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s: to accept the change, run go test ./templates -update:\n%s", golden, diff)
			}
			if !strings.HasSuffix(string(got), "\n") || strings.Contains(string(got), "<no value>") {
				t.Errorf("no newline at the end, or a missing value:\n%s", got)
			}
		})
	}
}

func TestEveryTemplateAndGoldenFileIsTested(t *testing.T) {
	t.Parallel()
	var templates, golden []string
	for _, r := range renderings() {
		templates, golden = append(templates, r.template), append(golden, r.golden)
	}
	for _, name := range embedded(t) {
		if strings.HasSuffix(name, ".tmpl") && !slices.Contains(templates, name) {
			t.Errorf("%s has no golden file", name)
		}
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(golden, file.Name()) {
			t.Errorf("no template renders testdata/%s", file.Name())
		}
	}
}

// embedded lists all files of the package.
func embedded(t *testing.T) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	return names
}

// Directories that are packages embed their own files.
func TestEveryFileIsEmbedded(t *testing.T) {
	t.Parallel()
	here := embedded(t)
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "testdata" || name != "." && hasGo(name)):
			return fs.SkipDir
		case !entry.IsDir() && filepath.Ext(name) != ".go" && !slices.Contains(here, filepath.ToSlash(name)):
			t.Errorf("%s is not embedded", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func hasGo(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	return len(found) > 0
}

func TestEveryFileIsUsed(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, top := range []string{"../provision", "../phases"} {
		err := filepath.WalkDir(top, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, beginning := range beginnings {
		code.WriteString(`"` + beginning + `"`)
	}
	for _, name := range embedded(t) {
		if !strings.Contains(code.String(), `"`+name+`"`) && !strings.Contains(code.String(), `"`+path.Base(name)+`"`) {
			t.Errorf("no code names %s", name)
		}
	}
}

func TestScriptsHaveADescriptionAndStopAtErrors(t *testing.T) {
	t.Parallel()
	for _, name := range embedded(t) {
		if path.Ext(name) != ".sh" {
			continue
		}
		lines := strings.SplitN(string(File(name)), "\n", 3)
		if lines[0] != "#!/bin/sh" || !strings.HasPrefix(lines[1], "# ") {
			t.Errorf("%s begins with %q", name, lines[:2])
		}
		// facts.sh omits facts that it cannot read.
		strict := strings.Contains(lines[2], "\nset -eu\n") || name == "facts/facts.sh" && strings.Contains(lines[2], "\nset -u\n")
		if !strict {
			t.Errorf("%s does not set -eu", name)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, template string
		data           any
	}{
		{"a missing key of a map", "kubeadm/reset.yaml.tmpl", values{}},
		{"a missing field of a struct", "kubeadm/reset.yaml.tmpl", struct{ CRISockets string }{}},
		{"an unknown template", "kubeadm/none.yaml.tmpl", values{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, err := Render(test.template, test.data); err == nil {
				t.Errorf("rendered as %q", got)
			}
		})
	}
}

func TestFlannelIsAListOfObjects(t *testing.T) {
	t.Parallel()
	tests := []struct {
		backend   string
		mtu       int
		net, mtus values
	}{
		{"vxlan", 0, values{"Type": "vxlan"}, values{"hairpinMode": true, "isDefaultGateway": true}},
		{"vxlan", 1400, values{"Type": "vxlan", "MTU": 1400.0}, values{"mtu": 1400.0, "hairpinMode": true, "isDefaultGateway": true}},
		{"host-gw", 0, values{"Type": "host-gw"}, values{"hairpinMode": true, "isDefaultGateway": true}},
		// host-gw has no MTU of its own: it uses that of the interface.
		{"host-gw", 1400, values{"Type": "host-gw"}, values{"mtu": 1400.0, "hairpinMode": true, "isDefaultGateway": true}},
	}
	for _, test := range tests {
		t.Run(test.backend, func(t *testing.T) {
			t.Parallel()
			text, err := Render("network/flannel.yaml.tmpl", flannel(test.backend, test.mtu))
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			var config map[string]string
			for _, document := range strings.Split(string(text), "\n---\n") {
				var object struct {
					APIVersion, Kind string
					Metadata         struct{ Name, Namespace string }
					Data             map[string]string
				}
				if err := yaml.Unmarshal([]byte(document), &object); err != nil {
					t.Fatalf("%v in\n%s", err, document)
				}
				kinds = append(kinds, strings.Join([]string{object.APIVersion, object.Kind, object.Metadata.Namespace, object.Metadata.Name}, " "))
				if object.Kind == "ConfigMap" {
					config = object.Data
				}
			}
			want := []string{
				"v1 Namespace  kube-flannel", "v1 ServiceAccount kube-flannel flannel",
				"rbac.authorization.k8s.io/v1 ClusterRole  flannel", "rbac.authorization.k8s.io/v1 ClusterRoleBinding  flannel",
				"v1 ConfigMap kube-flannel kube-flannel-cfg", "apps/v1 DaemonSet kube-flannel kube-flannel-ds",
			}
			if diff := cmp.Diff(want, kinds); diff != "" {
				t.Error(diff)
			}
			var network struct {
				Network string
				Backend values
			}
			if err := json.Unmarshal([]byte(config["net-conf.json"]), &network); err != nil {
				t.Fatalf("%v in %s", err, config["net-conf.json"])
			}
			if diff := cmp.Diff(test.net, network.Backend); diff != "" || network.Network != "10.244.0.0/16" {
				t.Errorf("network %s\n%s", network.Network, diff)
			}
			var cni struct {
				Plugins []struct {
					Type     string
					Delegate values
				}
			}
			if err := json.Unmarshal([]byte(config["cni-conf.json"]), &cni); err != nil {
				t.Fatalf("%v in %s", err, config["cni-conf.json"])
			}
			if diff := cmp.Diff(test.mtus, cni.Plugins[0].Delegate); diff != "" {
				t.Error(diff)
			}
		})
	}
}
