package kubeadm

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
)

func kubeFiles(damaged string, paths ...string) facts.Kubernetes {
	k := facts.Kubernetes{}
	for _, path := range paths {
		k.Files = append(k.Files, facts.KubeFile{Path: path, Damaged: path == damaged})
	}
	return k
}

func TestANewHostHasNothingToRecreate(t *testing.T) {
	t.Parallel()
	files, err := Recreate(inventory(t, ""), facts.Kubernetes{}, false, false)
	if err != nil || len(files) > 0 {
		t.Errorf("got %q, %v", files, err)
	}
}

// kubeadm writes a key, then its certificate: a kill after any of them leaves a part of
// the files, which must not stop the next init.
func TestEachPartOfTheCertificatesIsRecreated(t *testing.T) {
	t.Parallel()
	var written []string
	for _, a := range authorities {
		for _, name := range append([]string{a.name}, a.signs...) {
			written = append(written, pkiDir+"/"+name+".key", pkiDir+"/"+name+".crt")
		}
	}
	written = append(written, pkiDir+"/sa.key", pkiDir+"/sa.pub")
	for n := range len(written) + 1 {
		files, err := Recreate(inventory(t, ""), kubeFiles("", written[:n]...), false, false)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if n%2 == 1 {
			want = written[n-1 : n]
		}
		if diff := cmp.Diff(want, files); diff != "" {
			t.Errorf("after %s: %s", written[max(0, n-1)], diff)
		}
	}
}

// After a power loss, any of the files may be damaged. What stays must fit together:
// no certificate stays without its key, or without the CA that signed it.
func TestWhatStaysFitsTogether(t *testing.T) {
	t.Parallel()
	var all []string
	for _, a := range authorities {
		for _, name := range append([]string{a.name}, a.signs...) {
			all = append(all, pkiDir+"/"+name+".key", pkiDir+"/"+name+".crt")
		}
	}
	for _, name := range kubeconfigs {
		all = append(all, etcKubernetes+"/"+name+".conf")
	}
	for _, path := range all {
		files, err := Recreate(inventory(t, ""), kubeFiles(path, all...), false, false)
		if err != nil {
			t.Fatal(err)
		}
		stays := func(name string) bool {
			return !slices.Contains(files, pkiDir+"/"+name+".crt") && !slices.Contains(files, pkiDir+"/"+name+".key")
		}
		if !slices.Contains(files, path) {
			t.Errorf("%s, which is damaged, stays", path)
		}
		for _, a := range authorities {
			for _, name := range a.signs {
				if stays(name) && !stays(a.name) {
					t.Errorf("%s damaged: %s stays without %s", path, name, a.name)
				}
			}
		}
		if !stays("ca") {
			for _, name := range kubeconfigs {
				if !slices.Contains(files, etcKubernetes+"/"+name+".conf") {
					t.Errorf("%s damaged: %s.conf stays with another CA", path, name)
				}
			}
		}
		if half := slices.ContainsFunc(files, func(f string) bool {
			base, isKey := strings.CutSuffix(f, ".key")
			return isKey && !slices.Contains(files, base+".crt")
		}); half {
			t.Errorf("%s damaged: deletes half a pair: %q", path, files)
		}
	}
}

func TestTheCAStaysWhenValuesChange(t *testing.T) {
	t.Parallel()
	var all []string
	for _, a := range authorities {
		all = append(all, pkiDir+"/"+a.name+".key", pkiDir+"/"+a.name+".crt")
	}
	all = append(all, pkiDir+"/sa.key", pkiDir+"/sa.pub")
	for _, data := range []bool{false, true} {
		if files, err := Recreate(inventory(t, ""), kubeFiles("", all...), true, data); err != nil || len(files) > 0 {
			t.Errorf("got %q, %v", files, err)
		}
	}
}

func TestRecreateNode(t *testing.T) {
	t.Parallel()
	const pem = kubeletPKI + "/kubelet-client-current.pem"
	all := []string{kubeletConf, pkiDir + "/ca.crt", pem, kubeletPKI + "/kubelet.crt", kubeletPKI + "/kubelet.key", etcKubernetes + "/bootstrap-kubelet.conf"}
	tests := []struct {
		damaged   string
		finalized bool
		want      []string
	}{
		{"", true, nil},
		{kubeletConf, false, []string{kubeletConf}},
		{pkiDir + "/ca.crt", true, []string{pkiDir + "/ca.crt"}},
		{pem, true, []string{kubeletConf, pem}},
		{pem, false, []string{pem}},
		{kubeletPKI + "/kubelet.key", true, []string{kubeletPKI + "/kubelet.crt", kubeletPKI + "/kubelet.key"}},
		{etcKubernetes + "/bootstrap-kubelet.conf", true, []string{etcKubernetes + "/bootstrap-kubelet.conf"}},
	}
	for _, test := range tests {
		t.Run(test.damaged, func(t *testing.T) {
			t.Parallel()
			k := kubeFiles(test.damaged, all...)
			k.Finalized = test.finalized
			if diff := cmp.Diff(test.want, RecreateNode(k)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	const before = "apiVersion: a\nkind: InitConfiguration\nnodeRegistration: {name: a}\n---\nkind: ClusterConfiguration\nclusterName: x\n"
	tests := []struct {
		name, after string
		want        Change
	}{
		{"nothing", before, Change{}},
		{"a field that is not stored", strings.Replace(before, "clusterName: x", "clusterName: y", 1), Change{Changed: true}},
		{"a field that is stored", strings.Replace(before, "name: a", "name: b", 1), Change{true, []string{"nodeRegistration.name: a to b"}}},
		{"fields of a configuration that cannot be read", "", Change{true, []string{"nodeRegistration.name: a to <nil>"}}},
		{"a section that appears", before + "etcd: {local: {dataDir: /x}}\n", Change{true, []string{"etcd.local.dataDir: <nil> to /x"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Compare([]byte(before), []byte(test.after))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
