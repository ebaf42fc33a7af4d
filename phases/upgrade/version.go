package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/snapshot"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
)

const (
	// snapshots is where snapshots of etcd from before an upgrade are.
	snapshots = "/var/lib/slipway/snapshots"
	// upgradeTimeout bounds kubeadm, whose own timeouts are shorter.
	upgradeTimeout = 10 * time.Minute
)

// disruptive reports whether the turn of a host restarts its pods: a kubelet of another
// version may do so. Settings restart kubelet alone, and pods keep running.
func disruptive(_ context.Context, s *workflow.Step) (bool, error) { return s.Upgrades() != "", nil }

// kubeadmOf returns the path of the kubeadm that renders the files of the host: that of the
// version that the host is going to have.
func kubeadmOf(s *workflow.Step) string {
	if s.Upgrades() != "" {
		return install.StageDir(s.Version()) + "/kubeadm"
	}
	return install.BinDir + "/kubeadm"
}

// imageVersion returns the version of a component in the name of its image.
func imageVersion(image string) string { return image[strings.LastIndex(image, ":")+1:] }

// checkDowngrade returns an error if the API server of the host is newer than the version
// that it would get: an upgrade was interrupted, and the inventory does not name its version
// any more.
func checkDowngrade(s *workflow.Step) error {
	have, err := version.ParseSemantic(imageVersion(s.Facts().Kubernetes.StaticPods[apiServer]))
	if err != nil {
		return nil // it is not known, or the image has a name of its own
	}
	wanted, err := version.ParseSemantic(s.Version())
	if err != nil || !wanted.LessThan(have) {
		return err
	}
	return workflow.WithHint(fmt.Errorf("the API server has v%s, and would get %s: Kubernetes supports no downgrade", have, s.Version()),
		fmt.Sprintf("set kubernetes.version: v%s in the inventory, and rerun `slipway apply` to finish the upgrade", have))
}

// begun reports whether a control plane has the new version already.
func begun(s *workflow.Step) bool {
	return slices.ContainsFunc(append(planes(s), s.Target), func(h *workflow.Host) bool {
		return imageVersion(h.Facts().Kubernetes.StaticPods[apiServer]) == s.Version()
	})
}

// upgrading reports whether the run upgrades the control plane.
func upgrading(s *workflow.Step) bool {
	state := s.Hosts().State()
	return state.Answers() && state.Version != "" && state.Version != s.Version()
}

// Snapshot saves the data of etcd before an upgrade.
func Snapshot() workflow.Phase {
	return workflow.Phase{
		Name:  "etcd-snapshot",
		Title: "save a snapshot of etcd before the upgrade",
		Why: "A new version may store data that the old one cannot read. The snapshot is verified, and is the way back if the " +
			"upgrade damages the cluster: see docs/upgrade.md.",
		Manual: []string{
			"kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt --key /etc/kubernetes/pki/etcd/peer.key snapshot save /var/lib/etcd/snapshot.db",
			"etcdutl snapshot status snapshot.db",
		},
		On:    workflow.Seed,
		Needs: []string{"kubeadm-init", "lost-hosts"},
		// Nothing of the upgrade is later than this, so that what is saved is from before it.
		NeedsAll: []string{"images", "kubelet"},
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return !upgrading(s) || begun(s), nil
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			if s.Cluster().ExternalEtcd() {
				s.Note("save a snapshot of the external etcd yourself: slipway does not do it before an upgrade")
				return nil
			}
			_, err := snapshot.Take(ctx, s, fmt.Sprintf("%s/before-%s.db", snapshots, s.Version()))
			return err
		},
	}
}

// Version ends the upgrade of the control plane.
func Version() workflow.Phase {
	return workflow.Phase{
		Name:  "cluster-version",
		Title: "upgrade kube-proxy and CoreDNS, and note the new version in the cluster",
		Why: "When all control planes have the new version, kubeadm upgrades what runs beside them, and writes the version to the " +
			"cluster. Only then do kubelets of workers get it, and hosts join with it: none of them is newer than an API server.",
		Manual:   []string{"kubeadm upgrade apply VERSION --yes --skip-phases preflight,control-plane,kubeconfig,kubelet-config"},
		On:       workflow.Seed,
		Needs:    []string{"cluster-settings"},
		NeedsAll: []string{"uncordon-control-planes"},
		Done: func(ctx context.Context, s *workflow.Step) (bool, error) {
			state := s.Hosts().State()
			if !state.Answers() || state.Version == "" {
				return true, nil // the cluster is created in this run, with its version
			}
			if upgrading(s) {
				return false, nil
			}
			client, err := s.Kube(ctx)
			if err != nil {
				return false, err
			}
			return proxyUpgraded(ctx, s, client)
		},
		Do: upgradeAddons,
	}
}

// proxyUpgraded reports whether kube-proxy has the version, or does not exist. kubeadm
// upgrades it last.
func proxyUpgraded(ctx context.Context, s *workflow.Step, client *kube.Client) (bool, error) {
	set, err := client.Clientset().AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, proxy, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for _, c := range set.Spec.Template.Spec.Containers {
		have, err := version.ParseSemantic(imageVersion(c.Image))
		if err != nil {
			return true, nil // an image of somebody else
		}
		wanted, err := version.ParseSemantic(s.Version())
		if err != nil || have.LessThan(wanted) {
			return false, err
		}
	}
	return true, nil
}

func upgradeAddons(ctx context.Context, s *workflow.Step) error {
	argv := []string{
		install.BinDir + "/kubeadm", "upgrade", "apply", s.Version(), "--yes",
		"--skip-phases", "preflight,control-plane,kubeconfig,kubelet-config",
	}
	_, err := systemd.Run(ctx, s, systemd.Unit{
		Name: "kubeadm-upgrade", Argv: argv, Sync: kubeadm.Directories(), Output: s.Output(), Timeout: upgradeTimeout,
	})
	if err != nil {
		return workflow.WithHint(err, "fix the problem and rerun `slipway apply` to resume")
	}
	if s.Planning() {
		return nil
	}
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	done, err := proxyUpgraded(ctx, s, client)
	if err != nil {
		return err
	}
	if !done {
		return workflow.WithHint(fmt.Errorf("kubeadm has not upgraded kube-proxy to %s: another control plane has an older API server", s.Version()),
			"upgrade or remove that control plane: see `kubectl -n kube-system get pods -l component=kube-apiserver -o wide`")
	}
	if _, err := client.Clientset().AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, proxy, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return nil
	}
	return s.WaitFor(ctx, kube.DaemonSetReady(metav1.NamespaceSystem, proxy), 0)
}
