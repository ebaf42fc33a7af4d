package nodes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const kubeletConfigMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: kubelet-config, namespace: kube-system}
data:
  kubelet: |
    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    maxPods: 50
`

// Kubelets request certificates from the cluster if metrics-server verifies them,
// and sign their own otherwise.
func TestServingFollowsTheInventory(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		inventory, has string
		changes        int
		want           string
	}{
		"it is enabled":            {"addons: [{name: metrics-server}]\n", "maxPods: 50\n", 3, "serverTLSBootstrap: true"},
		"it is enabled already":    {"addons: [{name: metrics-server}]\n", "serverTLSBootstrap: true\n", 1, "serverTLSBootstrap: true"},
		"nothing needs it":         {"", "maxPods: 50\n", 0, "maxPods: 50"},
		"it is disabled":           {"", "maxPods: 50\nserverTLSBootstrap: true\n", 2, "serverTLSBootstrap: false"},
		"the inventory enables it": {"kubernetes: {kubeletConfiguration: {serverTLSBootstrap: true}}\n", "maxPods: 50\n", 3, "serverTLSBootstrap: true"},
		"the inventory forbids it": {"addons: [{name: metrics-server}]\nkubernetes: {kubeletConfiguration: {serverTLSBootstrap: false}}\n", "maxPods: 50\n", 0, "maxPods: 50"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"+test.inventory), kubetest.New(t)
			server.Put(kubeletConfigMap)
			fixture.Serve(server)
			fixture.Host("cp-1").Put(kubeletConfig, test.has)
			fixture.Facts("cp-1").Existing = []facts.Path{kubeletConfig}
			if test.changes > 1 {
				fixture.Host("cp-1").ExpectService("kubelet.service", kubeletFiles...)
			}
			// A plan, since no kubelet answers here.
			fixture.MustPlan(Serving())
			if got := fixture.Changes(); len(got) != test.changes {
				t.Errorf("the plan has %q, want %d changes", got, test.changes)
			}
			edited, _, err := withBootstrap([]byte(test.has), fixture.Cluster.ServerTLSBootstrap())
			if err != nil || !strings.Contains(string(edited), test.want) {
				t.Errorf("got %s, %v; want %s", edited, err, test.want)
			}
		})
	}
}

const withMetrics = `
addons: [{name: metrics-server}]
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
`

// A host controls its hostname, its addresses and its routes: none of them may
// decide what the cluster signs for it.
func TestAServingRequestForWhatOnlyTheHostSaysIsNotApproved(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hostname, address string
		want              string
	}{
		"the name of the API server as hostname": {"kubernetes.default.svc", "192.0.2.21", "it asks for the name kubernetes.default.svc, which belongs to the API server"},
		"another hostname":                       {"evil", "192.0.2.21", "it asks for the name evil, but the inventory has w-1"},
		"the address on the default route":       {"w-1", "198.51.100.9", "it asks for the address 198.51.100.9, but the inventory has 192.0.2.21"},
		"the address of the control plane":       {"w-1", "192.0.2.11", "it asks for the address 192.0.2.11, which belongs to host cp-1"},
		"the address of the API server":          {"w-1", "10.96.0.1", "it asks for the address 10.96.0.1, which belongs to the API server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, withMetrics+"  - {name: w-1, address: 192.0.2.21}\n"), kubetest.New(t)
			server.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/certificatesigningrequests") {
					return false
				}
				if r.Method != http.MethodGet {
					t.Errorf("%s %s", r.Method, r.URL.Path)
				}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(signingRequest(t, "w-1", test.hostname, test.address))
				return true
			}
			fixture.Serve(server)
			fixture.Host("w-1").Put(kubeletConfig, "serverTLSBootstrap: true\n")
			f := fixture.Facts("w-1")
			f.Hostname = test.hostname
			f.Addresses = []facts.Address{{Interface: "eth0", Prefix: netip.PrefixFrom(netip.MustParseAddr(test.address), 24)}}
			phase := Serving()
			phase.On = workflow.HostNamed("w-1")
			if err := fixture.Apply(phase); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// signingRequest is the request of a kubelet for a serving certificate, in a list.
func signingRequest(t *testing.T, node, name, address string) *certificatesv1.CertificateSigningRequestList {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP(address)},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequestList{
		TypeMeta: metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequestList"},
		Items: []certificatesv1.CertificateSigningRequest{{
			ObjectMeta: metav1.ObjectMeta{Name: "csr-1"},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
				SignerName: certificatesv1.KubeletServingSignerName, Username: "system:node:" + node, Groups: []string{"system:nodes"},
				Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
			},
		}},
	}
}

func TestAHostWithoutAnAddressInTheInventoryIsRefusedBeforeAChange(t *testing.T) {
	t.Parallel()
	fixture, server := workflowtest.New(t, withMetrics+"  - {name: w-1, address: w-1.example}\n"), kubetest.New(t)
	fixture.Serve(server)
	fixture.Host("w-1").Put(kubeletConfig, "maxPods: 50\n")
	fixture.Facts("w-1").Addresses = []facts.Address{{Interface: "eth0", Prefix: netip.MustParsePrefix("192.0.2.21/24")}}
	phase := Serving()
	phase.On = workflow.HostNamed("w-1")
	err := fixture.Plan(phase)
	if err == nil || !strings.Contains(err.Error(), "the inventory sets no IP address") || workflow.Hint(err) != "set nodeIP of w-1 in the inventory" {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
	if changes := fixture.Changes(); len(changes) > 0 {
		t.Errorf("it would change %q", changes)
	}
}
