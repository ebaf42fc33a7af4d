package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// asks returns a request as a kubelet sends it, changed by edit.
func asks(t *testing.T, edit func(*x509.CertificateRequest, *certificatesv1.CertificateSigningRequest)) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wanted := &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "system:node:w-1", Organization: []string{"system:nodes"}},
		DNSNames:    []string{"w-1"},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.21")},
	}
	request := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "csr-1"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeletServingSignerName, Username: "system:node:w-1", Groups: []string{"system:nodes", "system:authenticated"},
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		},
	}
	edit(wanted, request)
	der, err := x509.CreateCertificateRequest(rand.Reader, wanted, key)
	if err != nil {
		t.Fatal(err)
	}
	if request.Spec.Request == nil {
		request.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	return request
}

func TestServingRequests(t *testing.T) {
	t.Parallel()
	identity, err := ServingIdentityOf(inventory(), inventory().Hosts[1])
	if err != nil {
		t.Fatal(err)
	}
	type request = certificatesv1.CertificateSigningRequest
	for name, test := range map[string]struct {
		edit     func(*x509.CertificateRequest, *request)
		approved bool
		// err is the error about a request that stays pending; empty for a request that
		// is ignored.
		err string
	}{
		"as the inventory says":  {func(*x509.CertificateRequest, *request) {}, true, ""},
		"another name":           {func(c *x509.CertificateRequest, _ *request) { c.DNSNames = append(c.DNSNames, "api.example") }, false, "asks for the name api.example, which belongs to the API server"},
		"another address":        {func(c *x509.CertificateRequest, _ *request) { c.IPAddresses[0] = net.ParseIP("192.0.2.11") }, false, "asks for the address 192.0.2.11, which belongs to the API server"},
		"nothing":                {func(c *x509.CertificateRequest, _ *request) { c.DNSNames, c.IPAddresses = nil, nil }, false, "no name and no address"},
		"a URI":                  {func(c *x509.CertificateRequest, _ *request) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }, false, "URIs"},
		"another node's subject": {func(c *x509.CertificateRequest, _ *request) { c.Subject.CommonName = "system:node:cp-1" }, false, "it is for system:node:cp-1"},
		"the masters' group":     {func(c *x509.CertificateRequest, _ *request) { c.Subject.Organization = []string{"system:masters"} }, false, "of system:masters"},
		"a client certificate": {func(_ *x509.CertificateRequest, r *request) {
			r.Spec.Usages = append(r.Spec.Usages, certificatesv1.UsageClientAuth)
		}, false, `usage "client auth"`},
		"no server certificate": {func(_ *x509.CertificateRequest, r *request) { r.Spec.Usages = r.Spec.Usages[:1] }, false, "server auth"},
		"a sender that is none": {func(_ *x509.CertificateRequest, r *request) { r.Spec.Groups = nil }, false, "not in the group"},
		"no request":            {func(_ *x509.CertificateRequest, r *request) { r.Spec.Request = []byte("x") }, false, "not a certificate request in PEM"},
		"of another node":       {func(_ *x509.CertificateRequest, r *request) { r.Spec.Username = "system:node:w-2" }, false, ""},
		"for another signer": {func(_ *x509.CertificateRequest, r *request) {
			r.Spec.SignerName = certificatesv1.KubeAPIServerClientSignerName
		}, false, ""},
		"one that is decided": {func(_ *x509.CertificateRequest, r *request) {
			r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue}}
		}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clientset := fake.NewClientset(asks(t, test.edit))
			c := &Client{clientset: clientset}
			approved, err := c.ApproveServing(t.Context(), identity)
			if (len(approved) == 1) != test.approved {
				t.Errorf("approved %q, %v", approved, err)
			}
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			after, err := clientset.CertificatesV1().CertificateSigningRequests().Get(t.Context(), "csr-1", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			isApproved := len(after.Status.Conditions) > 0 && after.Status.Conditions[0].Type == certificatesv1.CertificateApproved
			if isApproved != test.approved {
				t.Errorf("conditions %v", after.Status.Conditions)
			}
		})
	}
}
