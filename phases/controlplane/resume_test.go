package controlplane

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const pki = "/etc/kubernetes/pki/"

// whole are the files that kubeadm init creates before it starts kubelet.
func whole() []facts.KubeFile {
	var files []facts.KubeFile
	for _, name := range []string{
		"ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client",
		"etcd/ca", "etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client",
	} {
		files = append(files, facts.KubeFile{Path: pki + name + ".crt"}, facts.KubeFile{Path: pki + name + ".key"})
	}
	files = append(files, facts.KubeFile{Path: pki + "sa.key"}, facts.KubeFile{Path: pki + "sa.pub"})
	for _, name := range []string{"admin", "super-admin", "kubelet", "controller-manager", "scheduler"} {
		files = append(files, facts.KubeFile{Path: "/etc/kubernetes/" + name + ".conf"})
	}
	return files
}

// damaged are those files, some of which are damaged.
func damaged(paths ...string) []facts.KubeFile {
	files := whole()
	for i := range files {
		files[i].Damaged = slices.Contains(paths, files[i].Path)
	}
	return files
}

// without are those files, some of which do not exist.
func without(paths ...string) []facts.KubeFile {
	return slices.DeleteFunc(whole(), func(f facts.KubeFile) bool { return slices.Contains(paths, f.Path) })
}

// expectStop expects that the interrupted init is stopped, and that the facts are read
// again, which show these files.
func expectStop(fake *hosttest.Fake, existing []facts.Path, files []facts.KubeFile) {
	fake.ExpectRunScript("stop.sh", "slipway-kubeadm-init.service", "containers")
	out := "arch\tx86_64\nkernel\t6\n"
	for _, path := range existing {
		out += "exists\t" + string(path) + "\n"
	}
	for _, f := range files {
		state := "ok"
		if f.Damaged {
			state = "damaged"
		}
		out += "kubeFile\t" + f.Path + " " + state + "\n"
	}
	fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(out)
}

func expectDelete(fake *hosttest.Fake, paths ...string) {
	fake.ExpectRun(append([]string{"rm", "-f"}, paths...)...)
}

func notRunning(fake *hosttest.Fake) *hosttest.Expectation {
	return fake.ExpectQuery("systemctl", "is-active", "--quiet", "slipway-kubeadm-init.service").AsUser()
}

// interrupted is a fixture whose init was interrupted before the API server started.
func interrupted(t *testing.T, inventory string, files []facts.KubeFile, existing ...facts.Path) (*workflowtest.Fixture, *hosttest.Fake) {
	t.Helper()
	fixture, fake, server := begun(t, inventory)
	fixture.Facts("cp-1").Existing, fixture.Facts("cp-1").Kubernetes.Files = existing, files
	server.Intercept(refuses(http.StatusServiceUnavailable, "ServiceUnavailable", "not started"))
	document, err := kubeadm.Init(fixture.Cluster, kubeadm.Node{Spec: fixture.Cluster.Hosts[0], IP: mustIP(t, fixture), Version: fixture.Hosts.Version(fixture.Cluster)})
	if err != nil {
		t.Fatal(err)
	}
	fake.Put(initFile, string(document))
	expectInit(fake).AnyTimes().Then(func() { answering(server, nil) })
	return fixture, fake
}

// ran reports whether the unit of init was started or followed.
func ran(fake *hosttest.Fake) bool { return strings.Contains(fake.Transcript(), "unit kubeadm-init") }

func mustIP(t *testing.T, fixture *workflowtest.Fixture) netip.Addr {
	t.Helper()
	ip, err := fixture.Hosts.All[0].NodeIP()
	if err != nil {
		t.Fatal(err)
	}
	return ip
}

func TestInitCreatesDamagedFilesAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []facts.KubeFile
		want  []string
	}{
		{"an empty certificate", damaged(pki + "apiserver.crt"), []string{pki + "apiserver.crt", pki + "apiserver.key"}},
		{"a key without a certificate", without(pki + "apiserver.crt"), []string{pki + "apiserver.key"}},
		{"a truncated kubeconfig", damaged("/etc/kubernetes/admin.conf"), []string{"/etc/kubernetes/admin.conf"}},
		{"half a key pair of service accounts", without(pki + "sa.pub"), []string{pki + "sa.key"}},
		{"an empty CA of etcd", damaged(pki + "etcd/ca.key"), []string{
			pki + "apiserver-etcd-client.crt", pki + "apiserver-etcd-client.key", pki + "etcd/ca.crt", pki + "etcd/ca.key",
			pki + "etcd/healthcheck-client.crt", pki + "etcd/healthcheck-client.key", pki + "etcd/peer.crt", pki + "etcd/peer.key",
			pki + "etcd/server.crt", pki + "etcd/server.key",
		}},
		{"an empty CA, which has signed nothing for others", damaged(pki + "ca.crt"), []string{
			"/etc/kubernetes/admin.conf", "/etc/kubernetes/controller-manager.conf", "/etc/kubernetes/kubelet.conf",
			pki + "apiserver-kubelet-client.crt", pki + "apiserver-kubelet-client.key", pki + "apiserver.crt", pki + "apiserver.key",
			pki + "ca.crt", pki + "ca.key", "/etc/kubernetes/scheduler.conf", "/etc/kubernetes/super-admin.conf",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := interrupted(t, one, test.files, facts.CAKey)
			notRunning(fake).Fails(3, "")
			expectStop(fake, []facts.Path{facts.CAKey}, test.files)
			expectDelete(fake, test.want...)
			fixture.MustApply(Init())
			if !ran(fake) {
				t.Error("init did not run")
			}
		})
	}
}

// A certificate that is only half written belongs to a kubeadm that runs.
func TestInitFollowsARunningInit(t *testing.T) {
	t.Parallel()
	fixture, fake := interrupted(t, one, without(pki+"etcd/ca.crt"), facts.CAKey)
	notRunning(fake)
	fixture.MustApply(Init())
	if !ran(fake) {
		t.Error("the unit was not followed")
	}
}

// The init that ran when the facts were read may have finished since.
func TestInitDeletesNothingThatIsWholeMeanwhile(t *testing.T) {
	t.Parallel()
	fixture, fake := interrupted(t, one, without(pki+"ca.crt"), facts.CAKey)
	notRunning(fake).Fails(3, "")
	expectStop(fake, []facts.Path{facts.CAKey, facts.EtcdMember}, whole())
	fixture.MustApply(Init())
}

func TestInitNeverReplacesACAThatMayHaveSigned(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, inventory string
		files           []facts.KubeFile
		existing        []facts.Path
		path            string
	}{
		{"etcd has data, and the key is empty", one, damaged(pki + "ca.key"), []facts.Path{facts.CAKey, facts.EtcdMember}, pki + "ca.key"},
		{"etcd has data, and the certificate is empty", one, damaged(pki + "ca.crt"), []facts.Path{facts.CAKey, facts.EtcdMember}, pki + "ca.crt"},
		{"etcd has data, and a reset has deleted the CA", one, nil, []facts.Path{facts.EtcdMember}, pki + "ca.key"},
		{"the certificate comes from elsewhere", one, without(pki + "ca.key"), []facts.Path{facts.KubeletConf}, pki + "ca.key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake := interrupted(t, test.inventory, test.files, test.existing...)
			err := fixture.Apply(Init())
			var incomplete *kubeadm.AuthorityError
			if !errors.As(err, &incomplete) || incomplete.Path != test.path || !strings.Contains(workflow.Hint(err), "slipway reset --yes --hosts cp-1, then slipway apply") {
				t.Errorf("got %v, hint %q", err, workflow.Hint(err))
			}
			if ran(fake) {
				t.Error("init ran")
			}
		})
	}
}

