package kubeadm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
)

const (
	yearDays = 365
	oneDay   = 24 * time.Hour
)

func TestACertificateIsDueInTheLastSixthOfItsLifetime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, test := range map[string]struct {
		renewer        Renewer
		authority      bool
		lifetime, left int // days
		want           bool
	}{
		"a year, of which 62 days are left":              {RenewedBySlipway, false, 366, 62, false},
		"a year, of which 60 days are left":              {RenewedBySlipway, false, 366, 60, true},
		"ten years, of which a year is left":             {RenewedBySlipway, false, 3650, yearDays, true},
		"ten days, of which two are left":                {RenewedBySlipway, false, 10, 2, false},
		"one that has expired":                           {RenewedByHand, false, yearDays, -1, true},
		"kubelet's, which it is about to rotate":         {RenewedByKubelet, false, yearDays, 40, false},
		"kubelet's, which it has not rotated":            {RenewedByKubelet, false, yearDays, 36, true},
		"kubelet's serving certificate, not approved":    {RenewedByApproval, false, yearDays, 60, true},
		"one that nothing verifies":                      {NotRenewed, false, yearDays, -10, false},
		"a CA that outlives what kubeadm signs":          {RenewedByHand, true, 3650, 366, false},
		"a CA that does not":                             {RenewedByHand, true, 3650, 364, true},
		"a CA of a year, of which seven months are left": {RenewedByHand, true, yearDays, 210, false},
	} {
		end := now.Add(time.Duration(test.left) * oneDay)
		c := Certificate{Renewer: test.renewer, Authority: test.authority, NotAfter: end, NotBefore: end.Add(-time.Duration(test.lifetime) * oneDay)}
		if got := c.Due(now.Add(time.Second)); got != test.want {
			t.Errorf("%s: due: %t", name, got)
		}
		if warning := c.Warning("cp-1", now.Add(time.Second)); (warning != "") != test.want {
			t.Errorf("%s: %q", name, warning)
		}
	}
}

func TestDaysAreWhole(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for left, want := range map[time.Duration]int{36 * time.Hour: 1, time.Hour: 0, -time.Hour: -1, -25 * time.Hour: -2} {
		if got := (Certificate{NotAfter: now.Add(left)}).Days(now); got != want {
			t.Errorf("%v: got %d", left, got)
		}
	}
}

