package kubeadm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
)

const (
	// apiServerDir has the files of the inventory that API servers read. It is mounted
	// at the same path.
	apiServerDir = Dir + "/apiserver"
	// auditDir is where API servers write the audit log, on their hosts.
	auditDir = "/var/log/kubernetes/audit"
)

// apiServerFile is a file of the inventory that API servers read.
type apiServerFile struct {
	field, path string
	// name is that of the file on control planes, without the checksum, kind that of its
	// document, flag the argument of the API server.
	name, kind, flag string
}

// apiServerFiles returns those that the inventory has.
func apiServerFiles(c *config.Cluster) []apiServerFile {
	own := c.ControlPlane.APIServer
	all := []apiServerFile{
		{"auditPolicyFile", own.AuditPolicyFile, "audit-policy", "Policy", "audit-policy-file"},
		{"encryptionConfigurationFile", own.EncryptionConfigurationFile, "encryption", "EncryptionConfiguration", "encryption-provider-config"},
		{"admissionConfigurationFile", own.AdmissionConfigurationFile, "admission", "AdmissionConfiguration", "admission-control-config-file"},
	}
	return slices.DeleteFunc(all, func(f apiServerFile) bool { return f.path == "" })
}

// read returns the file as it is on control planes. Its name has the checksum of its
// content: with another content, the argument of the API server differs, and it restarts,
// while the file with which it runs stays.
func (f apiServerFile) read() (host.File, error) {
	content, err := os.ReadFile(f.path)
	if err != nil {
		return host.File{}, fmt.Errorf("controlPlane.apiServer.%s: %w", f.field, err)
	}
	var document struct {
		Kind string `json:"kind"`
	}
	if yaml.Unmarshal(content, &document) != nil || document.Kind != f.kind {
		// The cause could show a part of a key.
		return host.File{}, fmt.Errorf("controlPlane.apiServer.%s: %s is not a document in YAML of kind %s", f.field, f.path, f.kind)
	}
	sum := sha256.Sum256(content)
	path := fmt.Sprintf("%s/%s-%s.yaml", apiServerDir, f.name, hex.EncodeToString(sum[:6]))
	return host.File{Path: path, Content: content, Mode: 0o600, Secret: true}, nil
}

// APIServerFiles reads the files of the inventory that API servers read, from localhost, for
// the control planes.
func APIServerFiles(c *config.Cluster) ([]host.File, error) {
	var files []host.File
	for _, f := range apiServerFiles(c) {
		file, err := f.read()
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	if len(files) > 0 {
		files = append([]host.File{{Path: apiServerDir, Mode: fs.ModeDir | 0o700}}, files...)
	}
	return files, nil
}

// addAPIServerFiles adds the arguments and volumes of these files to a
// ClusterConfiguration.
func addAPIServerFiles(c *config.Cluster, document map[string]any) error {
	files := apiServerFiles(c)
	if len(files) == 0 {
		return nil
	}
	server, _ := document["apiServer"].(map[string]any)
	if server == nil {
		server = map[string]any{}
		document["apiServer"] = server
	}
	args, _ := server["extraArgs"].([]any)
	volumes, _ := server["extraVolumes"].([]any)
	add := func(name, value string) {
		if !slices.ContainsFunc(args, func(arg any) bool { given, _ := arg.(map[string]any); return given["name"] == name }) {
			args = append(args, map[string]any{"name": name, "value": value})
		}
	}
	volumes = append(volumes, map[string]any{
		"name": "slipway-apiserver", "hostPath": apiServerDir, "mountPath": apiServerDir, "readOnly": true, "pathType": "DirectoryOrCreate",
	})
	for _, f := range files {
		file, err := f.read()
		if err != nil {
			return err
		}
		add(f.flag, file.Path)
		if f.field == "auditPolicyFile" {
			add("audit-log-path", auditDir+"/audit.log")
			add("audit-log-maxage", "30")
			add("audit-log-maxbackup", "10")
			add("audit-log-maxsize", "100")
			volumes = append(volumes, map[string]any{
				"name": "slipway-audit", "hostPath": auditDir, "mountPath": auditDir, "pathType": "DirectoryOrCreate",
			})
		}
	}
	server["extraArgs"], server["extraVolumes"] = args, volumes
	return nil
}