// The inventory was edited after the interruption.
func TestInitStartsOverWithOtherValues(t *testing.T) {
	t.Parallel()
	// Everything that the CAs signed.
	all := []string{
		"/etc/kubernetes/admin.conf", "/etc/kubernetes/controller-manager.conf", "/etc/kubernetes/kubelet.conf",
		pki + "apiserver-etcd-client.crt", pki + "apiserver-etcd-client.key",
		pki + "apiserver-kubelet-client.crt", pki + "apiserver-kubelet-client.key", pki + "apiserver.crt", pki + "apiserver.key",
		pki + "etcd/healthcheck-client.crt", pki + "etcd/healthcheck-client.key", pki + "etcd/peer.crt", pki + "etcd/peer.key",
		pki + "etcd/server.crt", pki + "etcd/server.key", pki + "front-proxy-client.crt", pki + "front-proxy-client.key",
		"/etc/kubernetes/scheduler.conf", "/etc/kubernetes/super-admin.conf",
		"/var/lib/kubelet/pki/kubelet-client-current.pem",
	}
	files := append(whole(), facts.KubeFile{Path: "/var/lib/kubelet/pki/kubelet-client-current.pem"}, facts.KubeFile{Path: "/var/lib/kubelet/pki/kubelet.crt"}, facts.KubeFile{Path: "/var/lib/kubelet/pki/kubelet.key"})
	tests := []struct {
		name string
		edit func(*workflowtest.Fixture)
		// stored is the field that etcd has; empty if none.
		stored string
	}{
		{"a name of the API server", func(f *workflowtest.Fixture) { f.Cluster.ControlPlane.CertSANs = []string{"api.example"} }, ""},
		{"the endpoint", func(f *workflowtest.Fixture) { f.Cluster.ControlPlane.Endpoint = "api.example:6443" }, ""},
		{"a setting of the API server", func(f *workflowtest.Fixture) {
			f.Cluster.Kubernetes.ClusterConfiguration = map[string]any{"apiServer": map[string]any{"extraArgs": []any{}}}
		}, ""},
		{"the address", func(f *workflowtest.Fixture) {
			f.Hosts.All[0].Config.NodeIP, f.Cluster.Hosts[0].NodeIP = "192.0.2.99", "192.0.2.99"
		}, "localAPIEndpoint.advertiseAddress: 192.0.2.11 to 192.0.2.99"},
		{"the name", func(f *workflowtest.Fixture) {
			f.Hosts.All[0].Config.Name, f.Cluster.Hosts[0].Name = "cp-9", "cp-9"
		}, "nodeRegistration.name: cp-1 to cp-9"},
		{"the addresses of pods", func(f *workflowtest.Fixture) { f.Cluster.Network.PodSubnet = "10.9.0.0/16" }, "networking.podSubnet: 10.244.0.0/16 to 10.9.0.0/16"},
		{"the addresses of Services", func(f *workflowtest.Fixture) { f.Cluster.Network.ServiceSubnet = "10.9.0.0/16" }, "networking.serviceSubnet: 10.96.0.0/12 to 10.9.0.0/16"},
		{"the domain", func(f *workflowtest.Fixture) { f.Cluster.Network.DNSDomain = "c.example" }, "networking.dnsDomain: cluster.local to c.example"},
	}
	for _, test := range tests {
		for _, data := range []bool{false, true} {
			name, existing := test.name+", before etcd started", []facts.Path{facts.CAKey}
			if data {
				name, existing = test.name+", after etcd started", append(existing, facts.EtcdMember)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				fixture, fake := interrupted(t, one, files, existing...)
				test.edit(fixture)
				if data && test.stored != "" {
					err := fixture.Apply(Init())
					var stored *StoredError
					if !errors.As(err, &stored) || !slices.Equal(stored.Fields, []string{test.stored}) || !strings.Contains(workflow.Hint(err), "slipway reset --yes --hosts") {
						t.Errorf("got %v, hint %q", err, workflow.Hint(err))
					}
					if got := fixture.Changes(); len(got) > 0 {
						t.Errorf("changes %q", got)
					}
					return
				}
				expectStop(fake, existing, files)
				expectDelete(fake, all...)
				fixture.MustApply(Init())
				want, err := kubeadm.Init(fixture.Cluster, kubeadm.Node{Spec: fixture.Hosts.All[0].Config, IP: mustIP(t, fixture), Version: fixture.Hosts.Version(fixture.Cluster)})
				if err != nil {
					t.Fatal(err)
				}
				if document, _ := fake.File(initFile); string(document.Content) != string(want) {
					t.Error(cmp.Diff(string(want), string(document.Content)))
				}
				if !ran(fake) {
					t.Error("init did not run")
				}
			})
		}
	}
}

