package kubeadm

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
)

// existing is an inventory's section of an etcd that exists.
const existing = "etcd: {external: {endpoints: [\"https://192.0.2.31:2379\"], caFile: ca.crt, certFile: client.crt, keyFile: client.key}}\n"

func TestSharedFiles(t *testing.T) {
	t.Parallel()
	const pki = "/etc/kubernetes/pki/"
	common := []string{"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key", "sa.pub"}
	tests := []struct {
		name string
		more string
		want []string
	}{
		{"of a stacked etcd", "", []string{"etcd/ca.crt", "etcd/ca.key"}},
		{"with an etcd that exists, whose files come from elsewhere", existing, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := inventory(t, test.more)
			var got []string
			for _, file := range SharedFiles(c) {
				if secret := strings.HasSuffix(file.Path, ".key"); file.Secret != secret || secret && file.Perm() != 0o600 || !secret && file.Perm() != 0o644 {
					t.Errorf("%s: secret %v, mode %v", file.Path, file.Secret, file.Mode)
				}
				got = append(got, strings.TrimPrefix(file.Path, pki))
			}
			slices.Sort(got)
			if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(common, test.want))), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the next join must not find, and what belongs to others.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	c := inventory(t, "kubernetes: {clusterConfiguration: {etcd: {local: {dataDir: /data/etcd}}}}")
	got := Leftovers(c)
	for _, file := range SharedFiles(c) {
		if !slices.Contains(got, file.Path) {
			t.Errorf("%s stays", file.Path)
		}
	}
	for _, path := range []string{
		"/data/etcd/member", "/etc/kubernetes/manifests/etcd.yaml", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/kubelet.conf",
		"/etc/kubernetes/admin.conf", "/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/etcd/peer.key", "/var/lib/kubelet/pki",
	} {
		if !slices.Contains(got, path) {
			t.Errorf("%s stays", path)
		}
	}
	// Static pods of others, and the configuration that says that a join is not complete.
	for _, path := range got {
		if path == "/etc/kubernetes/manifests" || path == "/etc/kubernetes" || path == "/etc/kubernetes/pki" || strings.HasPrefix(path, Dir) {
			t.Errorf("%s is deleted", path)
		}
	}
}

// The files of an etcd elsewhere come from there: kubeadm would not create them again.
func TestTheClientOfAnEtcdElsewhereStays(t *testing.T) {
	t.Parallel()
	c := inventory(t, existing)
	var k facts.Kubernetes
	for _, file := range EtcdClientFiles() {
		k.Files = append(k.Files, facts.KubeFile{Path: file.Path})
		if slices.Contains(Leftovers(c), file.Path) {
			t.Errorf("%s is a leftover of a join", file.Path)
		}
	}
	if files, err := Recreate(c, k, true, HasData(c, &facts.Facts{Kubernetes: k})); err != nil || len(files) > 0 {
		t.Errorf("got %q, %v", files, err)
	}
	if files, _ := Recreate(inventory(t, ""), k, true, false); len(files) != 3 {
		t.Errorf("with etcd on the control planes: %q", files)
	}
}
