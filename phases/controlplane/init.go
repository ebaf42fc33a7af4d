// Package controlplane creates the first control plane with kubeadm.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
)

const (
	unitName = "kubeadm-init"
	initFile = kubeadm.Dir + "/init.yaml"
	// initTimeout bounds init; kubeadm's own timeouts (4 minutes for the control
	// plane to start) are shorter.
	initTimeout = 15 * time.Minute
	// apiTimeout is for an API server that restarts after an interrupted init, which
	// starts it again.
	apiTimeout = 60 * time.Second
)

// resumable lists kubeadm's checks that fail after an interrupted init. Preflight
// has refused the leftovers of other installations before.
var resumable = "Port-10259,Port-10257,Port-10250,Port-2379,Port-2380,DirAvailable--var-lib-etcd," +
	"FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml," +
	"FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml," +
	"FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml," +
	"FileAvailable--etc-kubernetes-manifests-etcd.yaml"

// Init runs kubeadm init.
func Init() workflow.Phase {
	return workflow.Phase{
		Name:  "kubeadm-init",
		Title: "create the first control plane",
		Why: "kubeadm creates certificates, etcd and the control plane. It runs as a systemd unit, so that a lost connection " +
			"does not end it, and the next run finds it.",
		Manual: []string{"kubeadm init --config kubeadm.yaml    # apiVersion: kubeadm.k8s.io/v1beta4, with nodeRegistration.criSocket and localAPIEndpoint.advertiseAddress"},
		On:     workflow.Seed,
		// kubeadm init and the kubelet of its host connect to their own API server, not to the
		// endpoint (kubernetes#138449, and 1.36, cmd/kubeadm/app/cmd/init.go). Those of 1.35.0
		// to 1.35.4 and of 1.36.0 do; then keepalived starts while they wait. kube-vip is a
		// static pod, and starts with the API server.
		Needs: []string{"swap-off", "kernel", "network-manager", "hosts-file", "firewall-check", "images", "kubelet", "kube-vip", "etcd-empty", "api-server-files"},
		// Whether init may run depends on all hosts.
		NeedsAll: []string{"facts"},
		Creates:  []string{"/etc/kubernetes/", "/var/lib/kubelet/", "/var/lib/etcd/"},
		Done: func(ctx context.Context, s *workflow.Step) (bool, error) {
			done, err := initialised(ctx, s)
			if !done || err != nil {
				return false, err
			}
			return true, s.LockCluster(ctx)
		},
		Do: initialise,
	}
}

// InitRestored is Init on a host that has the keys and the data of a lost cluster. It runs
// kubeadm init whatever the data says, and workers of the cluster may be left.
func InitRestored() workflow.Phase {
	p := Init()
	p.Done, p.Do = nil, create
	return p
}

// Answers reports whether the API server of an existing cluster answered when the run
// read the state of the cluster.
func Answers(s *workflow.Step) bool { return s.Hosts().State().Answers() }

// initialised reports whether init has completed. It never answers no for a cluster
// that exists: a second init would destroy it.
func initialised(ctx context.Context, s *workflow.Step) (bool, error) {
	if !s.Facts().Joined() {
		return false, nil
	}
	if (!s.Facts().Exists(facts.APIServerManifest) || adminDamaged(s.Facts())) && !exists(s) {
		return false, nil // interrupted before the API server could start, or its files are damaged
	}
	client, err := s.Kube(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !exists(s):
		return false, nil // interrupted before admin.conf
	case err != nil:
		return false, err
	}
	ready, options := kube.APIReady(), kube.WaitOptions{Timeout: apiTimeout}
	if exists(s) {
		options = s.WaitOptions(ready.Name) // nothing else may follow
	}
	err = client.WaitFor(ctx, ready, options)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil && exists(s):
		return false, workflow.WithHint(fmt.Errorf("the cluster exists, but its API server does not answer: %w", err), fmt.Sprintf(
			"if the host has just booted, rerun `slipway apply` with a longer --timeout; otherwise repair it: see `journalctl -u kubelet` and /var/log/pods/kube-system_* on %[1]s; or finish a reset that was interrupted: slipway reset --yes --hosts %[1]s",
			s.Target.Config.Name))
	case err != nil:
		return false, nil // init starts the API server
	}
	record, err := cluster.ReadRecord(ctx, client)
	if record != nil {
		return true, nil
	}
	if err != nil && (exists(s) || !unfinished(err)) {
		return false, err
	}
	if others := joinedBefore(s); len(others) > 0 {
		if err != nil {
			return false, workflow.WithHint(
				fmt.Errorf("etcd has lost the data of the cluster, to which %s belong: the API server has none of its roles (%w)", strings.Join(others, ", "), err),
				"restore etcd from a backup, or remove what is left of the cluster: slipway reset --yes")
		}
		return true, nil // of an earlier release
	}
	return complete(ctx, s, client)
}

// exists reports whether the hosts show that a cluster exists: etcd has data, and
// kubelet has its own certificate on the host of init, or other hosts have joined. Init
// starts the API server long before. A reset deletes the data first.
func exists(s *workflow.Step) bool {
	return kubeadm.HasData(s.Cluster(), s.Facts()) && (s.Facts().Kubernetes.Finalized || len(joinedBefore(s)) > 0)
}

