package upgrade

import (
	"context"
	"fmt"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// updateControlPlane brings the static pods and the certificate of the API server of a host
// to the documents of the cluster.
func updateControlPlane(ctx context.Context, s *workflow.Step) error {
	if err := checkDowngrade(s); err != nil {
		return err
	}
	if have := imageVersion(s.Facts().Kubernetes.StaticPods[apiServer]); s.Planning() && s.Upgrades() != "" && have != s.Version() {
		s.Changed("upgrade the static pods of the control plane from %s to %s", have, s.Version())
		return nil // kubeadm of the new version is not on the host yet
	}
	phases := "control-plane all,etcd local"
	if s.Cluster().ExternalEtcd() {
		phases = "control-plane all"
	}
	found, err := render(ctx, s, phases, append(manifestPaths(), kubeadm.APIServerCertificate)...)
	if err != nil {
		return err
	}
	if certificate, ok := found.have[kubeadm.APIServerCertificate]; ok {
		if err := updateNames(ctx, s, certificate); err != nil {
			return err
		}
	}
	changes, err := found.manifestChanges()
	if err != nil || len(changes) == 0 {
		return err
	}
	if err := s.WaitFor(ctx, othersHealthy(s), 0); err != nil {
		return workflow.WithHint(fmt.Errorf("%s is not changed: %w", s.Target.Config.Name, err),
			"repair the other control plane, then rerun `slipway apply` to resume")
	}
	for _, change := range changes {
		if err := replace(ctx, s, change); err != nil {
			return err
		}
	}
	return nil
}

// replace writes the manifest of a static pod and waits until the pod runs with it. If it
// does not, the old manifest comes back: the host keeps an API server, without which no
// later run could reach the cluster of a single control plane.
func replace(ctx context.Context, s *workflow.Step, change manifestChange) error {
	if s.Planning() {
		return writeManifest(ctx, s, change.component, change.wanted)
	}
	if change.component == etcd {
		if err := moveLeader(ctx, s); err != nil {
			return err
		}
	}
	before, err := manifestHash(ctx, s, change.component)
	if err != nil {
		return err
	}
	if err := writeManifest(ctx, s, change.component, change.wanted); err != nil {
		return err
	}
	err = ready(ctx, s, change.component, before)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return restore(ctx, s, change, before, whyNot(ctx, s, change.component, err))
}

// ready waits until a static pod runs with another manifest than before, and with it etcd
// is healthy.
func ready(ctx context.Context, s *workflow.Step, component, before string) error {
	if err := s.WaitFor(ctx, runs(s, component, func(hash string) bool { return hash != before }), 0); err != nil || component != etcd {
		return err
	}
	return s.WaitFor(ctx, allMembersHealthy(s), 0)
}

// restore brings the manifest back with which the static pod ran before, and returns the
// cause.
func restore(ctx context.Context, s *workflow.Step, change manifestChange, before string, cause error) error {
	name := s.Target.Config.Name
	hint := fmt.Sprintf("correct the setting in the inventory and rerun `slipway apply`; see /var/log/pods/kube-system_%s-%s_* on %s", change.component, name, name)
	failed := fmt.Errorf("%s does not start with the new manifest: %w", change.component, cause)
	if err := writeManifest(ctx, s, change.component, change.have); err != nil {
		return workflow.WithHint(fmt.Errorf("%w; its old manifest could not be restored: %w", failed, err), hint)
	}
	again := runs(s, change.component, func(hash string) bool { return before == "" || hash == before })
	if err := s.WaitFor(ctx, again, 0); err != nil {
		return workflow.WithHint(fmt.Errorf("%w; with its old manifest, which is restored, it does not start either: %w", failed, err), hint)
	}
	return workflow.WithHint(fmt.Errorf("%w\nit runs with its old manifest again", failed), hint)
}

func writeManifest(ctx context.Context, s *workflow.Step, component string, content []byte) error {
	return s.WriteFiles(ctx, host.File{Path: manifestPath(component), Content: content, Mode: 0o600})
}
