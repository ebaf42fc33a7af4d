// Package install puts programs of the bundle in place on a host.
package install

import (
	"context"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
)

const (
	// BinDir holds the programs: it comes before /usr/bin on the PATH, and no
	// package manager touches it.
	BinDir = "/usr/local/bin"
	// CNIDir holds the CNI plugins, where the container runtime expects them.
	CNIDir = "/opt/cni/bin"
)

// Role returns the role by which the bundle sorts its files and images.
func Role(h config.Host) string {
	if h.Has(config.RoleControlPlane) {
		return string(config.RoleControlPlane)
	}
	return string(config.RoleWorker)
}

// KubernetesPrograms returns the names of the programs of Kubernetes that a host needs.
func KubernetesPrograms(s *workflow.Step) []string {
	var names []string
	for _, file := range s.Bundle().Files(Role(s.Target.Config), s.Facts().Arch) {
		if strings.HasPrefix(file.Name, "kube") {
			names = append(names, file.Name)
		}
	}
	return names
}

// StageDir returns the directory in which programs of a version wait until the host
// switches to it.
func StageDir(version string) string { return "/usr/local/lib/slipway/" + version }

// Stage uploads files of the bundle, by name, to the StageDir of its version.
func Stage(ctx context.Context, s *workflow.Step, names []string) error {
	_, err := binaries(ctx, s, names, func(name string) string { return StageDir(s.Version()) + "/" + name })
	return err
}

// Binaries uploads those files of the bundle, by name, that the host lacks, and
// returns their paths.
func Binaries(ctx context.Context, s *workflow.Step, names []string) (uploaded []string, err error) {
	return binaries(ctx, s, names, Path)
}

func binaries(ctx context.Context, s *workflow.Step, names []string, pathOf func(string) string) (uploaded []string, err error) {
	var blobs []host.Blob
	var paths []string
	for _, name := range names {
		file, err := s.Bundle().File(name, s.Facts().Arch)
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, host.Blob{
			Path: pathOf(name), Source: s.Bundle().Path(file), SHA256: file.SHA256, Size: file.Size, Mode: 0o755,
		})
		paths = append(paths, pathOf(name))
	}
	have, err := journal.Sums(ctx, s, paths)
	if err != nil {
		return nil, err
	}
	unrecorded := map[string]string{}
	missing := slices.DeleteFunc(blobs, func(b host.Blob) bool {
		sum := have[b.Path]
		if sum.SHA256 == b.SHA256 && !sum.Recorded {
			unrecorded[b.Path] = sum.SHA256
		}
		return sum.SHA256 == b.SHA256
	})
	if !s.Planning() {
		if err := journal.RecordSums(ctx, s.Target.Conn, unrecorded); err != nil {
			return nil, err
		}
	}
	if err := s.Upload(ctx, missing...); err != nil {
		return nil, err
	}
	for _, blob := range missing {
		uploaded = append(uploaded, blob.Path)
	}
	return uploaded, nil
}

// Path returns the path of a file of the bundle on a host: in CNIDir for
// cni/bridge, in BinDir for all others.
func Path(name string) string {
	if plugin, ok := strings.CutPrefix(name, "cni/"); ok {
		return CNIDir + "/" + plugin
	}
	return BinDir + "/" + name
}
