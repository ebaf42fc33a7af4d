package certificates

import (
	stdcmp "cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow/workflowtest"
	"slipway.io/slipway/templates"
)

const (
	inventory = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

	apiServer     = "/etc/kubernetes/pki/apiserver.crt"
	kubeletClient = "/etc/kubernetes/pki/apiserver-kubelet-client.crt"
	scheduler     = "/etc/kubernetes/scheduler.conf"
	admin         = "/etc/kubernetes/admin.conf"
)

// certificate is one of a year, that expires after some days.
func certificate(t *testing.T, days int) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().AddDate(0, 0, days).Add(time.Hour)
	template := &x509.Certificate{SerialNumber: serial, NotBefore: end.AddDate(-1, 0, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func inPEM(c tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

// onHost are the certificates of a host, by their files, and when components started and
// kubeconfigs were written.
type onHost struct {
	certificates     map[string]tls.Certificate
	started, written map[string]time.Time
	external         bool
	address          string // 192.0.2.11 if empty
}

func (o onHost) kubernetes() facts.Kubernetes {
	k := facts.Kubernetes{Started: o.started, Written: o.written}
	for path, c := range o.certificates {
		k.Certificates = append(k.Certificates, facts.Certificate{Path: path, PEM: inPEM(c)})
	}
	if !o.external {
		k.Files = []facts.KubeFile{{Path: "/etc/kubernetes/pki/ca.key"}, {Path: "/etc/kubernetes/pki/etcd/ca.key"}}
	}
	return k
}

// output is what facts.sh prints on the host.
func (o onHost) output() string {
	var b strings.Builder
	fmt.Fprintf(&b, "arch\tx86_64\nkernel\t6.1.0\naddress\teth0 %s/24\n", stdcmp.Or(o.address, "192.0.2.11"))
	for path, c := range o.certificates {
		fmt.Fprintf(&b, "certificate\t%s %s\n", path, base64.StdEncoding.EncodeToString(inPEM(c)))
	}
	for name, at := range o.started {
		fmt.Fprintf(&b, "started\t%s %d\n", name, at.Unix())
	}
	for path, at := range o.written {
		fmt.Fprintf(&b, "written\t%s %d\n", path, at.Unix())
	}
	for _, file := range o.kubernetes().Files {
		fmt.Fprintf(&b, "kubeFile\t%s ok\n", file.Path)
	}
	return b.String()
}

// with returns a copy with other certificates, which were written now.
func (o onHost) with(renewed map[string]tls.Certificate) onHost {
	after := o
	after.certificates, after.written = maps.Clone(o.certificates), maps.Clone(o.written)
	if after.written == nil {
		after.written = map[string]time.Time{}
	}
	for path, c := range renewed {
		after.certificates[path] = c
		if strings.HasSuffix(path, ".conf") {
			after.written[path] = time.Now().Add(-time.Millisecond)
		}
	}
	return after
}

// dialing is a host on which one server listens, at any address.
type dialing struct {
	host.Host
	address string
}

func (d dialing) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, d.address)
}

// serve serves a certificate that may change on the host.
func serve(t *testing.T, fixture *workflowtest.Fixture, current func() *tls.Certificate) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			}()
		}
	}()
	fixture.Hosts.All[0].Conn = dialing{fixture.Hosts.All[0].Conn, listener.Addr().String()}
}

func readsFacts(fake *hosttest.Fake, o onHost) {
	fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(o.output())
}

func runsKubeadm(fake *hosttest.Fake, names ...string) {
	for _, name := range names {
		fake.ExpectUnit(unitName, "/usr/local/bin/kubeadm", "certs", "renew", name)
	}
}

// restartsPod expects the restart of a static pod without a probe.
func restartsPod(fake *hosttest.Fake, name string) {
	fake.Put("/etc/kubernetes/manifests/"+name+".yaml", "spec: {containers: [{name: "+name+"}]}")
	fake.ExpectQueryScript("staticpod.sh", "list", name).Returns("old\n")
	fake.ExpectRun("sh", "-c", string(templates.Script("staticpod/staticpod.sh")), "staticpod.sh", "stop", name, "old")
	fake.ExpectQueryScript("staticpod.sh", "list", name).Returns("new\n")
}

func anHourAgo(pods ...string) map[string]time.Time {
	started := map[string]time.Time{}
	for _, pod := range pods {
		started[pod] = time.Now().Add(-time.Hour)
	}
	return started
}

