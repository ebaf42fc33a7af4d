package upgrade

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// updateKubelet brings the kubelet of a host to the version of the cluster and to its
// documents.
func updateKubelet(ctx context.Context, s *workflow.Step) error {
	if from := s.Upgrades(); from != "" {
		if s.Planning() {
			s.Changed("upgrade kubelet from %s to %s", from, s.Version())
			return nil
		}
		return upgradeKubelet(ctx, s)
	}
	have, wanted, err := kubeletConfigs(ctx, s)
	if err != nil || wanted == nil {
		return err
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

// kubeletConfigs returns the configuration of kubelet and, if it differs, the one that
// kubeadm would write.
func kubeletConfigs(ctx context.Context, s *workflow.Step) (have, wanted []byte, err error) {
	found, err := render(ctx, s, "kubelet-start", kubeadm.KubeletConfig)
	have, wanted = found.have[kubeadm.KubeletConfig], found.wanted["config.yaml"]
	if err != nil || wanted == nil || sameDocument(have, wanted) {
		return have, nil, err
	}
	return have, wanted, nil
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
	return s.WaitFor(ctx, reports(s, func(node *corev1.Node) bool { return reportedAt(node).After(before) }), 0)
}

// upgradeKubelet switches the host to the programs of the new version, which wait there,
// and restarts kubelet. If the run is killed before kubelet has reported its new version,
// the next one does the same again.
func upgradeKubelet(ctx context.Context, s *workflow.Step) error {
	if err := checkServers(ctx, s); err != nil {
		return err
	}
	_, wanted, err := kubeletConfigs(ctx, s)
	if err != nil {
		return err
	}
	names, stage := install.KubernetesPrograms(s), install.StageDir(s.Version())
	args := append([]string{stage, install.BinDir}, names...)
	if _, err := s.Run(ctx, host.Script("switch.sh", templates.Script("upgrade/switch.sh"), args...)); err != nil {
		return err
	}
	// The journal gets the checksums of what the script has copied.
	if _, err := install.Binaries(ctx, s, names); err != nil {
		return err
	}
	changed := []string{kubeadm.KubeletProgram}
	if wanted != nil {
		changed = append(changed, kubeadm.KubeletConfig)
		if err := s.WriteFiles(ctx, host.File{Path: kubeadm.KubeletConfig, Content: wanted, Mode: 0o644}); err != nil {
			return err
		}
	}
	if err := kubeadm.KubeletService().Ensure(ctx, s, changed...); err != nil {
		return err
	}
	upgraded := func(node *corev1.Node) bool { return node.Status.NodeInfo.KubeletVersion == s.Version() }
	if err := s.WaitFor(ctx, reports(s, upgraded), 0); err != nil {
		return workflow.WithHint(err, fmt.Sprintf("see `journalctl -u kubelet` on %s, fix the problem and rerun `slipway apply` to resume", s.Target.Config.Name))
	}
	_, err = s.Run(ctx, host.Cmd{Argv: []string{"rm", "-rf", stage}, Sudo: true})
	return err
}

// checkServers returns an error if an API server is older than the kubelet that a worker
// would get: a run on some hosts may leave the control planes out.
func checkServers(ctx context.Context, s *workflow.Step) error {
	if s.Target.Config.Has(config.RoleControlPlane) {
		return nil // its own API server has been upgraded in the same turn
	}
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	wanted, err := version.ParseSemantic(s.Version())
	if err != nil {
		return err
	}
	pods, err := client.Clientset().CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=" + apiServer})
	if err != nil {
		return err
	}
	for i := range pods.Items {
		for _, c := range pods.Items[i].Spec.Containers {
			if have, err := version.ParseSemantic(imageVersion(c.Image)); err == nil && have.LessThan(wanted) {
				return workflow.WithHint(fmt.Errorf("the API server of %s has v%s: a kubelet must not be newer", pods.Items[i].Spec.NodeName, have),
					"upgrade the control planes first: rerun `slipway apply` without --hosts")
			}
		}
	}
	return nil
}