// joinedBefore returns the names of the other hosts that belong to a cluster.
func joinedBefore(s *workflow.Step) []string {
	var names []string
	for _, h := range s.Hosts().WithLeaving().All {
		if h != s.Target && h.Facts() != nil && h.Facts().Joined() {
			names = append(names, h.Config.Name)
		}
	}
	return names
}

// complete reports whether a cluster without slipway's record, of an earlier
// release or an interrupted init, has the object that each phase of kubeadm creates
// last (Kubernetes 1.36, cmd/kubeadm/app/phases). The binding of the administrator,
// kubeadm:cluster-admins, exists: without it, the API server refuses admin.conf.
func complete(ctx context.Context, s *workflow.Step, client *kube.Client) (bool, error) {
	set := client.Clientset()
	binding := func(namespace, name string) func() error {
		return func() error {
			_, err := set.RbacV1().RoleBindings(namespace).Get(ctx, name, metav1.GetOptions{})
			return err
		}
	}
	lookups := []struct {
		phase string
		get   func() error
	}{
		{"", func() error {
			_, err := set.CoreV1().Nodes().Get(ctx, s.Target.Config.Name, metav1.GetOptions{})
			return err
		}},
		{"upload-config/kubeadm", binding(metav1.NamespaceSystem, "kubeadm:nodes-kubeadm-config")},
		{"upload-config/kubelet", binding(metav1.NamespaceSystem, "kubeadm:kubelet-config")},
		{"bootstrap-token", binding(metav1.NamespacePublic, "kubeadm:bootstrap-signer-clusterinfo")},
		{"addon/coredns", func() error {
			_, err := set.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, "kube-dns", metav1.GetOptions{})
			return err
		}},
		{"addon/kube-proxy", binding(metav1.NamespaceSystem, "kube-proxy")},
	}
	for _, l := range lookups {
		if kubeadm.Skips(s.Cluster(), l.phase) {
			continue
		}
		if err := l.get(); unfinished(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// unfinished reports whether an interrupted init explains the API server's answer:
// an object does not exist yet, or admin.conf has no permissions, since their
// binding is created late.
func unfinished(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

func initialise(ctx context.Context, s *workflow.Step) error {
	if err := onlyCluster(s); err != nil {
		return err
	}
	return create(ctx, s)
}

// create runs kubeadm init.
func create(ctx context.Context, s *workflow.Step) error {
	s.CreatesCluster()
	ip, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	etcd, err := s.Hosts().EtcdEndpoints(s.Cluster())
	if err != nil {
		return err
	}
	document, err := kubeadm.Init(s.Cluster(), kubeadm.Node{Spec: s.Target.Config, IP: ip, Version: s.Version(), Etcd: etcd})
	if err != nil {
		return err
	}
	if err := resume(ctx, s, document); err != nil {
		return err
	}
	if _, err := host.EnsureFiles(ctx, s, host.File{Path: initFile, Content: document, Mode: 0o600}); err != nil {
		return err
	}
	_, err = systemd.Run(ctx, s, systemd.Unit{
		Name: unitName,
		Argv: []string{
			install.BinDir + "/kubeadm", "init", "--config", initFile, "--skip-token-print", "--ignore-preflight-errors",
			fmt.Sprintf("Port-%d,%s", s.Cluster().ControlPlane.BindPort, resumable),
		},
		Input:   systemd.InputOf(document),
		Sync:    kubeadm.Directories(),
		Output:  s.Output(),
		Timeout: initTimeout,
	})
	if err != nil {
		return workflow.WithHint(err, fmt.Sprintf("see `journalctl -u kubelet` on %s, fix the problem and rerun `slipway apply` to resume", s.Target.Config.Name))
	}
	s.LockCreatedCluster(ctx)
	if err := writeRecord(ctx, s); !errors.Is(err, host.ErrPlanned) {
		return err
	}
	return nil // the plan lists the unit
}

// onlyCluster returns an error unless it is known that no other host belongs to a
// cluster.
func onlyCluster(s *workflow.Step) error {
	for _, h := range s.Hosts().WithLeaving().All {
		if h.Facts() == nil {
			return workflow.WithHint(
				fmt.Errorf("%s was not read, and may belong to a cluster: kubeadm init could create a second one", h.Config.Name),
				"make the host reachable, or remove it from the inventory")
		}
	}
	if s.Facts().Joining() {
		return workflow.WithHint(
			fmt.Errorf("%s was joining a cluster, which no other control plane of the inventory has", s.Target.Config.Name),
			fmt.Sprintf("add a control plane of that cluster to the inventory, or remove what the join has left: slipway reset --yes --hosts %s", s.Target.Config.Name))
	}
	for _, h := range s.Cluster().Lost() {
		if h.Has(config.RoleControlPlane) {
			return workflow.WithHint(
				fmt.Errorf("%s is lost, and no host has the data of its cluster: kubeadm init would create an empty one", h.Name),
				"restore a control plane of the cluster; for a new cluster, delete the lost hosts from the inventory")
		}
	}
	if names := joinedBefore(s); len(names) > 0 {
		return workflow.WithHint(
			fmt.Errorf("%s already belong to a cluster: kubeadm init would create a second one", strings.Join(names, ", ")),
			"add the control plane of that cluster to the inventory, or remove them from it: slipway reset --yes --hosts "+strings.Join(names, ","))
	}
	return nil
}
