package nodes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
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
		"it is enabled":            {"addons: [{name: metrics-server}]\n", "maxPods: 50\n", 4, "serverTLSBootstrap: true"},
		"nothing needs it":         {"", "maxPods: 50\n", 0, "maxPods: 50"},
		"it is disabled":           {"", "maxPods: 50\nserverTLSBootstrap: true\n", 2, "serverTLSBootstrap: false"},
		"the inventory enables it": {"kubernetes: {kubeletConfiguration: {serverTLSBootstrap: true}}\n", "maxPods: 50\n", 4, "serverTLSBootstrap: true"},
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

// kubeletOf makes the hosts dial a kubelet on its port, and the API server on others.
// An empty certificate is that of a kubelet that waits for one: it sends an alert.
func kubeletOf(t *testing.T, server *kubetest.Server, config *tls.Config) {
	t.Helper()
	kubelet, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kubelet.Close() })
	go func() {
		for {
			conn, err := kubelet.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = tls.Server(conn, config).HandshakeContext(t.Context())
			}()
		}
	}()
	server.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var dialer net.Dialer
		if !strings.HasSuffix(addr, ":"+kubeletPort) {
			return dialer.DialContext(ctx, network, addr)
		}
		if config == nil {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		return dialer.DialContext(ctx, "tcp", kubelet.Addr().String())
	}
}

// certificateOf returns a certificate for an address, signed by the authority, or by
// itself, and the certificate of the authority.
func certificateOf(t *testing.T, address string, cluster bool) (served *tls.Config, ca []byte) {
	t.Helper()
	template := func(serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
			Subject: pkix.Name{CommonName: fmt.Sprintf("serial-%d", serial)}, IPAddresses: []net.IP{net.ParseIP(address)},
		}
	}
	sign := func(certificate, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, certificate, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, key := newKey(t), newKey(t)
	authority := template(1)
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(authority, authority, caKey, caKey)})
	own := template(2)
	der := sign(own, own, key, key)
	if cluster {
		der = sign(own, authority, key, caKey)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, ca
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Apply approves what a kubelet requests. A plan looks once at what it serves with and
// at its requests.
func TestAPlanListsTheApprovalOfAServingCertificate(t *testing.T) {
	t.Parallel()
	const approval = "approve the serving certificate request of kubelet on cp-1"
	signed, ca := certificateOf(t, "192.0.2.11", true)
	selfSigned, _ := certificateOf(t, "192.0.2.11", false)
	elsewhere, _ := certificateOf(t, "192.0.2.99", true)
	for name, test := range map[string]struct {
		kubelet *tls.Config
		pending []string // hostname and address of a pending request
		joins   bool
		started bool
		want    []string
		err     string
	}{
		"a certificate of the cluster":              {kubelet: signed},
		"a certificate of the kubelet itself":       {kubelet: selfSigned, want: []string{approval}},
		"a certificate of another cluster":          {kubelet: elsewhere, want: []string{approval}},
		"no certificate yet":                        {kubelet: &tls.Config{}, want: []string{approval}},
		"no certificate, and a request":             {kubelet: &tls.Config{}, pending: []string{"cp-1", "192.0.2.11"}, want: []string{"approve certificate signing request csr-1"}},
		"a certificate of the cluster, and renewal": {kubelet: signed, pending: []string{"cp-1", "192.0.2.11"}, want: []string{"approve certificate signing request csr-1"}},
		"a request that apply refuses":              {kubelet: signed, pending: []string{"evil", "192.0.2.11"}, err: "it asks for the name evil"},
		"a kubelet that does not answer":            {err: "connection refused"},
		"a kubelet that the plan starts":            {started: true, want: []string{Serving().Title}},
		"a host that joins":                         {joins: true, want: []string{approval}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, withMetrics), kubetest.New(t)
			server.Put(strings.Replace(kubeletConfigMap, "maxPods: 50", "serverTLSBootstrap: true", 1))
			server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/certificatesigningrequests") {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				if r.Method != http.MethodGet {
					if r.URL.Query().Get("dryRun") != "All" {
						t.Errorf("the plan sends %s %s", r.Method, r.URL)
					}
				}
				list := &certificatesv1.CertificateSigningRequestList{TypeMeta: metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequestList"}}
				if test.pending != nil {
					list = signingRequest(t, "cp-1", test.pending[0], test.pending[1])
				}
				var answer any = list
				if r.Method != http.MethodGet {
					list.Items[0].TypeMeta = metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"}
					answer = list.Items[0]
				}
				_ = json.NewEncoder(w).Encode(answer)
				return true
			})
			kubeletOf(t, server, test.kubelet)
			fixture.Serve(server)
			// kube trusts the authority of its server and of the kubelet.
			conf := string(server.Kubeconfig(""))
			fixture.Host("cp-1").Put(kube.AdminConf, strings.Replace(conf,
				base64.StdEncoding.EncodeToString(server.CA()), base64.StdEncoding.EncodeToString(append(server.CA(), ca...)), 1))
			fixture.Host("cp-1").Put(kubeletConfig, "serverTLSBootstrap: true\n")
			fixture.Facts("cp-1").Existing = []facts.Path{kubeletConfig}
			before := workflow.Phase{Name: "before", Do: func(ctx context.Context, s *workflow.Step) error {
				cmd := host.Cmd{Argv: []string{"before"}}
				if test.started {
					cmd.Starts = []string{service}
				}
				_, err := s.Run(ctx, cmd)
				return err
			}}
			if test.joins {
				before.Creates = Join().Creates
			}
			fixture.MustPlan(before)
			err := fixture.Plan(Serving())
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, fixture.Changes()); diff != "" {
				t.Error(diff)
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
			server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/certificatesigningrequests") {
					return false
				}
				if r.Method != http.MethodGet {
					t.Errorf("%s %s", r.Method, r.URL.Path)
				}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(signingRequest(t, "w-1", test.hostname, test.address))
				return true
			})
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
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP(address)},
	}, newKey(t))
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
