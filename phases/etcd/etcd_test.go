package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const three = `hosts:
  - {name: etcd-2, address: 192.0.2.32, roles: [etcd]}
  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}
  - {name: etcd-3, address: 192.0.2.33, roles: [etcd]}
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

const initialCluster = "etcd-1=https://192.0.2.31:2380,etcd-2=https://192.0.2.32:2380,etcd-3=https://192.0.2.33:2380"

var (
	memberPhases = []string{configFile, "certs etcd-server", "certs etcd-peer", "certs etcd-healthcheck-client", "certs apiserver-etcd-client", "etcd local"}
	kubelet      = []string{"/usr/local/bin/kubelet", serviceFile, dropIn, kubeletConfig}
)

// putAuthority gives a host the CA of etcd.
func putAuthority(fixture *workflowtest.Fixture, name string) {
	for _, file := range kubeadm.EtcdAuthority() {
		fixture.Host(name).Put(file.Path, filepath.Base(file.Path)+" of "+name)
		addFile(fixture.Facts(name), file.Path)
	}
}

func addFile(f *facts.Facts, path string) {
	f.Kubernetes.Files = append(f.Kubernetes.Files, facts.KubeFile{Path: path})
}

// complete adds the facts of a member that runs.
func complete(f *facts.Facts) {
	f.Existing = append(f.Existing, facts.EtcdMember, facts.EtcdService)
	for _, name := range []string{"etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"} {
		addFile(f, "/etc/kubernetes/pki/"+name+".crt")
		addFile(f, "/etc/kubernetes/pki/"+name+".key")
	}
	addFile(f, "/etc/kubernetes/manifests/etcd.yaml")
}

func TestPhasesAreEnabledByTheInventory(t *testing.T) {
	t.Parallel()
	const plain = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"
	for inventory, want := range map[string][]string{
		plain: nil, three: {"etcd-ca", "etcd-host", "etcd-ready", "etcd-client", "etcd-empty"},
		plain + "etcd: {external: {endpoints: ['https://a.example:2379'], caFile: a, certFile: b, keyFile: c}}\n": {"etcd-client", "etcd-empty"},
	} {
		c := workflowtest.New(t, inventory).Cluster
		var got []string
		for _, p := range []workflow.Phase{Authority(), Member(), Ready(), Client(), Data()} {
			if p.Enabled(c) {
				got = append(got, p.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v", inventory, got)
		}
	}
}

// expectFacts makes a host that has created the CA be read again.
func expectFacts(fake *hosttest.Fake) {
	text := "arch\tx86_64\nkernel\t6\n"
	for _, file := range kubeadm.EtcdAuthority() {
		text += "kubeFile\t" + file.Path + " ok\n"
	}
	fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(text)
}

// The facts that preflight has read are those from before the reset was finished.
func TestTheCAIsCreatedWhenAnInterruptedResetIsFinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture := workflowtest.New(t, three)
		complete(fixture.Facts("etcd-1"))
		putAuthority(fixture, "etcd-3")
		fixture.Host("etcd-3").ExpectRunScript("kubeadm-phases.sh", configFile, "certs etcd-ca")
		expectFacts(fixture.Host("etcd-3"))
		finish := workflow.Phase{Name: "finish-reset", On: workflow.EtcdHosts, Do: func(_ context.Context, s *workflow.Step) error {
			if s.Target.Config.Name == "etcd-1" {
				synctest.Wait() // until nothing is left to do that does not need this reset
			}
			clean := *s.Facts()
			clean.Existing, clean.Kubernetes = nil, facts.Kubernetes{}
			s.Target.SetFacts(&clean)
			return nil
		}}
		kubelet := workflow.Phase{Name: "kubelet", On: workflow.EtcdHosts, Do: func(context.Context, *workflow.Step) error { return nil }}
		run := &workflow.Run{Cluster: fixture.Cluster, Hosts: fixture.Hosts, Bundle: fixture.Bundle, Sink: &report.Recorder{}, Parallel: 4, Holder: "test"}
		if err := run.Do(t.Context(), workflow.Workflow{Name: "test", Phases: []workflow.Phase{finish, kubelet, Authority()}}); err != nil {
			t.Fatal(err)
		}
		if seed := fixture.Hosts.EtcdSeed().Config.Name; seed != "etcd-3" {
			t.Errorf("the other hosts copy the CA from %s", seed)
		}
	})
}

func TestTheFirstHostCreatesTheCA(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	fixture.Host("etcd-2").ExpectRunScript("kubeadm-phases.sh", configFile, "certs etcd-ca")
	expectFacts(fixture.Host("etcd-2"))
	fixture.MustApply(Authority())
	config, _ := fixture.Host("etcd-2").File(configFile)
	for _, want := range []string{`value: "` + initialCluster + `"`, `name: "etcd-2"`, `advertiseAddress: "192.0.2.32"`, "kubernetesVersion: \"v1.36.4\""} {
		if !strings.Contains(string(config.Content), want) {
			t.Errorf("no %q in\n%s", want, config.Content)
		}
	}
	for _, name := range []string{"etcd-1", "etcd-3", "cp-1", "w-1"} {
		if asked := fixture.Host(name).Transcript(); asked != "" {
			t.Errorf("%s received %s", name, asked)
		}
	}
}

func TestAHostThatHasTheCAKeepsIt(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	putAuthority(fixture, "etcd-3")
	if seed := fixture.Hosts.EtcdSeed().Config.Name; seed != "etcd-3" {
		t.Errorf("the CA comes from %s", seed)
	}
	fixture.MustApply(Authority())
	fixture.Hosts.All[2].SetUnreachable(host.ErrUnreachable)
	if seed := fixture.Hosts.EtcdSeed().Config.Name; seed != "etcd-2" {
		t.Errorf("with an unreachable host, the CA comes from %s", seed)
	}
}

// Another CA would lock out the API servers.
func TestNoCAIsCreatedBesideData(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	complete(fixture.Facts("etcd-3"))
	err := fixture.Apply(Authority())
	if err == nil || !strings.Contains(err.Error(), "etcd has data on etcd-3") || len(fixture.Changes()) > 0 {
		t.Errorf("got %v, changes %q", err, fixture.Changes())
	}
	// The apply of this plan deletes the data first.
	fixture.Facts("etcd-3").Existing = append(fixture.Facts("etcd-3").Existing, facts.ResetMark)
	fixture.MustPlan(Authority())
}

func TestMembersRunOnTheirHostsOnly(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three+"kubernetes: {kubeletConfiguration: {maxPods: 20, serverTLSBootstrap: true}}\n")
	putAuthority(fixture, "etcd-2")
	for _, name := range []string{"etcd-1", "etcd-2", "etcd-3"} {
		fake := fixture.Host(name)
		fake.ExpectRunScript("kubeadm-phases.sh", memberPhases...)
		fake.ExpectService("kubelet.service", kubelet...).Returns("stopped inactive\n")
		fake.ExpectStart("start kubelet.service: it is inactive", "kubelet.service", kubelet...)
	}
	fixture.MustApply(Member())
	for _, name := range []string{"etcd-1", "etcd-2", "etcd-3"} {
		fake := fixture.Host(name)
		if key, _ := fake.File("/etc/kubernetes/pki/etcd/ca.key"); string(key.Content) != "ca.key of etcd-2" || name != "etcd-2" && key.Perm() != 0o600 {
			t.Errorf("%s: the key of the CA has %v %q", name, key.Perm(), key.Content)
		}
		config, _ := fake.File(kubeletConfig)
		for _, want := range []string{"address: 127.0.0.1", "enabled: false", "mode: AlwaysAllow", "staticPodPath: /etc/kubernetes/manifests", "maxPods: 20", "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock"} {
			if !strings.Contains(string(config.Content), want) {
				t.Errorf("%s: no %q in\n%s", name, want, config.Content)
			}
		}
		if strings.Contains(string(config.Content), "serverTLSBootstrap") {
			t.Errorf("%s: kubelet would ask an API server for a certificate", name)
		}
		if unit, _ := fake.File(dropIn); strings.Contains(string(unit.Content), "kubeconfig") || !strings.Contains(string(unit.Content), "--config="+kubeletConfig) {
			t.Errorf("%s: %s", name, unit.Content)
		}
		if undo := fixture.Undo(name); !slices.Contains(undo, "systemctl disable --quiet --now kubelet.service") {
			t.Errorf("%s: undo %q", name, undo)
		}
		complete(fixture.Facts(name))
		fake.ExpectService("kubelet.service", kubelet...)
	}
	for _, name := range []string{"cp-1", "w-1"} {
		if asked := fixture.Host(name).Transcript(); asked != "" {
			t.Errorf("%s received %s", name, asked)
		}
	}
	fixture.MustApply(Member())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %q", again)
	}
}

func TestPairsThatAreNotWholeAreCreatedAgain(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	putAuthority(fixture, "etcd-1")
	fixture.Selection.Hosts = []string{"etcd-1"}
	f := fixture.Facts("etcd-1")
	addFile(f, "/etc/kubernetes/pki/etcd/peer.key")
	f.Kubernetes.Files = append(f.Kubernetes.Files, facts.KubeFile{Path: "/etc/kubernetes/pki/etcd/server.crt", Damaged: true}, facts.KubeFile{Path: "/etc/kubernetes/pki/etcd/server.key"})
	if got := kubeadm.RecreateEtcd(f.Kubernetes); !slices.Equal(got, []string{"/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/server.key", "/etc/kubernetes/pki/etcd/peer.key"}) {
		t.Errorf("got %q", got)
	}
}

func TestDataOfAnotherEtcdIsRefused(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"etcd-1 has data of etcd that slipway did not create": "",
		"etcd-1 has data of an etcd with other members":       `value: "etcd-1=https://192.0.2.31:2380"`,
	} {
		fixture := workflowtest.New(t, three)
		fixture.Selection.Hosts = []string{"etcd-1"}
		putAuthority(fixture, "etcd-1")
		complete(fixture.Facts("etcd-1"))
		if before != "" {
			fixture.Host("etcd-1").Put(configFile, before)
		}
		err := fixture.Apply(Member())
		if err == nil || !strings.Contains(err.Error(), name) || workflow.Hint(err) == "" || len(fixture.Changes()) > 0 {
			t.Errorf("%s: got %v, changes %q", name, err, fixture.Changes())
		}
	}
}

// selfSigned is a certificate in PEM that expires after a time.
func selfSigned(t *testing.T, left time.Duration) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(left - 365*24*time.Hour), NotAfter: time.Now().Add(left)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestCertificatesThatHaveExpiredAreCreatedAgain(t *testing.T) {
	t.Parallel()
	const client = "/etc/kubernetes/pki/apiserver-etcd-client"
	expired := []facts.Certificate{{Path: client + ".crt", PEM: selfSigned(t, -time.Hour)}}
	fixture := workflowtest.New(t, three)
	fixture.Hosts.SetState(&cluster.State{Exists: true})
	putAuthority(fixture, "etcd-1")
	complete(fixture.Facts("etcd-1"))
	for _, file := range kubeadm.EtcdClientFiles() {
		addFile(fixture.Facts("cp-1"), file.Path)
		fixture.Host("cp-1").Put(file.Path, "old")
		fixture.Host("etcd-1").Put(file.Path, "old")
	}
	fixture.Facts("etcd-1").Kubernetes.Certificates, fixture.Facts("cp-1").Kubernetes.Certificates = expired, expired
	// The plan shows what apply changes on the control planes.
	fixture.MustPlan(Client())
	if planned := fixture.Changes(); len(planned) != 1 {
		t.Errorf("planned %q", planned)
	}
	fake := fixture.Host("etcd-1")
	config, err := kubeadm.Etcd(kubeadm.Member{Name: "etcd-1", IP: netip.MustParseAddr("192.0.2.31")}, mustMembers(t, fixture), "v1.36.4")
	if err != nil {
		t.Fatal(err)
	}
	fake.PutFile(host.File{Path: configFile, Content: config, Mode: 0o600})
	fake.ExpectRun("rm", "-f", client+".crt", client+".key")
	fake.ExpectRunScript("kubeadm-phases.sh", memberPhases...).Then(func() { fake.Put(client+".crt", "new") })
	fake.ExpectService("kubelet.service", kubelet...)
	fake.ExpectStart("restart kubelet.service: "+dropIn+", "+kubeletConfig+" changed", "kubelet.service", kubelet...)
	fixture.Selection.Hosts = []string{"etcd-1"}
	fixture.MustApply(Member())
	fixture.Selection.Hosts = []string{"cp-1"}
	fixture.MustApply(Client())
	if file, _ := fixture.Host("cp-1").File(client + ".crt"); string(file.Content) != "new" {
		t.Errorf("the control plane has %q", file.Content)
	}
}

// The phase etcd-certificates renews it on the host of etcd first.
func TestThePlanCopiesAClientCertificateThatIsRenewed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		left time.Duration
		want int
	}{"it expires soon": {24 * time.Hour, 1}, "it lasts": {300 * 24 * time.Hour, 0}} {
		fixture := workflowtest.New(t, three)
		putAuthority(fixture, "etcd-1")
		for _, host := range []string{"etcd-1", "cp-1"} {
			for _, file := range kubeadm.EtcdClientFiles() {
				addFile(fixture.Facts(host), file.Path)
				fixture.Host(host).Put(file.Path, "same")
			}
			fixture.Facts(host).Kubernetes.Certificates = []facts.Certificate{{Path: "/etc/kubernetes/pki/apiserver-etcd-client.crt", PEM: selfSigned(t, test.left)}}
		}
		fixture.MustPlan(Client())
		if planned := fixture.Changes(); len(planned) != test.want {
			t.Errorf("%s: planned %q", name, planned)
		}
	}
}

// mustMembers are the members of an etcd on the hosts of the fixture, sorted by name.
func mustMembers(t *testing.T, fixture *workflowtest.Fixture) []kubeadm.Member {
	t.Helper()
	var all []kubeadm.Member
	for _, h := range fixture.Hosts.EtcdHosts() {
		ip, err := h.NodeIP()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, kubeadm.Member{Name: h.Config.Name, IP: ip})
	}
	slices.SortFunc(all, func(a, b kubeadm.Member) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// A run was killed before the member had data, and the inventory has changed since.
func TestAMemberStartsOverWithAnotherNameOrAddress(t *testing.T) {
	t.Parallel()
	const old = `value: "etcd-0=https://192.0.2.31:2380"`
	created := &facts.Facts{}
	complete(created)
	made := kubeadm.EtcdMemberFiles(created.Kubernetes)
	read := func(data bool) string {
		text := "arch\tx86_64\nkernel\t6\n"
		for _, path := range made {
			text += "kubeFile\t" + path + " ok\n"
		}
		if data {
			text += "exists\t" + string(facts.EtcdMember) + "\n"
		}
		return text
	}
	for name, test := range map[string]struct {
		data, killed bool
		want         string
	}{
		"everything is created again":                    {},
		"the run is killed again":                        {killed: true, want: "killed"},
		"the kubelet of that run has started the member": {data: true, want: "etcd-1 has data of an etcd with other members"},
	} {
		fixture := workflowtest.New(t, three)
		fixture.Selection.Hosts = []string{"etcd-1"}
		putAuthority(fixture, "etcd-1")
		complete(fixture.Facts("etcd-1"))
		fixture.Facts("etcd-1").Existing = nil
		fake := fixture.Host("etcd-1")
		fake.Put(configFile, old)
		fake.ExpectRunScript("stop.sh", "kubelet.service", "containers")
		fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(read(test.data))
		if !test.data {
			remove := fake.ExpectRun(append([]string{"rm", "-f"}, made...)...)
			if test.killed {
				remove.Fails(1, "killed")
			} else {
				fake.ExpectRunScript("kubeadm-phases.sh", memberPhases...)
				fake.ExpectService("kubelet.service", kubelet...).Returns("stopped inactive\n")
				fake.ExpectStart("start kubelet.service: it is inactive", "kubelet.service", kubelet...)
			}
		}
		err := fixture.Apply(Member())
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v", name, err)
		}
		if config, _ := fake.File(configFile); (string(config.Content) == old) != (test.want != "") {
			t.Errorf("%s: %s", name, config.Content)
		}
	}
}

// Members with different lists of all members reject each other.
func TestAMemberDoesNotStartBesideDataOfOtherMembers(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	fixture.Selection.Hosts = []string{"etcd-1"}
	putAuthority(fixture, "etcd-1")
	complete(fixture.Facts("etcd-3"))
	fixture.Host("etcd-3").Put(configFile, `value: "`+strings.Replace(initialCluster, "192.0.2.31", "192.0.2.99", 1)+`"`)
	err := fixture.Apply(Member()) // etcd is not asked: members of different lists do not answer
	if err == nil || !strings.Contains(err.Error(), "etcd-3 has data of an etcd with other members") || !strings.Contains(workflow.Hint(err), "slipway reset") || len(fixture.Changes()) > 0 {
		t.Errorf("got %v, changes %q", err, fixture.Changes())
	}
}

// A plan reports the difference, and no host of the cluster changes.
func TestKubeletKeepsItsConfigurationInAClusterThatExists(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version string
		intact  bool
		want    string
	}{
		"a cluster that exists":       {"v1.36.4", true, "before"},
		"an init that was killed":     {"", true, "maxPods: 20"},
		"a configuration that is cut": {"v1.36.4", false, "maxPods: 20"},
	} {
		fixture := workflowtest.New(t, three+"kubernetes: {kubeletConfiguration: {maxPods: 20}}\n")
		fixture.Hosts.SetState(&cluster.State{Exists: true, Version: test.version})
		fixture.Selection.Hosts = []string{"etcd-1"}
		putAuthority(fixture, "etcd-1")
		f, fake := fixture.Facts("etcd-1"), fixture.Host("etcd-1")
		f.Kubernetes.Files = append(f.Kubernetes.Files, facts.KubeFile{Path: kubeletConfig, Damaged: !test.intact})
		fake.Put(kubeletConfig, "before")
		fake.ExpectRunScript("kubeadm-phases.sh", memberPhases...)
		fake.ExpectService("kubelet.service", kubelet...).Returns("stopped inactive\n")
		fake.ExpectStart("start kubelet.service: it is inactive", "kubelet.service", kubelet...)
		fixture.MustApply(Member())
		if config, _ := fake.File(kubeletConfig); !strings.Contains(string(config.Content), test.want) {
			t.Errorf("%s: %s", name, config.Content)
		}
	}
}

// The addresses of hosts that are off are not known: what was written stays.
func TestAHostThatIsOffLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	putAuthority(fixture, "etcd-1")
	off := fixture.Hosts.All[0]
	off.SetUnreachable(host.ErrUnreachable)
	off.SetFacts(nil)
	fixture.Selection.Hosts = []string{"etcd-1"}
	fake := fixture.Host("etcd-1")
	fake.ExpectService("kubelet.service", kubelet...)
	fake.ExpectStart("restart kubelet.service: "+dropIn+", "+kubeletConfig+" changed", "kubelet.service", kubelet...)
	complete(fixture.Facts("etcd-1"))
	if err := fixture.Apply(Member()); err.Error() != host.ErrUnreachable.Error() {
		t.Fatal(err) // the run fails in the end, because of the host that is off
	}
	if _, written := fake.File(configFile); written {
		t.Error("the configuration was written without the address of a member")
	}
	// Without data, all members are needed.
	fixture = workflowtest.New(t, three)
	putAuthority(fixture, "etcd-1")
	fixture.Hosts.All[0].SetUnreachable(host.ErrUnreachable)
	fixture.Hosts.All[0].SetFacts(nil)
	fixture.Selection.Hosts = []string{"etcd-1"}
	if err := fixture.Apply(Member()); err == nil || !strings.Contains(workflow.Hint(err), "all of its members") {
		t.Errorf("got %v", err)
	}
}

func healthOf(problems ...error) kube.EtcdHealth {
	var health kube.EtcdHealth
	for i, problem := range problems {
		health.Members = append(health.Members, kube.EtcdMemberHealth{
			EtcdMember: kube.EtcdMember{ID: uint64(i + 1), Name: "etcd-" + string(rune('1'+i))}, Voting: true, Leader: i == 0, Problem: problem,
		})
	}
	return health
}

func TestWhenEtcdIsReady(t *testing.T) {
	t.Parallel()
	hosts := workflowtest.New(t, three).Hosts.EtcdHosts()
	down := errors.New("refused")
	leaderless := healthOf(nil, nil, nil)
	leaderless.Members[0].Leader = false
	tests := []struct {
		name      string
		health    kube.EtcdHealth
		exists    bool
		unhealthy []string
		want      string // empty: etcd is ready
	}{
		{"all members of a new etcd are healthy", healthOf(nil, nil, nil), false, nil, ""},
		{"init needs all members", healthOf(nil, nil, down), false, []string{"etcd-3"}, "the member etcd-3 is not healthy: refused"},
		{"a member has not started", healthOf(nil, nil), false, []string{"etcd-3"}, "the member etcd-3 has not started"},
		{"a cluster needs a majority", healthOf(nil, nil, down), true, nil, ""},
		{"a cluster without a majority", healthOf(nil, down, down), true, []string{"etcd-2", "etcd-1"}, "the member etcd-2 is not healthy"},
		{"no leader", leaderless, false, nil, "no member leads"},
		{"more members than hosts", healthOf(nil, nil, nil, nil), false, nil, "etcd has 4 members"},
	}
	for _, test := range tests {
		_, err := problems(test.health, hosts, test.exists)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestInitNeedsAllHostsOfEtcd(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	fixture.Hosts.SetState(&cluster.State{})
	fixture.Hosts.All[1].SetFacts(nil)
	if err := fixture.Apply(Ready()); err == nil || !strings.Contains(err.Error(), "etcd-1 was not read") {
		t.Errorf("got %v", err)
	}
	// The API server of a cluster that answers has a majority behind it.
	fixture.Hosts.SetState(&cluster.State{Exists: true})
	fixture.MustApply(Ready())
}

func TestControlPlanesGetTheClientCertificateOnly(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, three)
	putAuthority(fixture, "etcd-1")
	for _, file := range kubeadm.EtcdClientFiles() {
		fixture.Host("etcd-1").Put(file.Path, "content of "+filepath.Base(file.Path))
	}
	fixture.MustApply(Client())
	fake := fixture.Host("cp-1")
	if want := []string{"/etc/kubernetes/pki/apiserver-etcd-client.crt", "/etc/kubernetes/pki/apiserver-etcd-client.key", "/etc/kubernetes/pki/etcd/ca.crt"}; !slices.Equal(fake.Paths(), want) {
		t.Errorf("the control plane has %q", fake.Paths())
	}
	if key, _ := fake.File("/etc/kubernetes/pki/apiserver-etcd-client.key"); key.Perm() != 0o600 || !key.Secret {
		t.Errorf("the key has mode %v, secret %t", key.Perm(), key.Secret)
	}
	// With another host of etcd off, and from then on, nothing changes.
	for _, path := range fake.Paths() {
		addFile(fixture.Facts("cp-1"), path)
	}
	for _, h := range fixture.Hosts.EtcdHosts() {
		h.SetUnreachable(host.ErrUnreachable)
		h.SetFacts(nil)
	}
	fixture.Selection.Hosts = []string{"cp-1"}
	err := fixture.Apply(Client())
	for line := range strings.Lines(err.Error()) {
		if strings.TrimSpace(line) != host.ErrUnreachable.Error() {
			t.Error(line)
		}
	}
	if changes := fixture.Changes(); len(changes) > 0 {
		t.Errorf("changes %q", changes)
	}
}

func TestTheFilesOfAnEtcdThatExists(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"+
		"etcd: {external: {endpoints: ['https://a.example:2379'], caFile: a, certFile: b, keyFile: c}}\n")
	dir, external := t.TempDir(), &fixture.Cluster.Etcd.External
	for path, field := range map[string]*string{"a": &external.CAFile, "b": &external.CertFile, "c": &external.KeyFile} {
		*field = filepath.Join(dir, path)
		if err := os.WriteFile(*field, []byte("content of "+path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fixture.MustApply(Client())
	for path, want := range map[string]string{"etcd/ca.crt": "a", "apiserver-etcd-client.crt": "b", "apiserver-etcd-client.key": "c"} {
		if file, _ := fixture.Host("cp-1").File("/etc/kubernetes/pki/" + path); string(file.Content) != "content of "+want {
			t.Errorf("%s: %q", path, file.Content)
		}
	}
}

// connected is a fake from which an etcd is reached.
type connected struct {
	*hosttest.Fake
	address string
}

func (c connected) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, c.address)
}

func TestInitIsRefusedIfEtcdHasTheDataOfACluster(t *testing.T) {
	t.Parallel()
	for answer, refused := range map[string]bool{`{}`: false, `{"kvs":[{"key":"YQ=="}]}`: true} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		t.Cleanup(server.Close)
		key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"+
			"etcd: {external: {endpoints: ['https://example.com:2379'], caFile: a, certFile: b, keyFile: c}}\n")
		fake := fixture.Host("cp-1")
		certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
		fake.Put("/etc/kubernetes/pki/etcd/ca.crt", certificate)
		fake.Put("/etc/kubernetes/pki/apiserver-etcd-client.crt", certificate)
		fake.Put("/etc/kubernetes/pki/apiserver-etcd-client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
		fixture.Hosts.All[0].Conn = connected{fake, server.Listener.Addr().String()}
		err = fixture.Apply(Data())
		if refused != (err != nil) || refused && (!strings.Contains(err.Error(), "etcd has the data of a cluster") || !strings.Contains(workflow.Hint(err), "etcdctl del /registry/ --prefix")) {
			t.Errorf("%s: got %v, hint %q", answer, err, workflow.Hint(err))
		}
		// An init that was interrupted has written it.
		fixture.Facts("cp-1").Existing = []facts.Path{facts.CAKey}
		fixture.MustApply(Data())
	}
}
