package kubeadm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/config"
)

// withFiles returns an inventory with files of the API server.
func withFiles(t *testing.T, more string, files map[string]string) *config.Cluster {
	t.Helper()
	c, err := config.Parse("inventory.yaml", []byte("apiVersion: slipway.io/v1alpha1\nkind: Cluster\nhosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"+more))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for field, content := range map[*string]string{
		&c.ControlPlane.APIServer.AuditPolicyFile:             files["audit"],
		&c.ControlPlane.APIServer.EncryptionConfigurationFile: files["encryption"],
	} {
		if content == "" {
			continue
		}
		file, err := os.CreateTemp(dir, "file")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(content); err != nil {
			t.Fatal(err)
		}
		*field = file.Name()
	}
	return c
}

func TestTheAPIServerGetsItsFiles(t *testing.T) {
	t.Parallel()
	c := withFiles(t, "kubernetes: {clusterConfiguration: {apiServer: {extraArgs: [{name: audit-log-maxage, value: '7'}]}}}\n",
		map[string]string{"audit": "kind: Policy\n", "encryption": "kind: EncryptionConfiguration\n# secret\n"})
	files, err := APIServerFiles(c)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files[1:] {
		paths = append(paths, f.Path)
		if f.Mode.Perm() != 0o600 || !f.Secret {
			t.Errorf("%s has mode %v", f.Path, f.Mode)
		}
	}
	settings, err := Settings(c, "v1.36.4")
	if err != nil {
		t.Fatal(err)
	}
	server, _ := settings["clusterConfiguration"]["apiServer"].(map[string]any)
	args := map[string]any{}
	for _, arg := range server["extraArgs"].([]any) {
		args[arg.(map[string]any)["name"].(string)] = arg.(map[string]any)["value"]
	}
	want := map[string]any{
		"audit-policy-file": paths[0], "encryption-provider-config": paths[1],
		"audit-log-path": "/var/log/kubernetes/audit/audit.log", "audit-log-maxage": "7", "audit-log-maxbackup": "10", "audit-log-maxsize": "100",
	}
	if diff := cmp.Diff(want, args); diff != "" {
		t.Error(diff)
	}
	var mounts []string
	for _, volume := range server["extraVolumes"].([]any) {
		mounts = append(mounts, volume.(map[string]any)["mountPath"].(string))
	}
	if diff := cmp.Diff([]string{apiServerDir, auditDir}, mounts); diff != "" {
		t.Error(diff)
	}
}

// The API server must restart: its arguments have the new name.
func TestAnotherContentIsAnotherFile(t *testing.T) {
	t.Parallel()
	path := func(content string) string {
		files, err := APIServerFiles(withFiles(t, "", map[string]string{"audit": content}))
		if err != nil {
			t.Fatal(err)
		}
		return files[1].Path
	}
	if a, b := path("kind: Policy\n"), path("kind: Policy\nrules: []\n"); a == b || filepath.Dir(a) != apiServerDir {
		t.Errorf("%s and %s", a, b)
	}
}

func TestAFileOfAnotherKindIsRefusedWithoutItsContent(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"kind: Pod\nkey: hunter2\n", "hunter2: [", "hunter2"} {
		_, err := APIServerFiles(withFiles(t, "", map[string]string{"encryption": content}))
		if err == nil || !strings.Contains(err.Error(), "kind EncryptionConfiguration") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", content, err)
		}
	}
}
