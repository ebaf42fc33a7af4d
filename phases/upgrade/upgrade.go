// Package upgrade brings a running cluster to the settings and the version of the
// inventory: first the documents that kubeadm keeps in the cluster, then the control
// planes one after another, then the workers.
//
// kubeadm renders what a node must have: its phases write it to a temporary directory
// (`kubeadm init phase --dry-run`). slipway compares it with the files of the host and
// writes those that differ, each of them atomically. So a plan shows the same differences
// that an apply makes, a run that is killed leaves whole files, and the next one finds out
// by the same comparison what is left to do.
package upgrade

import (
	"context"
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// noCertificates is the certificatesDir of what a worker renders: kubeadm takes a host with
// the certificate of the CA and without its key for one whose certificates come from
// elsewhere, and misses them.
const noCertificates = "/nonexistent"

// files are those of a node, by name or path.
type files struct {
	// wanted are those that kubeadm would write, have those that exist.
	wanted, have map[string][]byte
}

// document returns what kubeadm reads to render the files of the host; nil if the cluster
// is not known.
func document(s *workflow.Step, certificatesDir string) ([]byte, error) {
	documents, err := s.Hosts().State().Documents(s.Cluster())
	if err != nil || documents == nil {
		return nil, err
	}
	ip, err := s.Target.NodeIP()
	if err != nil {
		return nil, err
	}
	node := kubeadm.Node{Spec: s.Target.Config, IP: ip, Version: s.Version()}
	return kubeadm.Update(s.Cluster(), node, certificatesDir, documents.ClusterConfiguration(), documents.KubeletConfiguration())
}

// render reads the files at these paths, and lets kubeadm render those of its phases.
func render(ctx context.Context, s *workflow.Step, phases string, paths ...string) (files, error) {
	dir := ""
	if !s.Target.Config.Has(config.RoleControlPlane) {
		dir = noCertificates
	}
	content, err := document(s, dir)
	if err != nil || content == nil {
		return files{}, err
	}
	program := kubeadmOf(s)
	query := host.Script("render.sh", templates.Script("upgrade/render.sh"), append([]string{program, string(content), phases}, paths...)...)
	query.Requires = []string{program}
	res, err := s.Query(ctx, query)
	if err != nil {
		return files{}, err
	}
	return parseFiles(string(res.Stdout))
}

// parseFiles parses the output of render.sh.
func parseFiles(out string) (files, error) {
	found := files{wanted: map[string][]byte{}, have: map[string][]byte{}}
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			return found, fmt.Errorf("render.sh printed %q", line)
		}
		content, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil {
			return found, fmt.Errorf("render.sh printed %s: %w", fields[1], err)
		}
		if fields[0] == "wanted" {
			found.wanted[fields[1]] = content
		} else {
			found.have[fields[1]] = content
		}
	}
	return found, nil
}

// sameDocument reports whether two documents in YAML mean the same. One that cannot be read
// differs from any other.
func sameDocument(a, b []byte) bool {
	var x, y any
	return yaml.Unmarshal(a, &x) == nil && yaml.Unmarshal(b, &y) == nil && x != nil && reflect.DeepEqual(x, y)
}
