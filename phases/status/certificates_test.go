package status

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// expiring is a certificate of a year that expires after some days, in PEM.
func expiring(t *testing.T, days int) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().AddDate(0, 0, days).Add(time.Hour)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.AddDate(-1, 0, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestStatusShowsTheDaysOfEachCertificate(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	now := time.Now()
	fixture.Facts("cp-1").Kubernetes = facts.Kubernetes{
		Kubelet: expiring(t, 300), Finalized: true,
		Certificates: []facts.Certificate{
			{Path: "/etc/kubernetes/pki/apiserver.crt", PEM: expiring(t, 30)},
			{Path: "/var/lib/kubelet/pki/kubelet.crt", PEM: expiring(t, 2)},
			{Path: "/etc/kubernetes/admin.conf", PEM: []byte("damaged")},
		},
		Files:   []facts.KubeFile{{Path: "/etc/kubernetes/pki/ca.key"}},
		Started: map[string]time.Time{"kube-scheduler": now.Add(-time.Hour)},
		Written: map[string]time.Time{"/etc/kubernetes/scheduler.conf": now.Add(-time.Minute)},
	}
	got := shown(t, fixture, &cluster.State{})
	type row struct {
		Path      string
		Days      int
		RenewedBy kubeadm.Renewer
		Due       bool
	}
	var rows []row
	for _, c := range got.Hosts[0].Certificates {
		rows = append(rows, row{c.Path, c.DaysLeft, c.RenewedBy, c.Due})
	}
	want := []row{
		{"/etc/kubernetes/pki/apiserver.crt", 30, "slipway", true},
		{"/var/lib/kubelet/pki/kubelet-client-current.pem", 300, "kubelet", false},
		{"/var/lib/kubelet/pki/kubelet.crt", 2, "nobody", false},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if days := got.Hosts[0].CertificateDays; days == nil || *days != 30 {
		t.Errorf("the first one expires in %v days", days)
	}
	if diff := cmp.Diff([]string{
		"/etc/kubernetes/pki/apiserver.crt on cp-1 expires in 30 days: run `slipway apply` on all hosts, which renews it",
		"kube-scheduler on cp-1 runs with an older certificate than its kubeconfig has: run `slipway apply`, which restarts it",
	}, got.Warnings); diff != "" {
		t.Error(diff)
	}
}