// The data of external etcd outlives the reset of the control plane, and the phase etcd-empty
// refuses it.
func TestTheRemedyRemovesTheDataToo(t *testing.T) {
	t.Parallel()
	for inventory, want := range map[string]string{
		one: "slipway reset --yes --hosts cp-1, then slipway apply",
		one + "  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}\n":                                        "remove the unfinished cluster: slipway reset --yes, then slipway apply",
		one + "etcd: {external: {endpoints: ['https://a.example:2379'], caFile: a, certFile: b, keyFile: c}}\n": "slipway reset --yes --hosts cp-1, then etcdctl del /registry/ --prefix, then slipway apply",
	} {
		fixture, _ := interrupted(t, inventory, whole(), facts.CAKey, facts.EtcdMember)
		fixture.Selection.Hosts = []string{"cp-1"}
		fixture.Cluster.Network.DNSDomain = "c.example"
		if err := fixture.Apply(Init()); err == nil || !strings.HasSuffix(workflow.Hint(err), want) {
			t.Errorf("%s: got %v, hint %q", inventory, err, workflow.Hint(err))
		}
	}
}

// A reset that was killed has deleted the data of etcd, and not yet the rest.
func TestInitRunsAfterAnInterruptedReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		files := damaged("/etc/kubernetes/kubelet.conf") // it names a certificate that is gone
		existing := []facts.Path{facts.CAKey, facts.AdminConf, facts.APIServerManifest, facts.KubeletConf}
		fixture, fake := interrupted(t, one, files, existing...)
		fixture.Facts("cp-1").Kubernetes.Finalized = true
		notRunning(fake).Fails(3, "")
		expectStop(fake, existing, files)
		expectDelete(fake, "/etc/kubernetes/kubelet.conf")
		fixture.MustApply(Init())
		if !ran(fake) {
			t.Error("init did not run")
		}
	})
}

func TestInitIsRefusedWhereAResetHasLeftWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture, fake := interrupted(t, one+"  - {name: w-1, address: 192.0.2.21}\n", whole(), facts.CAKey, facts.AdminConf, facts.APIServerManifest)
		fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
		err := fixture.Apply(Init())
		if err == nil || !strings.Contains(workflow.Hint(err), "slipway reset --yes --hosts w-1") || ran(fake) {
			t.Errorf("got %v, hint %q", err, workflow.Hint(err))
		}
	})
}

// kubelet starts the API server on the empty etcd. Without its roles, nothing works.
func TestAClusterWithoutItsDataIsNotComplete(t *testing.T) {
	t.Parallel()
	fixture, _, server := begun(t, one+"  - {name: w-1, address: 192.0.2.21}\n", allBut("")...)
	fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
	fixture.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.AdminConf, facts.APIServerManifest, facts.KubeletConf}
	answering(server, refuses(http.StatusForbidden, "Forbidden", "no permissions"))
	err := fixture.Apply(Init())
	if err == nil || !strings.Contains(err.Error(), "lost the data") || !strings.Contains(workflow.Hint(err), "slipway reset") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

// A CA that the user keeps elsewhere is not slipway's to judge.
func TestInitLeavesTheCertificatesOfOthers(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"[certs]", "[certs/ca]"} {
		t.Run(more, func(t *testing.T) {
			t.Parallel()
			fixture, _ := interrupted(t, one+"kubernetes: {initConfiguration: {skipPhases: "+more+"}}\n", without(pki+"ca.key"), facts.KubeletConf)
			fixture.MustApply(Init())
		})
	}
}

func TestAPlanListsWhatAnInitDeletes(t *testing.T) {
	t.Parallel()
	fixture, fake := interrupted(t, one, damaged(pki+"apiserver.crt"), facts.CAKey)
	notRunning(fake).Fails(3, "")
	fixture.MustPlan(Init())
	got := strings.Join(fixture.Changes(), "\n")
	if !strings.Contains(got, "rm -f "+pki+"apiserver.crt "+pki+"apiserver.key") || !strings.Contains(got, "kubeadm init") {
		t.Errorf("got %s", got)
	}
}
