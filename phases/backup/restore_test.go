package backup

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/backup"
	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/cluster/snapshot"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const three = `metadata: {name: lab}
controlPlane: {endpoint: api.example}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

// ca and otherCA are certificates of two clusters.
var ca, otherCA = newCA(), newCA()

func newCA() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
}

const etcdImage = "registry.k8s.io/etcd:3.6.8-0"

// bundleWithEtcd is a bundle that has the image of etcd alone.
func bundleWithEtcd(t *testing.T) *bundle.Bundle {
	t.Helper()
	w, err := bundle.NewWriter(filepath.Join(t.TempDir(), "bundle"), workflowtest.Kubernetes, bundle.OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	workflowtest.AddImage(t, w, bundle.Image{Name: etcdImage})
	made, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// source is a backup of the cluster lab with its keys.
func source(t *testing.T) Source {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(file, []byte("the snapshot"), 0o600); err != nil {
		t.Fatal(err)
	}
	from := Source{Keys: map[string]KeyFile{}, Content: &backup.Content{Snapshot: file, Manifest: backup.Manifest{
		Cluster: "lab", Kubernetes: "v1.36.4", Created: now, Etcd: snapshot.Snapshot{SHA256: strings.Repeat("a", 64), Size: 12},
		Fixed: &cluster.Fixed{PodSubnet: "10.244.0.0/16", ServiceSubnet: "10.96.0.0/12", DNSDomain: "cluster.local", Endpoint: "api.example:6443", Name: "lab"},
		Files: []backup.File{{Name: backup.SnapshotName, Size: 12, SHA256: strings.Repeat("a", 64)}},
	}}}
	for _, name := range []string{"ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd/ca.crt", "etcd/ca.key"} {
		from.Keys["/etc/kubernetes/pki/"+name] = KeyFile{Content: []byte(name), Mode: 0o600}
	}
	from.Keys[caFile] = KeyFile{Content: ca, Mode: 0o644}
	from.Content.Manifest.CAHash = from.caHash()
	return from
}

func ofCluster(pem []byte, existing ...facts.Path) func(*facts.Facts) {
	return func(f *facts.Facts) {
		f.Existing = existing
		f.Kubernetes.Certificates = []facts.Certificate{{Path: caFile, PEM: pem}}
	}
}

func TestOnlyHostsWithoutAClusterAreRestored(t *testing.T) {
	t.Parallel()
	none := func(*facts.Facts) {}
	tests := []struct {
		name       string
		cp, worker func(*facts.Facts)
		edit       func(*Source)
		inventory  string
		want       string // empty: accepted
		hint       string
	}{
		{name: "new machines", cp: none, worker: none},
		{name: "a worker of the cluster that is left", cp: none, worker: ofCluster(ca, facts.KubeletConf)},
		{name: "an interrupted restore", cp: ofCluster(ca, facts.CAKey, facts.EtcdMember, facts.RestoreMark), worker: none},
		{name: "a control plane of the cluster", cp: ofCluster(ca, facts.CAKey, facts.EtcdMember), worker: none, want: "cp-1 still has the cluster of the backup", hint: "slipway reset --yes --hosts cp-1"},
		{name: "a control plane of another cluster", cp: ofCluster(otherCA, facts.CAKey, facts.EtcdMember), worker: none, want: "cp-1 belongs to another cluster", hint: "slipway reset --yes --hosts cp-1"},
		{name: "a worker of the cluster as a control plane", cp: ofCluster(ca, facts.KubeletConf), worker: none, want: "cp-1 is a worker of the cluster", hint: "slipway reset --yes --hosts cp-1"},
		{name: "a worker of another cluster", cp: none, worker: ofCluster(otherCA, facts.KubeletConf), want: "w-1 belongs to another cluster"},
		{name: "data of etcd without anything else", cp: func(f *facts.Facts) { f.Existing = []facts.Path{facts.EtcdMember} }, worker: none, want: "cp-1 belongs to another cluster"},
		{name: "a backup without keys", cp: none, worker: none, edit: func(s *Source) { s.Keys = nil }, want: "the backup has no keys", hint: "--keys-from"},
		{name: "keys of another cluster", cp: none, worker: none, edit: func(s *Source) { s.Keys[caFile] = KeyFile{Content: otherCA} }, want: "the keys are those of another cluster"},
		{name: "a backup of another cluster", cp: none, worker: none, edit: func(s *Source) { s.Content.Manifest.Cluster = "shop" }, want: `the backup is of the cluster "shop"`, hint: "--rehearse"},
		{name: "a rehearsal", cp: none, worker: none, edit: func(s *Source) {
			s.Content.Manifest.Cluster, s.Content.Manifest.Fixed.Name, s.Content.Manifest.Fixed.Endpoint, s.Rehearse = "shop", "shop", "shop.example:6443", true
		}},
		{name: "a rehearsal with another pod subnet", cp: none, worker: none, edit: func(s *Source) {
			s.Content.Manifest.Fixed.PodSubnet, s.Rehearse = "10.1.0.0/16", true
		}, want: "fields that differ in the inventory", hint: "set network.podSubnet: 10.1.0.0/16"},
		{name: "another minor version", cp: none, worker: none, edit: func(s *Source) { s.Content.Manifest.Kubernetes = "v1.35.8" }, want: "the backup is of Kubernetes v1.35.8", hint: "set kubernetes.version: v1.35.8"},
		{name: "a later patch release", cp: none, worker: none, edit: func(s *Source) { s.Content.Manifest.Kubernetes = "v1.36.9" }, want: "the backup is of Kubernetes v1.36.9"},
		{name: "hosts of etcd", cp: none, worker: none, inventory: three + "  - {name: e-1, address: 192.0.2.31, roles: [etcd]}\n", want: "etcd runs on the control planes", hint: "docs/backup.md"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.inventory == "" {
				test.inventory = three
			}
			fixture, from := workflowtest.New(t, test.inventory), source(t)
			test.cp(fixture.Facts("cp-1"))
			test.worker(fixture.Facts("w-1"))
			if test.edit != nil {
				test.edit(&from)
			}
			err := fixture.Apply(RestoreCheck(from))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(workflow.Hint(err), test.hint)):
				t.Errorf("got %v, hint %q", err, workflow.Hint(err))
			}
			if changes := fixture.Changes(); len(changes) > 0 {
				t.Errorf("it changed %v", changes)
			}
		})
	}
}