func TestWhoRenewsACertificate(t *testing.T) {
	t.Parallel()
	const (
		stacked = "hosts: [{name: h, address: 192.0.2.11, roles: [control-plane]}]\n"
		serving = stacked + "kubernetes: {kubeletConfiguration: {serverTLSBootstrap: true}}\n"
		own     = "hosts: [{name: h, address: 192.0.2.31, roles: [etcd]}, {name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"
		client  = "hosts: [{name: etcd-1, address: 192.0.2.31, roles: [etcd]}, {name: h, address: 192.0.2.11, roles: [control-plane]}]\n"
		foreign = stacked + "etcd: {external: {endpoints: ['https://192.0.2.31:2379'], caFile: /a, certFile: /b, keyFile: /c}}\n"
	)
	keys := []string{"ca", "front-proxy-ca", "etcd/ca"}
	for _, test := range []struct {
		inventory, path string
		keys            []string
		renewer         Renewer
		name, remedy    string
	}{
		{stacked, "/etc/kubernetes/pki/apiserver.crt", keys, RenewedBySlipway, "apiserver", "slipway apply"},
		{stacked, "/etc/kubernetes/pki/apiserver.crt", keys[1:], RenewedByHand, "", "its key is not on the host"},
		{stacked, "/etc/kubernetes/pki/front-proxy-client.crt", keys, RenewedBySlipway, "front-proxy-client", "slipway apply"},
		{stacked, "/etc/kubernetes/pki/front-proxy-client.crt", keys[:1], RenewedByHand, "", "its key is not on the host"},
		{stacked, "/etc/kubernetes/pki/etcd/healthcheck-client.crt", keys, RenewedBySlipway, "etcd-healthcheck-client", "slipway apply"},
		{stacked, "/etc/kubernetes/pki/apiserver-etcd-client.crt", keys, RenewedBySlipway, "apiserver-etcd-client", "slipway apply"},
		{stacked, "/etc/kubernetes/controller-manager.conf", keys, RenewedBySlipway, "controller-manager.conf", "slipway apply"},
		{stacked, "/etc/kubernetes/super-admin.conf", keys, RenewedBySlipway, "super-admin.conf", "slipway apply"},
		{stacked, "/etc/kubernetes/other.conf", keys, RenewedByHand, "", "kubeadm does not"},
		{stacked, "/etc/kubernetes/pki/mine.crt", keys, RenewedByHand, "", "kubeadm does not"},
		{stacked, "/etc/kubernetes/pki/ca.crt", keys, RenewedByHand, "", "Rotate a CA"},
		{serving, "/var/lib/kubelet/pki/kubelet-server-current.pem", keys, RenewedByApproval, "", "approves the request"},
		{stacked, "/var/lib/kubelet/pki/kubelet.crt", keys, NotRenewed, "", ""},
		{own, "/etc/kubernetes/pki/etcd/server.crt", keys, RenewedBySlipway, "etcd-server", "slipway apply"},
		{own, "/etc/kubernetes/pki/apiserver-etcd-client.crt", keys, RenewedBySlipway, "apiserver-etcd-client", "slipway apply"},
		{client, "/etc/kubernetes/pki/apiserver-etcd-client.crt", keys, RenewedBySlipway, "", "slipway apply"},
		{foreign, "/etc/kubernetes/pki/apiserver-etcd-client.crt", keys, RenewedFromInventory, "", "certFile and keyFile"},
		{foreign, "/etc/kubernetes/pki/etcd/ca.crt", keys, RenewedFromInventory, "", "caFile"},
	} {
		c, err := config.Parse("inventory.yaml", []byte("apiVersion: slipway.io/v1alpha1\nkind: Cluster\n"+test.inventory))
		if err != nil {
			t.Fatal(err)
		}
		h, _ := c.Host("h")
		now := time.Now()
		k := facts.Kubernetes{Certificates: []facts.Certificate{{Path: test.path, PEM: issueFor(t, nil, 10*oneDay).cert()}}}
		for _, key := range test.keys {
			k.Files = append(k.Files, facts.KubeFile{Path: pkiDir + "/" + key + ".key"})
		}
		all := Certificates(c, h, k)
		if len(all) != 1 || all[0].Renewer != test.renewer || all[0].Name != test.name || all[0].Path != test.path {
			t.Errorf("%s: got %+v", test.path, all)
			continue
		}
		if warning := all[0].Warning("h", now); !strings.Contains(warning, test.remedy) || (warning == "") != (test.remedy == "") {
			t.Errorf("%s: %q", test.path, warning)
		}
	}
}

func TestTheCertificatesOfKubelet(t *testing.T) {
	t.Parallel()
	const client, conf = "/var/lib/kubelet/pki/kubelet-client-current.pem kubelet", "/etc/kubernetes/kubelet.conf kubelet"
	const approved, selfSigned = "/var/lib/kubelet/pki/kubelet-server-current.pem kubelet, approved by slipway", "/var/lib/kubelet/pki/kubelet.crt nobody"
	for name, test := range map[string]struct {
		more      string
		finalized bool
		want      []string
	}{
		"the cluster signs":           {"kubernetes: {kubeletConfiguration: {serverTLSBootstrap: true}}\n", true, []string{client, approved}},
		"kubelet signs its own again": {"", true, []string{client, selfSigned}},
		"it is in the kubeconfig":     {"", false, []string{conf, selfSigned}},
	} {
		k := facts.Kubernetes{Kubelet: issueFor(t, nil, 300*oneDay).cert(), Finalized: test.finalized, Certificates: []facts.Certificate{
			{Path: "/var/lib/kubelet/pki/kubelet.crt", PEM: issueFor(t, nil, oneDay).cert()},
			{Path: "/var/lib/kubelet/pki/kubelet-server-current.pem", PEM: issueFor(t, nil, oneDay).cert()},
		}}
		var got []string
		for _, c := range Certificates(inventory(t, test.more), config.Host{}, k) {
			got = append(got, fmt.Sprint(c.Path, " ", c.Renewer))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestStalePods(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := facts.Kubernetes{
		Started: map[string]time.Time{"kube-controller-manager": now.Add(-time.Hour), "kube-scheduler": now.Add(-time.Hour), "kube-vip": now.Add(-time.Hour)},
		Written: map[string]time.Time{
			"/etc/kubernetes/controller-manager.conf": now.Add(-2 * time.Hour), "/etc/kubernetes/scheduler.conf": now.Add(-time.Minute), "/etc/kubernetes/admin.conf": now.Add(-time.Minute),
		},
	}
	if got := strings.Join(StalePods(k, now), " "); got != "kube-scheduler kube-vip" {
		t.Errorf("got %s", got)
	}
}
