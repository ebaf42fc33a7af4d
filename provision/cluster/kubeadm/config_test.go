package kubeadm

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	kubeproxy "k8s.io/kube-proxy/config/v1alpha1"
	kubelet "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
)

var update = flag.Bool("update", false, "update the golden files")

// golden compares with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: go test -update, if that is meant:\n%s", path, diff)
	}
}

// inventory parses one; the hosts are a control plane and two workers.
func inventory(t *testing.T, more string) *config.Cluster {
	t.Helper()
	c, err := config.Parse("inventory.yaml", []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
  - name: w-2
    address: w-2.example
    taints: [{key: example.com/dedicated, value: storage, effect: NoExecute}]
`+more))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func node(t *testing.T, c *config.Cluster, name, ip string) Node {
	t.Helper()
	spec, ok := c.Host(name)
	if !ok {
		t.Fatalf("no host %s", name)
	}
	return Node{Spec: spec, IP: netip.MustParseAddr(ip), Version: c.Kubernetes.NewVersion()}
}

const overrides = `
kubernetes:
  clusterConfiguration:
    featureGates: {NodeLocalCRISocket: true}
    apiServer:
      extraArgs: [{name: audit-log-maxage, value: "30"}]
    etcd: {local: {dataDir: /data/etcd}}
  initConfiguration:
    nodeRegistration: {imagePullSerial: false, ignorePreflightErrors: [SystemVerification]}
    skipPhases: [addon/coredns]
  joinConfiguration:
    nodeRegistration: {imagePullPolicy: null}
    timeouts: {tlsBootstrap: 10m0s}
  kubeletConfiguration:
    failCgroupV1: false
    maxPods: 200
    evictionHard: {nodefs.available: "0%"}
  kubeProxyConfiguration:
    conntrack: {maxPerCore: 0, min: 0}
containerd: {cgroupDriver: cgroupfs}
`

func TestInit(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, more, ip string }{
		{"init-single.yaml", "", "192.0.2.11"},
		{"init-endpoint.yaml", `
metadata: {name: lab}
kubernetes: {version: 1.35.2}
network: {podSubnet: 10.32.0.0/16, serviceSubnet: 10.33.0.0/16, dnsDomain: lab.example}
controlPlane: {endpoint: api.example:8443, certSANs: [api.example, 203.0.113.9]}
`, "198.51.100.11"},
		{"init-overrides.yaml", overrides, "192.0.2.11"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := inventory(t, test.more)
			got, err := Init(c, node(t, c, "cp-1", test.ip))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, test.name, got)
			documents := split(t, got)
			for i, kind := range []string{"InitConfiguration", "ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"} {
				if documents[i]["kind"] != kind {
					t.Errorf("document %d is %v, want %s", i, documents[i]["kind"], kind)
				}
			}
			strict(t, documents[2], &kubelet.KubeletConfiguration{})
			strict(t, documents[3], &kubeproxy.KubeProxyConfiguration{})
		})
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, host, more string }{
		{"join-worker.yaml", "w-1", ""},
		{"join-taints.yaml", "w-2", ""},
		{"join-overrides.yaml", "w-1", overrides},
		{"join-control-plane.yaml", "cp-1", "controlPlane: {endpoint: api.example, bindPort: 6444}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := inventory(t, test.more)
			got, err := Join(c, node(t, c, test.host, "192.0.2.21"), "/etc/kubernetes/slipway/discovery.conf", "abcdef.0123456789abcdef")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, test.name, got)
		})
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	got, err := Reset(inventory(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "reset.yaml", got)
}

func TestDiscoveryIsAKubeconfig(t *testing.T) {
	t.Parallel()
	got, err := Discovery("192.0.2.11:6443", []byte("-----BEGIN CERTIFICATE-----\n…"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "discovery.yaml", got)
	// kubeadm takes the one cluster of the file, whose name is empty
	// (bootstrap-token discovery writes it so).
	conf, err := clientcmd.Load(got)
	if err != nil {
		t.Fatal(err)
	}
	cluster := conf.Clusters[""]
	if cluster == nil || cluster.Server != "https://192.0.2.11:6443" || !strings.HasPrefix(string(cluster.CertificateAuthorityData), "-----BEGIN") {
		t.Errorf("got %+v", conf.Clusters)
	}
}

// Names may look like numbers or booleans: YAML must not take them for those.
func TestNamesThatLookLikeOtherTypesStayText(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"1", "007", "1e3", "0x1f", "true", "null", "no", "on", "y"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inventory(t, "metadata: {name: \""+name+"\"}\n")
			for i := range c.Hosts[:2] {
				c.Hosts[i].Name = name
			}
			at := Node{Spec: c.Hosts[0], IP: netip.MustParseAddr("192.0.2.11")}
			initText, err := Init(c, at)
			if err != nil {
				t.Fatal(err)
			}
			joinText, err := Join(c, at, "/discovery.conf", "123456.1234567890123456")
			if err != nil {
				t.Fatal(err)
			}
			documents := append(split(t, initText), split(t, joinText)...)
			for what, got := range map[string]any{
				"the node's name at init": documents[0]["nodeRegistration"].(map[string]any)["name"],
				"the cluster's name":      documents[1]["clusterName"],
				"the node's name at join": documents[4]["nodeRegistration"].(map[string]any)["name"],
			} {
				if got != name {
					t.Errorf("%s is %#v, want %q", what, got, name)
				}
			}
			if sans := documents[1]["apiServer"].(map[string]any)["certSANs"].([]any); !slices.Contains(sans, any(name)) {
				t.Errorf("the certificate's names are %#v", sans)
			}
			if got := documents[4]["discovery"].(map[string]any)["tlsBootstrapToken"]; got != "123456.1234567890123456" {
				t.Errorf("the token is %#v", got)
			}
		})
	}
}

func split(t *testing.T, stream []byte) []map[string]any {
	t.Helper()
	var documents []map[string]any
	for _, text := range bytes.Split(stream, []byte("\n---\n")) {
		var document map[string]any
		if err := yaml.UnmarshalStrict(text, &document); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		documents = append(documents, document)
	}
	return documents
}

// strict decodes a document as its component does.
func strict(t *testing.T, document map[string]any, into any) {
	t.Helper()
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Error(err)
	}
}