func TestRestoreBeginsWithoutACluster(t *testing.T) {
	t.Parallel()
	read := workflow.Phase{Name: "cluster", On: workflow.Localhost, Do: func(_ context.Context, s *workflow.Step) error {
		s.Hosts().SetState(&cluster.State{Exists: true})
		return nil
	}}
	fixture := workflowtest.New(t, three)
	fixture.Facts("w-1").Existing = []facts.Path{facts.KubeletConf}
	fixture.MustApply(RestoreState(read))
	if fixture.Hosts.State().Exists {
		t.Error("what is left of the lost cluster counts as a cluster")
	}
}

func TestKeysAndDataArePlacedAfterTheMark(t *testing.T) {
	t.Parallel()
	fixture, from := workflowtest.New(t, three), source(t)
	fixture.Bundle = bundleWithEtcd(t)
	fake := fixture.Host("cp-1")
	fake.ExpectQuery("test", "-e", "/var/lib/etcd/member").Fails(1, "")
	fake.ExpectRunScript("etcd-restore.sh", etcdImage, "/var/lib/etcd", "cp-1", "https://192.0.2.11:2380")
	fixture.MustApply(RestoreData(from))
	mark, _ := fake.File(string(facts.RestoreMark))
	if string(mark.Content) != from.id() || mark.Mode.Perm() != 0o600 {
		t.Errorf("the mark is %q %v", mark.Content, mark.Mode)
	}
	for at, want := range from.Keys {
		if file, ok := fake.File(at); !ok || string(file.Content) != string(want.Content) || file.Mode.Perm() != want.Mode {
			t.Errorf("%s is %q %v", at, file.Content, file.Mode)
		}
	}
	if blob, ok := fake.Blob("/var/lib/etcd/.slipway-restore/snapshot.db"); !ok || blob.Mode != 0o600 || blob.Source != from.Content.Snapshot {
		t.Errorf("the snapshot is %+v", blob)
	}
	calls := fake.Transcript()
	if at, key := strings.Index(calls, "write "+string(facts.RestoreMark)), strings.Index(calls, "write /etc/kubernetes/pki/ca.key"); at < 0 || key < at {
		t.Errorf("the keys come before the mark:\n%s", calls)
	}
	// The next run continues: the data is there.
	fake.ExpectQuery("test", "-e", "/var/lib/etcd/member")
	fixture.MustApply(RestoreData(from))
	if changes := fixture.Changes(); len(changes) > 0 {
		t.Errorf("it changed %v", changes)
	}
	other := source(t)
	other.Content.Manifest.Etcd.SHA256 = strings.Repeat("b", 64)
	if err := fixture.Apply(RestoreData(other)); err == nil || !strings.Contains(err.Error(), "the restore of another backup was interrupted") {
		t.Errorf("another backup: %v", err)
	}
}

