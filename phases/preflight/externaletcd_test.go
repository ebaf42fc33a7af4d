package preflight

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const etcdHosts = `
hosts:
  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}
  - {name: etcd-2, address: 192.0.2.32, roles: [etcd]}
  - {name: etcd-3, address: 192.0.2.33, roles: [etcd]}
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

func TestHostsOfEtcdHaveOnlyThePortsOfEtcd(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, etcdHosts)
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}
	members := []string{"etcd-1", "etcd-2", "etcd-3"}
	for _, need := range cc.needs() {
		from, to := []string{"cp-1"}, members
		switch need.Port {
		case etcdClients:
		case etcdPeers:
			from = members
		default:
			if slices.Contains(need.To, "etcd-1") || slices.Contains(need.From, "etcd-1") {
				t.Errorf("a host of etcd needs %+v", need)
			}
			continue
		}
		if need.Protocol != netprobe.TCP || !slices.Equal(need.From, from) || !slices.Equal(need.To, to) {
			t.Errorf("got %+v", need)
		}
	}
	for _, node := range cc.nodes() {
		if (node.DiskPath != "") != slices.Contains(members, node.Name) {
			t.Errorf("the disk of %s is measured: %q", node.Name, node.DiskPath)
		}
	}
}

// kubeadm certs renew all renews no certificate of external etcd.
func TestTheRemedyForACertificateThatExpires(t *testing.T) {
	t.Parallel()
	const existing = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n" +
		"etcd: {external: {endpoints: ['https://a.example:2379'], caFile: a, certFile: b, keyFile: c}}\n"
	const client, ca = "/etc/kubernetes/pki/apiserver-etcd-client.crt", "/etc/kubernetes/pki/etcd/ca.crt"
	for name, test := range map[string]struct {
		inventory, host, path string
		fix                   string
		soon, expired         check.Severity
	}{
		"a server on a host of etcd":           {etcdHosts, "etcd-1", "/etc/kubernetes/pki/etcd/server.crt", "slipway", check.Info, check.Warning},
		"the client on a host of etcd":         {etcdHosts, "etcd-1", client, "slipway", check.Info, check.Warning},
		"its copy on a control plane":          {etcdHosts, "cp-1", client, "run `slipway apply` on all hosts", check.Info, check.Warning},
		"the CA on a host of etcd":             {etcdHosts, "etcd-1", ca, "Rotate a CA", check.Warning, ""},
		"another one on a control plane":       {etcdHosts, "cp-1", "/etc/kubernetes/pki/apiserver.crt", "slipway", check.Info, ""},
		"the client of an etcd that exists":    {existing, "cp-1", client, "replace etcd.external.certFile and keyFile", check.Warning, check.Warning},
		"the CA of an etcd that exists":        {existing, "cp-1", ca, "replace etcd.external.caFile", check.Warning, check.Warning},
		"the client of etcd on control planes": {two, "cp-1", client, "slipway", check.Info, ""},
	} {
		for left, severity := range map[time.Duration]check.Severity{29 * 24 * time.Hour: test.soon, -time.Hour: test.expired} {
			fixture := workflowtest.New(t, test.inventory)
			f := fixture.Facts(test.host)
			signed(certificate(t, left))(f)
			f.Kubernetes.Certificates[0].Path = test.path
			h, _ := fixture.Cluster.Host(test.host)
			found := certExpiry(fixture.Cluster)(h, f)
			if len(found) != 1 || found[0].Severity != severity || !strings.Contains(found[0].Fix, test.fix) {
				t.Errorf("%s, %v left: got %+v", name, left, found)
			}
		}
	}
}

func TestOrdinaryHostsOfEtcdHaveNoFindings(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, etcdHosts)
	if got := told(reportOf(fixture)); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestFaultsOfHostsOfEtcd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*facts.Facts)
		want   string // empty: no finding
	}{
		"a listener on a port of etcd": {func(f *facts.Facts) { f.Listeners = []facts.Listener{{Port: 2379, Process: "etcd"}} }, "leftovers etcd-1 error"},
		"the web server of somebody":   {func(f *facts.Facts) { f.Listeners = []facts.Listener{{Port: 10256, Process: "nginx"}} }, ""},
		"data of somebody":             {func(f *facts.Facts) { f.Existing = append(f.Existing, facts.EtcdMember) }, "leftovers etcd-1 error"},
		"a kernel without br_netfilter": {func(f *facts.Facts) {
			f.Modules = slices.DeleteFunc(slices.Clone(f.Modules), func(m string) bool { return m == "br_netfilter" })
		}, ""},
	} {
		fixture := workflowtest.New(t, etcdHosts)
		test.change(fixture.Facts("etcd-1"))
		got := told(reportOf(fixture))
		if test.want == "" && len(got) > 0 || test.want != "" && !slices.Contains(got, test.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A host of etcd that was reinstalled has no journal, and must not start empty.
func TestAReinstalledHostOfEtcdIsReported(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, etcdHosts)
	f := fixture.Facts("cp-1")
	journaled(f)
	f.Existing = append(f.Existing, facts.CAKey, facts.APIServerManifest, facts.KubeletConf)
	if got := told(reportOf(fixture)); !slices.Contains(got, "cluster-identity etcd-1 error") {
		t.Errorf("got %q", got)
	}
}

// Without the API server, the record of the cluster is not known.
func TestTheKindOfEtcdDoesNotChangeWhileTheAPIServerIsSilent(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, etcdHosts)
	f := fixture.Facts("cp-1")
	journaled(f)
	f.Existing = append(f.Existing, facts.CAKey, facts.APIServerManifest, facts.KubeletConf, facts.EtcdMember)
	for _, name := range []string{"etcd-1", "etcd-2", "etcd-3"} {
		journaled(fixture.Facts(name))
		fixture.Facts(name).Existing = append(fixture.Facts(name).Existing, facts.EtcdService, facts.EtcdMember)
	}
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, state: &cluster.State{Exists: true, Silent: os.ErrDeadlineExceeded}}
	found := clusterIdentity(cc)
	if len(found) != 1 || found[0].Host != "cp-1" || !strings.Contains(found[0].Evidence, "the kind of etcd of a cluster cannot change") {
		t.Errorf("got %+v", found)
	}
}

func TestTheAddressOfAHostOfEtcdDoesNotChange(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, etcdHosts)
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, state: &cluster.State{Exists: true, EtcdEndpoints: []string{"https://192.0.2.31:2379", "https://192.0.2.32:2379", "https://192.0.2.99:2379"}}}
	found := changedAddress(cc)
	if len(found) != 1 || found[0].Host != "etcd-3" || !strings.Contains(found[0].Evidence, "https://192.0.2.99:2379") {
		t.Errorf("got %+v", found)
	}
}

func TestTheFilesOfAnEtcdThatExistsAreChecked(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "etcd: {external: {endpoints: ['https://192.0.2.31:2379'], caFile: a, certFile: b, keyFile: c}}\n"+two[1:])
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}
	found := func() []string {
		cc.etcd = nil
		cc.readEtcd(t.Context())
		var all []string
		for _, f := range externalEtcdCheck().run(cc) {
			all = append(all, f.Host+": "+f.Evidence)
		}
		return all
	}
	external := &fixture.Cluster.Etcd.External
	external.CAFile = filepath.Join(t.TempDir(), "ca.crt")
	if got := found(); len(got) != 1 || !strings.Contains(got[0], "ca.crt: no such file") {
		t.Errorf("got %q", got)
	}
	external.CertFile, external.KeyFile = external.CAFile, external.CAFile
	if err := os.WriteFile(external.CAFile, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := found(); len(got) != 1 || !strings.Contains(got[0], "caFile contains no certificate") {
		t.Errorf("got %q", got)
	}
	if reason := externalEtcdCheck().applies(workflowtest.New(t, two).Cluster); reason == "" {
		t.Error("it applies to etcd on the control planes")
	}
}

// The API server uses another endpoint. kubeadm init asks each.
func TestARunningClusterNeedsOneEndpointOfEtcd(t *testing.T) {
	t.Parallel()
	const good, bad = "https://example.com:2379", "https://192.0.2.99:2379"
	running := &cluster.State{Exists: true}
	for name, test := range map[string]struct {
		endpoints []string
		state     *cluster.State
		want      check.Severity
	}{
		"one of two, and the cluster runs":             {[]string{good, bad}, running, check.Warning},
		"none, and the cluster runs":                   {[]string{bad, "https://192.0.2.98:2379"}, running, check.Error},
		"one of two, for a new cluster":                {[]string{good, bad}, &cluster.State{}, check.Error},
		"one of two, and the API server is silent":     {[]string{good, bad}, &cluster.State{Exists: true, Silent: os.ErrDeadlineExceeded}, check.Error},
		"one of two, and the cluster was not observed": {[]string{good, bad}, nil, check.Error},
		"all": {[]string{good}, &cluster.State{}, check.OK},
	} {
		fixture := workflowtest.New(t, "etcd: {external: {endpoints: ['"+strings.Join(test.endpoints, "', '")+"'], caFile: a, certFile: b, keyFile: c}}\n"+two[1:])
		fixture.ServeEtcd("cp-1", `{"ID":"1","name":"a"}`)
		var files []host.File
		for _, path := range []string{"ca.crt", "healthcheck-client.crt", "healthcheck-client.key"} {
			file, _ := fixture.Host("cp-1").File("/etc/kubernetes/pki/etcd/" + path)
			files = append(files, file)
		}
		cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, state: test.state}
		cc.askEndpoints(t.Context(), files)
		if got := cc.result(externalEtcdCheck(), Selection{}); got.Status != test.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestOnlyTheNumberOfHostsOfEtcdMatters(t *testing.T) {
	t.Parallel()
	const plane = "  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}\ncontrolPlane: {endpoint: api.example}\n"
	const ignored = "preflight: {ignore: [{check: even-etcd, reason: a test}]}\n"
	even := strings.Replace(etcdHosts, "  - {name: etcd-3, address: 192.0.2.33, roles: [etcd]}\n", "", 1)
	for inventory, want := range map[string][]string{etcdHosts + plane: nil, even + ignored: {"even-etcd  error"}} {
		fixture := workflowtest.New(t, inventory)
		cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: &cluster.State{Exists: true}}
		if got := told(cc.report(Selection{Only: []string{"even-etcd"}})); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", inventory, got)
		}
	}
}
