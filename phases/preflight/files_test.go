package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// intactFiles are those of a control plane.
func intactFiles() []facts.KubeFile {
	var files []facts.KubeFile
	for _, name := range []string{
		"ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client",
		"etcd/ca", "etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client",
	} {
		files = append(files, facts.KubeFile{Path: "/etc/kubernetes/pki/" + name + ".crt"}, facts.KubeFile{Path: "/etc/kubernetes/pki/" + name + ".key"})
	}
	return append(files, facts.KubeFile{Path: "/etc/kubernetes/pki/sa.key"}, facts.KubeFile{Path: "/etc/kubernetes/pki/sa.pub"},
		facts.KubeFile{Path: "/etc/kubernetes/admin.conf"}, facts.KubeFile{Path: "/etc/kubernetes/kubelet.conf"},
		facts.KubeFile{Path: "/var/lib/kubelet/pki/kubelet-client-current.pem"})
}

// An administrator may keep the key of the CA elsewhere. A reset that was killed has
// deleted the certificate too.
func TestTheKeyOfTheCAMayBeElsewhere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		missing []string
		found   bool
	}{
		"the key":                     {[]string{"ca.key"}, false},
		"the key and the certificate": {[]string{"ca.key", "ca.crt"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			f := fixture.Facts("cp-1")
			f.Existing = []facts.Path{facts.Journal, facts.EtcdMember}
			f.Kubernetes.Files = slices.DeleteFunc(intactFiles(), func(file facts.KubeFile) bool {
				return slices.Contains(test.missing, strings.TrimPrefix(file.Path, "/etc/kubernetes/pki/"))
			})
			cc := &checkContext{
				cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none",
				state: &cluster.State{Exists: true, Record: &cluster.Record{}},
			}
			if found := told(cc.report(Selection{Only: []string{"cluster-files"}})); len(found) > 0 != test.found {
				t.Errorf("found %q", found)
			}
		})
	}
}

func TestClusterFiles(t *testing.T) {
	t.Parallel()
	const pki = "/etc/kubernetes/pki/"
	tests := []struct {
		name    string
		damaged string
		// data: etcd has data. complete: the cluster has slipway's record.
		data, complete bool
		evidence, fix  string
	}{
		{"intact", "", true, true, "", ""},
		{"a certificate of a complete cluster", pki + "apiserver.crt", true, true, pki + "apiserver.crt is empty", "kubeadm init phase certs all"},
		{"a kubeconfig of a complete cluster", "/etc/kubernetes/admin.conf", true, true, "/etc/kubernetes/admin.conf is empty", "kubeadm init phase kubeconfig all"},
		{"the identity of kubelet", "/var/lib/kubelet/pki/kubelet-client-current.pem", true, true, "kubelet-client-current.pem is empty", "kubeadm init phase kubeconfig kubelet"},
		{"the key of service accounts", pki + "sa.key", true, true, pki + "sa.key is empty", "restore it from a backup"},
		{"the CA of etcd", pki + "etcd/ca.crt", true, true, pki + "etcd/ca.crt is empty", "restore it from a backup"},
		{"the CA of a complete cluster", pki + "ca.key", true, true, pki + "ca.key is empty or truncated, and etcd has data", "slipway reset --yes --hosts cp-1, then slipway apply"},
		{"the CA after an interrupted init with data", pki + "ca.crt", true, false, pki + "ca.crt is empty or truncated, and etcd has data", "slipway reset --yes --hosts cp-1, then slipway apply"},
		{"the CA after an interrupted init without data, which init creates again", pki + "ca.crt", false, false, "", ""},
		{"a certificate after an interrupted init, which init creates again", pki + "apiserver.crt", true, false, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			f := fixture.Facts("cp-1")
			f.Existing = []facts.Path{facts.Journal, facts.CAKey}
			if test.data {
				f.Existing = append(f.Existing, facts.EtcdMember)
			}
			f.Kubernetes.Files = intactFiles()
			for i := range f.Kubernetes.Files {
				f.Kubernetes.Files[i].Damaged = f.Kubernetes.Files[i].Path == test.damaged
			}
			state := &cluster.State{Exists: true}
			if test.complete {
				state.Record = &cluster.Record{}
			}
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: state}
			report := cc.report(Selection{Only: []string{"cluster-files"}})
			var want []string
			if test.evidence != "" {
				want = []string{"cluster-files cp-1 error"}
			}
			if diff := cmp.Diff(want, told(report)); diff != "" {
				t.Fatal(diff)
			}
			for _, c := range report.Checks {
				for _, finding := range c.Findings {
					if !strings.Contains(finding.Evidence, test.evidence) || !strings.Contains(finding.Fix, test.fix) {
						t.Errorf("got %+v", finding)
					}
				}
			}
		})
	}
}

// apply writes the files of external etcd again.
func TestDamagedFilesOfAnEtcdElsewhereAreNotRefused(t *testing.T) {
	t.Parallel()
	for damaged, want := range map[string][]string{
		"apiserver-etcd-client.crt": nil, "apiserver-etcd-client.key": nil, "etcd/ca.crt": nil,
		"apiserver.crt": {"cluster-files cp-1 error"},
	} {
		fixture := workflowtest.New(t, etcdHosts)
		f := fixture.Facts("cp-1")
		f.Existing = []facts.Path{facts.Journal, facts.CAKey, facts.KubeletConf, facts.APIServerManifest}
		f.Kubernetes.Files = intactFiles()
		for i := range f.Kubernetes.Files {
			f.Kubernetes.Files[i].Damaged = f.Kubernetes.Files[i].Path == "/etc/kubernetes/pki/"+damaged
		}
		cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: &cluster.State{Exists: true, Record: &cluster.Record{}}}
		if diff := cmp.Diff(want, told(cc.report(Selection{Only: []string{"cluster-files"}}))); diff != "" {
			t.Errorf("%s: %s", damaged, diff)
		}
	}
}

// A control plane that joined has no configuration of init, and can join again.
func TestDamagedFilesOfControlPlanesThatJoined(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		joining bool
		want    []string
	}{
		"completely":                            {false, []string{"cluster-files cp-2 error"}},
		"not completely, which apply continues": {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, grown)
			for _, h := range fixture.Hosts.All {
				h.Facts().Existing = []facts.Path{facts.Journal, facts.CAKey, facts.EtcdMember}
				h.Facts().Kubernetes.Files = intactFiles()
			}
			joined := fixture.Facts("cp-2")
			if test.joining {
				joined.Existing = append(joined.Existing, facts.JoinConfig)
			}
			for i := range joined.Kubernetes.Files {
				joined.Kubernetes.Files[i].Damaged = joined.Kubernetes.Files[i].Path == "/etc/kubernetes/pki/apiserver.crt"
			}
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: &cluster.State{Exists: true, Record: &cluster.Record{}}}
			report := cc.report(Selection{Only: []string{"cluster-files"}})
			if diff := cmp.Diff(test.want, told(report)); diff != "" {
				t.Fatal(diff)
			}
			for _, c := range report.Checks {
				for _, f := range c.Findings {
					if !strings.Contains(f.Fix, "slipway reset --yes --hosts cp-2, then slipway apply") {
						t.Errorf("got %+v", f)
					}
				}
			}
		})
	}
}
