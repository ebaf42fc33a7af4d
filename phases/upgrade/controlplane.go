package upgrade

import (
	"context"
	"fmt"
	"slices"

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
	for _, together := range groups(changes) {
		if err := replace(ctx, s, together); err != nil {
			return err
		}
	}
	return nil
}

// groups returns the changes that are made together: etcd and API server restart at the
// same time, then what connects to that API server, also at the same time.
func groups(changes []manifestChange) [][]manifestChange {
	servers := slices.IndexFunc(changes, func(c manifestChange) bool { return c.component != etcd && c.component != apiServer })
	if servers <= 0 {
		return [][]manifestChange{changes}
	}
	return [][]manifestChange{changes[:servers], changes[servers:]}
}

// replace writes manifests of static pods and waits until the pods run with them. If they
// do not, the old manifests come back: the host keeps an API server, without which no later
// run could reach the cluster of a single control plane.
func replace(ctx context.Context, s *workflow.Step, changes []manifestChange) error {
	if s.Planning() {
		return writeManifests(ctx, s, changes)
	}
	before := map[string]string{}
	for _, change := range changes {
		hash, err := manifestHash(ctx, s, change.component)
		if err != nil {
			return err
		}
		before[change.component] = hash
	}
	if changes[0].component == etcd {
		if err := moveLeader(ctx, s); err != nil {
			return err
		}
	}
	seen, err := watch(ctx, s, changes, before)
	if err != nil {
		return err
	}
	if err := writeManifests(ctx, s, changes); err != nil {
		return err
	}
	for _, change := range changes {
		err := ready(ctx, s, change.component, before[change.component], seen)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			component := blame(change.component, err)
			return restore(ctx, s, changes, before, component, whyNot(ctx, s, component, err))
		}
	}
	return nil
}

// writeManifests writes the wanted manifests. The API server restarts with its etcd.
func writeManifests(ctx context.Context, s *workflow.Step, changes []manifestChange) error {
	for _, change := range changes {
		if err := writeManifest(ctx, s, change.component, change.wanted); err != nil {
			return err
		}
	}
	if changes[0].component == etcd && len(changes) == 1 {
		return restartAPIServer(ctx, s)
	}
	return nil
}

// restartAPIServer ends the API server of the host, which kubelet starts again. One whose
// etcd restarts accepts requests that it cannot answer, for up to a minute: its client
// waits longer and longer before it connects again. One that does not run refuses them, and
// load balancers use another one.
func restartAPIServer(ctx context.Context, s *workflow.Step) error {
	_, err := s.Run(ctx, host.Cmd{Argv: []string{"pkill", "-TERM", "-x", apiServer}, Sudo: true})
	if host.Exited(err) {
		return nil // it does not run
	}
	return err
}

// ready waits until a static pod runs with another manifest than before, and with it etcd
// is healthy.
func ready(ctx context.Context, s *workflow.Step, component, before string, seen *crashes) error {
	running := runs(s, component, func(hash string) bool { return hash != before })
	if err := s.WaitFor(ctx, seen.unless(s, running), 0); err != nil || component != etcd {
		return err
	}
	return s.WaitFor(ctx, allMembersHealthy(s), 0)
}

// restore brings the manifests back with which static pods ran before, and returns why one
// of them does not start.
func restore(ctx context.Context, s *workflow.Step, changes []manifestChange, before map[string]string, component string, cause error) error {
	name := s.Target.Config.Name
	hint := fmt.Sprintf("correct the setting in the inventory and rerun `slipway apply`; see /var/log/pods/kube-system_%s-%s_* on %s", component, name, name)
	failed := fmt.Errorf("%s does not start with the new manifest: %w", component, cause)
	for _, change := range changes {
		if err := writeManifest(ctx, s, change.component, change.have); err != nil {
			return workflow.WithHint(fmt.Errorf("%w; its old manifest could not be restored: %w", failed, err), hint)
		}
	}
	for _, change := range changes {
		hash := before[change.component]
		again := runs(s, change.component, func(now string) bool { return hash == "" || now == hash })
		if err := s.WaitFor(ctx, again, 0); err != nil {
			return workflow.WithHint(fmt.Errorf("%w; with its old manifest, which is restored, it does not start either: %w", failed, err), hint)
		}
	}
	return workflow.WithHint(fmt.Errorf("%w\nit runs with its old manifest again", failed), hint)
}

func writeManifest(ctx context.Context, s *workflow.Step, component string, content []byte) error {
	return s.WriteFiles(ctx, host.File{Path: manifestPath(component), Content: content, Mode: 0o600})
}
