package kubeadm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host/facts"
)

// issued is a certificate and its key in PEM. A nil CA makes it sign itself.
type issued struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func issue(t *testing.T, ca *issued) issued {
	t.Helper()
	return issueFor(t, ca, time.Hour)
}

// issueFor is issue with the time that is left until the certificate expires.
func issueFor(t *testing.T, ca *issued, left time.Duration) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(left - 365*24*time.Hour), NotAfter: time.Now().Add(left),
		IsCA: ca == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.certificate, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{certificate, key}
}

func (i issued) cert() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw})
}

func (i issued) private(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestCheckEtcdFiles(t *testing.T) {
	t.Parallel()
	ca := issue(t, nil)
	other, client, old := issue(t, nil), issue(t, &ca), issueFor(t, &ca, -time.Hour)
	for name, test := range map[string]struct {
		ca, cert, key []byte
		want          string
	}{
		"files that fit":            {ca.cert(), client.cert(), client.private(t), ""},
		"a CA that is no PEM":       {[]byte("text"), client.cert(), client.private(t), "caFile contains no certificate"},
		"a key of another one":      {ca.cert(), client.cert(), other.private(t), "certFile and keyFile: tls: private key does not match"},
		"a client of another CA":    {other.cert(), client.cert(), client.private(t), ""},
		"a client that has expired": {ca.cert(), old.cert(), old.private(t), "certFile: the certificate expired on"},
		"a certificate that is cut": {ca.cert(), client.cert()[:40], client.private(t), "certFile and keyFile"},
	} {
		files := EtcdClientFiles()
		files[0].Content, files[1].Content, files[2].Content = test.ca, test.cert, test.key
		err := CheckEtcdFiles(files)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// memberFacts are those of a complete member whose certificates last, but for one.
func memberFacts(ca issued, name string, certificate []byte) facts.Kubernetes {
	k := facts.Kubernetes{Files: []facts.KubeFile{{Path: etcdManifest}, {Path: EtcdCA + ".crt"}}}
	k.Certificates = []facts.Certificate{{Path: EtcdCA + ".crt", PEM: ca.cert()}}
	for _, base := range etcdCertificates() {
		k.Files = append(k.Files, facts.KubeFile{Path: pkiDir + "/" + base + ".crt"}, facts.KubeFile{Path: pkiDir + "/" + base + ".key"})
	}
	k.Certificates = append(k.Certificates, facts.Certificate{Path: pkiDir + "/" + name + ".crt", PEM: certificate})
	return k
}

// A certificate that expires soon is renewed in place. Control planes copy it then.
func TestWhichCertificatesOfEtcdAreCreatedAgain(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	ca, other := issueFor(t, nil, 1000*day), issueFor(t, nil, 1000*day)
	for name, test := range map[string]struct {
		certificate      issued
		renewed, replace bool
	}{
		"one that lasts":           {issueFor(t, &ca, 300*day), false, false},
		"one that expires soon":    {issueFor(t, &ca, time.Minute), false, true},
		"one that has expired":     {issueFor(t, &ca, -day), true, true},
		"one that another CA made": {issueFor(t, &other, 300*day), true, true},
	} {
		for _, base := range []string{"etcd/server", "apiserver-etcd-client"} {
			k := memberFacts(ca, base, test.certificate.cert())
			var want []string
			if test.renewed {
				want = []string{pkiDir + "/" + base + ".crt", pkiDir + "/" + base + ".key"}
			}
			if got := RecreateEtcd(k); !slices.Equal(got, want) || EtcdComplete(k) == test.renewed {
				t.Errorf("%s: %s: deleted %q, complete %t", name, base, got, EtcdComplete(k))
			}
			if client := base == "apiserver-etcd-client"; EtcdClientUsable(k) == (client && test.replace) {
				t.Errorf("%s: %s: the API server can connect: %t", name, base, EtcdClientUsable(k))
			}
		}
	}
}

func TestControlPlanesUseTheEndpoints(t *testing.T) {
	t.Parallel()
	c := inventory(t, existing)
	document, err := Init(c, Node{Spec: c.Hosts[0], Version: "v1.36.4", Etcd: c.Etcd.External.Endpoints})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- https://192.0.2.31:2379", "caFile: /etc/kubernetes/pki/etcd/ca.crt", "keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key"} {
		if !strings.Contains(string(document), want) {
			t.Errorf("no %q in\n%s", want, document)
		}
	}
}
