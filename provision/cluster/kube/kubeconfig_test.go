package kube

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// adminConf is as kubeadm writes it.
func adminConf(t *testing.T, ca string) []byte {
	t.Helper()
	config := api.NewConfig()
	config.Clusters["kubernetes"] = &api.Cluster{Server: "https://10.0.0.1:6443", CertificateAuthorityData: []byte(ca)}
	config.AuthInfos["kubernetes-admin"] = &api.AuthInfo{ClientCertificateData: []byte("cert of " + ca), ClientKeyData: []byte("key")}
	config.Contexts["kubernetes-admin@kubernetes"] = &api.Context{Cluster: "kubernetes", AuthInfo: "kubernetes-admin"}
	config.CurrentContext = "kubernetes-admin@kubernetes"
	content, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func rewritten(t *testing.T, ca, name string) []byte {
	t.Helper()
	config, err := Rewrite(adminConf(t, ca), "https://lb:6443", name)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func loadFile(t *testing.T, path string) *api.Config {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(content)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// summary has "context -> cluster at server (CA) as user".
func summary(config *api.Config) map[string]string {
	lines := map[string]string{"current": config.CurrentContext}
	for name, context := range config.Contexts {
		cluster := config.Clusters[context.Cluster]
		lines[name] = context.Cluster + " at " + cluster.Server + " (" + string(cluster.CertificateAuthorityData) + ") as " + context.AuthInfo
	}
	return lines
}

const foreignConfig = `
apiVersion: v1
kind: Config
current-context: work
preferences: {}
clusters:
- {name: work, cluster: {server: "https://work:6443", certificate-authority: ca.crt}}
users:
- {name: me, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: Never}}}
contexts:
- {name: work, context: {cluster: work, user: me, namespace: mine}}
`

func TestRewriteRenamesAndReplacesTheServer(t *testing.T) {
	t.Parallel()
	config, err := clientcmd.Load(rewritten(t, "ca-1", "lab"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"current": "lab", "lab": "lab at https://lb:6443 (ca-1) as lab-admin"}
	if diff := cmp.Diff(want, summary(config)); diff != "" {
		t.Error(diff)
	}
	if len(config.Clusters) != 1 || len(config.AuthInfos) != 1 || string(config.AuthInfos["lab-admin"].ClientKeyData) != "key" {
		t.Errorf("clusters %v, users %v", config.Clusters, config.AuthInfos)
	}
	kept, err := Rewrite(adminConf(t, "ca-1"), "", "lab")
	if err != nil || !strings.Contains(string(kept), "https://10.0.0.1:6443") {
		t.Errorf("an empty server does not keep the old one: %v\n%s", err, kept)
	}
}

func TestRewriteRefusesAFileThatIsNotAKubeconfig(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"no YAML": "\t", "nothing": "", "a context that names no cluster": "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: b, user: c}}]}",
	} {
		if _, err := Rewrite([]byte(content), "", "lab"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	const work = "work at https://work:6443 () as me"
	lab := func(ca string) string { return "lab at https://lb:6443 (" + ca + ") as lab-admin" }
	tests := []struct {
		name    string
		before  string
		options MergeOptions
		want    map[string]string
		backup  bool
		taken   string
	}{
		{"into no file", "", MergeOptions{}, map[string]string{"current": "lab", "lab": lab("ca-1")}, false, ""},
		{"beside another cluster", foreignConfig, MergeOptions{}, map[string]string{"current": "work", "work": work, "lab": lab("ca-1")}, false, ""},
		{"as the current one", foreignConfig, MergeOptions{SetCurrent: true}, map[string]string{"current": "lab", "work": work, "lab": lab("ca-1")}, false, ""},
		{
			"over another cluster of that name", strings.ReplaceAll(foreignConfig, "work", "lab"),
			MergeOptions{},
			nil, false,
			`"lab" already exists for another cluster (https://lab:6443)`,
		},
		{
			"over another cluster of that name, by force", strings.ReplaceAll(foreignConfig, "work", "lab"),
			MergeOptions{Force: true},
			map[string]string{"current": "lab", "lab": lab("ca-1")},
			true, "",
		},
		{
			"over a context of that name for another cluster",
			strings.ReplaceAll(strings.ReplaceAll(foreignConfig, "context: work", "context: lab"), "- {name: work, context", "- {name: lab, context"),
			MergeOptions{},
			nil, false, `"lab" already exists for another cluster (https://work:6443)`,
		},
		{
			"over a user of that name", strings.ReplaceAll(strings.ReplaceAll(foreignConfig, "name: me", "name: lab-admin"), "user: me", "user: lab-admin"),
			MergeOptions{},
			nil, false, `"lab-admin" already exists for another cluster`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "new", "config")
			if test.before != "" {
				write(t, path, test.before)
			}
			result, err := Merge(path, rewritten(t, "ca-1", "lab"), test.options)
			if test.taken != "" {
				var taken *NameTakenError
				if !errors.As(err, &taken) || !strings.HasSuffix(err.Error(), test.taken) {
					t.Errorf("error %v, want %s", err, test.taken)
				}
				if content, _ := os.ReadFile(path); string(content) != test.before {
					t.Error("the file was touched")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, summary(loadFile(t, path))); diff != "" {
				t.Error(diff)
			}
			if !result.Changed || (result.Backup != "") != test.backup {
				t.Errorf("%+v", result)
			}
			if test.backup {
				if content, _ := os.ReadFile(result.Backup); string(content) != test.before {
					t.Error("the backup differs from the previous file")
				}
			}
			checkOnlyFiles(t, path, result.Backup)

			again, err := Merge(path, rewritten(t, "ca-1", "lab"), test.options)
			if err != nil || again.Changed {
				t.Errorf("a second merge: %+v, %v", again, err)
			}
		})
	}
}

// checkOnlyFiles: nothing else was left behind, and all is for the user alone.
func checkOnlyFiles(t *testing.T, paths ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(paths[0]))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, entry := range entries {
		got = append(got, entry.Name())
		if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	for _, path := range paths {
		if path != "" {
			want = append(want, filepath.Base(path))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMergeRenewsTheCredentialsOfTheSameClusterAndKeepsItsNamespace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config")
	if _, err := Merge(path, rewritten(t, "ca-1", "lab"), MergeOptions{}); err != nil {
		t.Fatal(err)
	}
	config := loadFile(t, path)
	config.Contexts["lab"].Namespace = "mine"
	content, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(content))

	renewed := strings.Replace(string(rewritten(t, "ca-1", "lab")), "https://lb:6443", "https://lb2:6443", 1)
	result, err := Merge(path, []byte(renewed), MergeOptions{})
	if err != nil || !result.Changed || result.Backup != "" {
		t.Fatalf("%+v, %v", result, err)
	}
	after := loadFile(t, path)
	if after.Clusters["lab"].Server != "https://lb2:6443" || after.Contexts["lab"].Namespace != "mine" {
		t.Errorf("server %s, namespace %q", after.Clusters["lab"].Server, after.Contexts["lab"].Namespace)
	}
}

func TestMergeReadsAnAuthorityFromItsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, strings.ReplaceAll(foreignConfig, "work", "lab"))
	write(t, filepath.Join(filepath.Dir(path), "ca.crt"), "ca-1\n")
	if _, err := Merge(path, rewritten(t, "ca-1", "lab"), MergeOptions{}); err != nil {
		t.Errorf("the same authority is taken for another: %v", err)
	}
}

func TestMergeFollowsALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "dotfiles", "config"), filepath.Join(dir, "config")
	write(t, target, foreignConfig)
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(link, rewritten(t, "ca-1", "lab"), MergeOptions{}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	if loadFile(t, target).Contexts["lab"] == nil {
		t.Error("the file behind the link has no such context")
	}
}

func TestMergeRespectsKubectlsLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config")
	write(t, path+".lock", "")
	_, err := Merge(path, rewritten(t, "ca-1", "lab"), MergeOptions{})
	if err == nil || !strings.Contains(err.Error(), "locked by another program") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Error("another program's lock was removed")
	}
}

func TestMergeDoesNotChangeAnInvalidFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, "clusters: {not a list")
	if _, err := Merge(path, rewritten(t, "ca-1", "lab"), MergeOptions{Force: true}); err == nil {
		t.Error("no error")
	}
	if content, _ := os.ReadFile(path); string(content) != "clusters: {not a list" {
		t.Error("the file was touched")
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	merged := func(t *testing.T, path string) {
		write(t, path, foreignConfig)
		if _, err := Merge(path, rewritten(t, "ca-1", "lab"), MergeOptions{SetCurrent: true}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("takes out what Merge put in and nothing else", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "config")
		merged(t, path)
		changed, err := Remove(path, "lab")
		if err != nil || !changed {
			t.Fatal(changed, err)
		}
		config := loadFile(t, path)
		want := map[string]string{"current": "", "work": "work at https://work:6443 () as me"}
		if diff := cmp.Diff(want, summary(config)); diff != "" {
			t.Error(diff)
		}
		if len(config.Clusters) != 1 || len(config.AuthInfos) != 1 {
			t.Errorf("clusters %v, users %v", config.Clusters, config.AuthInfos)
		}
		if changed, err = Remove(path, "lab"); err != nil || changed {
			t.Error("a second run:", changed, err)
		}
	})
	t.Run("keeps what another context names", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "config")
		merged(t, path)
		config := loadFile(t, path)
		config.Contexts["mine"] = &api.Context{Cluster: "lab", AuthInfo: "lab-admin"}
		content, err := clientcmd.Write(*config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(content))
		if _, err := Remove(path, "lab"); err != nil {
			t.Fatal(err)
		}
		after := loadFile(t, path)
		if after.Contexts["lab"] != nil || after.Clusters["lab"] == nil || after.AuthInfos["lab-admin"] == nil {
			t.Errorf("contexts %v, clusters %v, users %v", after.Contexts, after.Clusters, after.AuthInfos)
		}
	})
	t.Run("leaves a context alone that Merge did not make", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "config")
		write(t, path, foreignConfig)
		if changed, err := Remove(path, "work"); err != nil || changed {
			t.Error(changed, err)
		}
	})
	t.Run("takes a missing file for done", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "no", "config")
		if changed, err := Remove(path, "lab"); err != nil || changed {
			t.Error(changed, err)
		}
		if _, err := os.Stat(filepath.Dir(path)); err == nil {
			t.Error("it created the directory")
		}
	})
}

func TestDefaultKubeconfigIsTheOneThatKubectlWrites(t *testing.T) {
	t.Setenv("HOME", "/home/tester")
	for value, want := range map[string]string{
		"": "/home/tester/.kube/config", "/a/config": "/a/config", ":/b/config:/c/config": "/b/config",
	} {
		t.Setenv("KUBECONFIG", value)
		if got, err := DefaultKubeconfig(); err != nil || got != want {
			t.Errorf("KUBECONFIG=%q: %q, %v; want %q", value, got, err, want)
		}
	}
}