func TestNothingHappensBeforeCertificatesAreDue(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = onHost{
		certificates: map[string]tls.Certificate{apiServer: certificate(t, 62), admin: certificate(t, 200)}, started: anHourAgo("kube-scheduler"),
	}.kubernetes()
	fixture.MustApply(ControlPlanes())
	fixture.MustPlan(ControlPlanes())
}

func TestOnlyWhatIsDueIsRenewed(t *testing.T) {
	t.Parallel()
	before := onHost{
		certificates: map[string]tls.Certificate{apiServer: certificate(t, 30), scheduler: certificate(t, 30), admin: certificate(t, 200)},
		started:      anHourAgo("kube-scheduler", "kube-controller-manager", "kube-vip"),
	}
	renewed := map[string]tls.Certificate{apiServer: certificate(t, 365), scheduler: certificate(t, 365)}
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = before.kubernetes()
	fake := fixture.Host("cp-1")
	fake.InOrder()
	// The API server reads the new certificate after a while.
	asked := 0
	serve(t, fixture, func() *tls.Certificate {
		served := renewed[apiServer]
		if asked++; asked == 1 {
			served = before.certificates[apiServer]
		}
		return &served
	})
	readsFacts(fake, before)
	runsKubeadm(fake, "apiserver", "scheduler.conf")
	readsFacts(fake, before.with(renewed))
	restartsPod(fake, "kube-scheduler")
	fixture.MustApply(ControlPlanes())
	if asked != 2 {
		t.Errorf("asked %d times for the certificate", asked)
	}
	if diff := cmp.Diff([]string{
		"renew " + apiServer + ": 30 of 365 days are left",
		"renew " + scheduler + ": 30 of 365 days are left",
	}, withoutRuns(fixture)); diff != "" {
		t.Error(diff)
	}
	// Another apply changes nothing.
	fixture.Facts("cp-1").Kubernetes.Started = map[string]time.Time{"kube-scheduler": time.Now()}
	fixture.MustApply(ControlPlanes())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("the second apply changes %q", got)
	}
}

func TestAPlanShowsWhatIsRenewedAndRestarted(t *testing.T) {
	t.Parallel()
	before := onHost{certificates: map[string]tls.Certificate{apiServer: certificate(t, -1), admin: certificate(t, 59)}, started: anHourAgo("kube-vip", "kube-scheduler")}
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = before.kubernetes()
	fake := fixture.Host("cp-1")
	fake.Put("/etc/kubernetes/manifests/kube-vip.yaml", "spec: {containers: [{name: kube-vip}]}")
	fake.ExpectQueryScript("staticpod.sh", "list", "kube-vip").Returns("old\n")
	fixture.MustPlan(ControlPlanes())
	if diff := cmp.Diff([]string{
		"renew " + admin + ": 59 of 365 days are left",
		"renew " + apiServer + ": -1 of 365 days are left",
	}, withoutRuns(fixture)); diff != "" {
		t.Error(diff)
	}
	if got := fixture.Changes(); !slices.Contains(got, "run restart static pod kube-vip") {
		t.Errorf("planned %q", got)
	}
}

// withoutRuns are the changes of the last run but for commands.
func withoutRuns(fixture *workflowtest.Fixture) []string {
	return slices.DeleteFunc(fixture.Changes(), func(change string) bool { return strings.HasPrefix(change, "run ") })
}

// A run was killed after kubeadm had renewed the kubeconfig.
func TestAComponentWithAnOldKubeconfigIsRestarted(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = onHost{
		certificates: map[string]tls.Certificate{scheduler: certificate(t, 365)}, started: anHourAgo("kube-scheduler"),
		written: map[string]time.Time{scheduler: time.Now().Add(-time.Minute)},
	}.kubernetes()
	restartsPod(fixture.Host("cp-1"), "kube-scheduler")
	fixture.MustApply(ControlPlanes())
}

// It is killed between kubeadm and the next read of the facts, as by an upgrade before it.
func TestWhatAnotherPhaseHasRenewedIsNotRenewedAgain(t *testing.T) {
	t.Parallel()
	before := onHost{certificates: map[string]tls.Certificate{apiServer: certificate(t, 30)}}
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = before.kubernetes()
	readsFacts(fixture.Host("cp-1"), before.with(map[string]tls.Certificate{apiServer: certificate(t, 365)}))
	fixture.MustApply(ControlPlanes())
}

