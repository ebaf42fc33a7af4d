package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// Restore makes a snapshot on localhost the data of etcd on the host of a step, as its only
// member. It does nothing if the host has data. etcd must not run there.
func Restore(ctx context.Context, s *workflow.Step, local string, taken Snapshot) error {
	data := kubeadm.DataDir(s.Cluster())
	_, err := s.Query(ctx, host.Cmd{Argv: []string{"test", "-e", data + "/member"}, Sudo: true})
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 { // test fails with 2
		return err
	}
	ip, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	image, err := s.Bundle().Image("registry.k8s.io/etcd", s.Facts().Arch)
	if err != nil {
		return err
	}
	work := data + "/.slipway-restore"
	// Reset deletes the data with its directory.
	if _, err := host.EnsureFiles(ctx, s, host.File{Path: data, Mode: fs.ModeDir | 0o700}, host.File{Path: work, Mode: fs.ModeDir | 0o700}); err != nil {
		return err
	}
	if err := s.Upload(ctx, host.Blob{Path: work + "/snapshot.db", Source: local, SHA256: taken.SHA256, Size: taken.Size, Mode: 0o600}); err != nil {
		return err
	}
	script := host.Script("etcd-restore.sh", templates.Script("etcd/restore.sh"), image.Name, data, s.Target.Config.Name, kube.Peer(ip))
	script.Output = s.Output()
	if _, err := s.Run(ctx, script); err != nil {
		return fmt.Errorf("restore the snapshot of etcd: %w", err)
	}
	return nil
}
