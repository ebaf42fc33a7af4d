package upgrade

import (
	"context"
	"fmt"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// updateKubelet brings the kubelet of a host to the documents of the cluster.
func updateKubelet(ctx context.Context, s *workflow.Step) error {
	found, err := render(ctx, s, "kubelet-start", kubeadm.KubeletConfig)
	if err != nil {
		return err
	}
	have, wanted := found.have[kubeadm.KubeletConfig], found.wanted["config.yaml"]
	if wanted == nil || sameDocument(have, wanted) {
		return nil
	}
	err = configureKubelet(ctx, s, wanted)
	if err == nil || ctx.Err() != nil || have == nil {
		return err
	}
	name := s.Target.Config.Name
	hint := fmt.Sprintf("correct the setting in the inventory and rerun `slipway apply`; see `journalctl -u kubelet` on %s", name)
	failed := fmt.Errorf("kubelet does not work with its new configuration: %w", err)
	if err := configureKubelet(ctx, s, have); err != nil {
		return workflow.WithHint(fmt.Errorf("%w; nor does it with the old one, which is restored: %w", failed, err), hint)
	}
	return workflow.WithHint(fmt.Errorf("%w\nit runs with its old one again", failed), hint)
}

// configureKubelet writes the configuration of kubelet, restarts it, and waits until it has
// reported that its Node is ready.
func configureKubelet(ctx context.Context, s *workflow.Step, content []byte) error {
	before, err := heartbeat(ctx, s)
	if err != nil {
		return err
	}
	if err := s.WriteFiles(ctx, host.File{Path: kubeadm.KubeletConfig, Content: content, Mode: 0o644}); err != nil {
		return err
	}
	if err := kubeadm.KubeletService().Ensure(ctx, s, kubeadm.KubeletConfig); err != nil {
		return err
	}
	return s.WaitFor(ctx, reports(s, before), 0)
}