func TestACertificateThatKubeadmDoesNotRenewIsAnError(t *testing.T) {
	t.Parallel()
	before := onHost{certificates: map[string]tls.Certificate{apiServer: certificate(t, 30)}}
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = before.kubernetes()
	fake := fixture.Host("cp-1")
	readsFacts(fake, before)
	runsKubeadm(fake, "apiserver")
	readsFacts(fake, before)
	if err := fixture.Apply(ControlPlanes()); err == nil || !strings.Contains(err.Error(), "kubeadm did not renew it") {
		t.Errorf("got %v", err)
	}
}

// The API server reads its client certificate for kubelets only every five minutes.
func TestTheAPIServerIsRestartedIfItsClientCertificateHasExpired(t *testing.T) {
	t.Parallel()
	before := onHost{certificates: map[string]tls.Certificate{kubeletClient: certificate(t, -3)}}
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = before.kubernetes()
	fake := fixture.Host("cp-1")
	readsFacts(fake, before)
	runsKubeadm(fake, "apiserver-kubelet-client")
	readsFacts(fake, before.with(map[string]tls.Certificate{kubeletClient: certificate(t, 365)}))
	restartsPod(fake, "kube-apiserver")
	fixture.MustApply(ControlPlanes())
}

func TestAHostOfAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "controlPlane: {endpoint: '192.0.2.100:6443'}\nhosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}, {name: cp-2, address: 192.0.2.12, roles: [control-plane]}, {name: cp-3, address: 192.0.2.13, roles: [control-plane]}]\n")
	fixture.Hosts.SetState(&cluster.State{Exists: true})
	for _, name := range fixture.Hosts.Names() {
		fixture.Facts(name).Kubernetes = onHost{certificates: map[string]tls.Certificate{
			"/etc/kubernetes/pki/ca.crt": certificate(t, 3000), apiServer: certificate(t, 30),
		}}.kubernetes()
		fixture.Facts(name).Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest}
	}
	fixture.Selection.Hosts = []string{"cp-2"}
	if err := fixture.Apply(ControlPlanes()); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("got %v", err)
	}
}

func TestRenewTakesAllThatKubeadmCanRenew(t *testing.T) {
	t.Parallel()
	before := onHost{certificates: map[string]tls.Certificate{admin: certificate(t, 300), "/etc/kubernetes/pki/ca.crt": certificate(t, 3000)}}
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = before.kubernetes()
	fake := fixture.Host("cp-1")
	readsFacts(fake, before)
	runsKubeadm(fake, "admin.conf")
	readsFacts(fake, before.with(map[string]tls.Certificate{admin: certificate(t, 365)}))
	fixture.MustApply(All(ControlPlanes()))
}

func TestHostsOfEtcdUseTheirOwnConfiguration(t *testing.T) {
	t.Parallel()
	const server = "/etc/kubernetes/pki/etcd/server.crt"
	before := onHost{certificates: map[string]tls.Certificate{server: certificate(t, 30)}}
	renewed := certificate(t, 365)
	fixture := workflowtest.New(t, "hosts: [{name: etcd-1, address: 192.0.2.11, roles: [etcd]}, {name: cp-1, address: 192.0.2.12, roles: [control-plane]}]\n")
	fixture.Facts("etcd-1").Kubernetes = before.kubernetes()
	serve(t, fixture, func() *tls.Certificate { return &renewed })
	fake := fixture.Host("etcd-1")
	readsFacts(fake, before)
	fake.ExpectUnit(unitName, "/usr/local/bin/kubeadm", "certs", "renew", "etcd-server", "--config", "/etc/kubernetes/slipway/etcd.yaml")
	readsFacts(fake, before.with(map[string]tls.Certificate{server: renewed}))
	fixture.MustApply(EtcdHosts())
}

func TestCertificatesOfAnExternalCAAreReported(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	fixture.Facts("cp-1").Kubernetes = onHost{external: true, certificates: map[string]tls.Certificate{
		apiServer: certificate(t, 30), admin: certificate(t, 300),
	}}.kubernetes()
	fixture.MustApply(All(ControlPlanes()))
	fixture.MustApply(Report())
	if diff := cmp.Diff([]string{
		admin + " on cp-1 is not renewed: the key of its CA is not on the host",
		apiServer + " on cp-1 expires in 30 days: let the CA that signed it sign another one: its key is not on the host",
	}, fixture.Notes()); diff != "" {
		t.Error(diff)
	}
}
