package nodes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Lost removes the hosts from the cluster that do not exist any more.
func Lost() workflow.Phase {
	return workflow.Phase{
		Name:  "lost-hosts",
		Title: "remove the lost hosts from the cluster",
		Why: "The etcd member of a host that is gone counts for the majority, and no control plane can join before it is " +
			"removed. Its Node stays NotReady, and its pods stay Terminating. A host whose machine answers is not removed: it would " +
			"run its pods on. slipway never logs in to a lost host.",
		Manual: []string{
			"kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt --key /etc/kubernetes/pki/etcd/peer.key member remove ID    # on a control plane that lives",
			"kubectl delete node NODE",
		},
		On:      workflow.Localhost,
		Needs:   []string{"lock", "kubeadm-init"},
		Enabled: func(c *config.Cluster) bool { return len(c.Lost()) > 0 },
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			state := s.Hosts().State()
			return state == nil || !state.Exists, nil
		},
		Do: removeLost,
	}
}

func removeLost(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	lost := s.Cluster().Lost()
	uids, err := lostNodes(ctx, client, lost)
	if err != nil {
		return err
	}
	if err := answering(ctx, s); err != nil {
		return err
	}
	if err := removeMembers(ctx, s, lost); err != nil {
		return err
	}
	for _, h := range lost {
		uid, exists := uids[h.Name]
		if !exists {
			continue
		}
		deleted, err := client.DeleteNode(ctx, h.Name, uid)
		if err != nil {
			return fmt.Errorf("delete node %s: %w", h.Name, err)
		}
		if deleted {
			s.Changed("delete node %s", h.Name)
		}
	}
	return nil
}

// lostNodes returns the UIDs of the Nodes of lost hosts. A Node that is ready is an
// error: its machine lives.
func lostNodes(ctx context.Context, client *kube.Client, lost []config.Host) (map[string]types.UID, error) {
	uids := map[string]types.UID{}
	var alive []error
	for _, h := range lost {
		node, err := client.Clientset().CoreV1().Nodes().Get(ctx, h.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, err
		case isReady(node):
			alive = append(alive, machineLives(h.Name, "its node is ready"))
		}
		uids[h.Name] = node.UID
	}
	return uids, errors.Join(alive...)
}

// answering returns an error if the machine of a lost host answers. Preflight has tried it
// too, but hosts are prepared meanwhile, and a machine may come back.
func answering(ctx context.Context, s *workflow.Step) error {
	if s.Planning() || s.Cluster().Ignores(config.CheckLostHost) {
		return nil
	}
	signs := s.Hosts().SignsOfLife(ctx, s.Cluster())
	var alive []error
	for _, name := range slices.Sorted(maps.Keys(signs)) {
		alive = append(alive, machineLives(name, signs[name]...))
	}
	return errors.Join(alive...)
}

func machineLives(host string, signs ...string) error {
	err := &workflow.AliveError{Host: host, Signs: signs}
	return workflow.WithHint(err, err.Remedy())
}

func isReady(node *corev1.Node) bool {
	ready, _ := kube.NodeIsReady(node)
	return ready
}

// removeMembers removes the etcd members of lost hosts, through a member that lives.
func removeMembers(ctx context.Context, s *workflow.Step, lost []config.Host) error {
	living := s.Hosts().WithLeaving().Where(func(h *workflow.Host) bool {
		return h.Config.Has(config.RoleControlPlane) && h.Unreachable() == nil && h.Facts() != nil && h.Facts().Member()
	})
	if len(living) == 0 {
		return nil // no stacked etcd, and so no members of hosts
	}
	etcd, err := workflow.ReadEtcd(ctx, living)
	if err != nil {
		return err
	}
	type leaving struct {
		host string
		id   uint64
	}
	var members []leaving
	var voters []string
	for _, m := range etcd.Members {
		for _, h := range lost {
			if kube.IsMemberOf(m, h.Name, h.NodeIP, h.Address) {
				if members = append(members, leaving{h.Name, m.ID}); !m.Learner {
					voters = append(voters, h.Name)
				}
				break
			}
		}
	}
	if len(voters) > 0 {
		if err := etcd.Quorum().CheckRemoval(strings.Join(voters, ", "), len(voters), 0); err != nil {
			return workflow.WithHint(err, "start the other control planes: a majority of all members must answer")
		}
	}
	for _, m := range members {
		if err := etcd.Remove(ctx, s, m.host, m.id); err != nil {
			return err
		}
	}
	return nil
}