func node(name string) string {
	return "{apiVersion: v1, kind: Node, metadata: {name: " + name + ", uid: uid-" + name + "}}"
}

func TestNodesThatDoNotExistAreDeleted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		rehearse bool
		stay     []string
		gone     []string
	}{
		{"a restore", false, []string{"cp-1", "w-1", "elsewhere"}, []string{"cp-2"}},
		{"a rehearsal", true, []string{"cp-1", "w-1"}, []string{"cp-2", "elsewhere"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, from, server := workflowtest.New(t, three), source(t), kubetest.NewInMemory(t)
			from.Rehearse = test.rehearse
			ofCluster(ca, facts.KubeletConf)(fixture.Facts("w-1")) // it has survived
			for _, name := range []string{"cp-1", "cp-2", "w-1", "elsewhere"} {
				server.Put(node(name))
			}
			server.Put("{apiVersion: v1, kind: Pod, metadata: {name: lost, namespace: default, uid: uid-lost}, spec: {nodeName: cp-2}}")
			server.Put("{apiVersion: v1, kind: Pod, metadata: {name: orphan, namespace: default, uid: uid-orphan}, spec: {nodeName: cp-3}}")
			server.Put("{apiVersion: v1, kind: Pod, metadata: {name: pending, namespace: default, uid: uid-pending}}")
			server.Put("{apiVersion: v1, kind: Pod, metadata: {name: kept, namespace: default, uid: uid-kept}, spec: {nodeName: w-1}}")
			server.Put("{apiVersion: v1, kind: ConfigMap, metadata: {name: slipway, namespace: kube-system}}")
			server.Intercept(func(http.ResponseWriter, *http.Request) bool { return false })
			fixture.Serve(server)
			fixture.Host("cp-1").ExpectRun("rm", "-rf", "/var/lib/slipway/restore")
			fixture.MustApply(RestoreNodes(from))
			for _, name := range test.stay {
				if server.Get("/api/v1/nodes/"+name) == nil {
					t.Errorf("node %s is gone", name)
				}
			}
			for _, name := range test.gone {
				if server.Get("/api/v1/nodes/"+name) != nil {
					t.Errorf("node %s stays", name)
				}
			}
			for name, stays := range map[string]bool{"lost": false, "orphan": false, "pending": true, "kept": true} {
				if stays != (server.Get("/api/v1/namespaces/default/pods/"+name) != nil) {
					t.Errorf("pod %s stays: %v", name, !stays)
				}
			}
			if recorded := server.Get("/api/v1/namespaces/kube-system/configmaps/slipway") != nil; recorded == test.rehearse {
				t.Errorf("the record stays: %v", recorded)
			}
			if noted := slices.ContainsFunc(fixture.Notes(), func(n string) bool { return strings.Contains(n, "node elsewhere is not in the inventory") }); noted == test.rehearse {
				t.Errorf("notes %v", fixture.Notes())
			}
		})
	}
}
