// Package install brings programs of the bundle to a machine and keeps its
// services running with them.
package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	// BinDir is where programs go: before /usr/bin on the PATH, and never
	// touched by a package manager.
	BinDir = "/usr/local/bin"
	// CNIDir is where kubelet's runtime looks for CNI plugins.
	CNIDir = "/opt/cni/bin"
)

// Role is what the bundle sorts its content by.
func Role(h config.Host) string {
	if h.Has(config.RoleControlPlane) {
		return string(config.RoleControlPlane)
	}
	return string(config.RoleWorker)
}

// Binaries brings files of the bundle, by name, to the machine. Which are
// there already is asked in one round trip.
func Binaries(ctx context.Context, s *workflow.Step, names []string) error {
	var blobs []host.Blob
	var paths []string
	for _, name := range names {
		file, err := s.Bundle().File(name, s.Facts().Arch)
		if err != nil {
			return err
		}
		blobs = append(blobs, host.Blob{
			Path: Path(name), Source: s.Bundle().Path(file), SHA256: file.SHA256, Size: file.Size, Mode: 0o755,
		})
		paths = append(paths, Path(name))
	}
	have, err := s.Sums(ctx, paths)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(blobs, func(b host.Blob) bool { return have[b.Path] == b.SHA256 })
	return s.Upload(ctx, missing...)
}

// Path is where a file of the bundle goes: cni/bridge to the CNI's folder,
// everything else to BinDir.
func Path(name string) string {
	if plugin, ok := strings.CutPrefix(name, "cni/"); ok {
		return CNIDir + "/" + plugin
	}
	return BinDir + "/" + name
}

// Service enables a systemd service and (re)starts it unless it runs already
// and was started after each of the files was written.
func Service(ctx context.Context, s *workflow.Step, service string, files ...string) error {
	args := append([]string{service}, files...)
	res, err := s.Query(ctx, host.Script("state.sh", templates.Script("service/state.sh"), args...))
	if err != nil {
		return fmt.Errorf("%s: %w", service, err)
	}
	if strings.TrimSpace(string(res.Stdout)) == "ok" {
		return nil
	}
	start := host.Script("start.sh", templates.Script("service/start.sh"), service)
	start.Undo = disable(service)
	_, err = s.Run(ctx, start)
	return err
}

// Enable has a systemd service start at boot, and leaves it as it is now.
func Enable(ctx context.Context, s *workflow.Step, service string) error {
	enable := host.Script("enable.sh", templates.Script("service/enable.sh"), service)
	enable.Undo = disable(service)
	_, err := s.Run(ctx, enable)
	return err
}

// disable takes back what Service and Enable do.
func disable(service string) []string {
	return []string{"systemctl", "disable", "--quiet", "--now", service}
}
