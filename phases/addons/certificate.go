package addons

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

const (
	// certificateLife is that of kubeadm's authorities: there is nobody who
	// would renew a shorter one between two runs.
	certificateLife = 10 * 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = 365 * 24 * time.Hour
)

// selfSigned makes a key and a certificate of a Service, which is the
// authority for itself, in PEM.
func selfSigned(service string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", service, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", service, err)
	}
	now := time.Now()
	wanted := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: service},
		DNSNames:     []string{service},
		// A clock on a node may be a little behind.
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, wanted, wanted, private.Public(), private)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", service, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", service, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}

// serves says whether a certificate and a key belong together, are for the
// Service, and are good for a while yet.
func serves(certificate, key []byte, service string) bool {
	pair, err := tls.X509KeyPair(bytes.TrimSpace(certificate), key)
	return err == nil && pair.Leaf.VerifyHostname(service) == nil && time.Until(pair.Leaf.NotAfter) > renewBefore
}
