package backup

import (
	"context"
	"fmt"
	"path"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
)

// RestoreNodes deletes what the restored cluster has of machines that do not exist any more.
func RestoreNodes(from Source) workflow.Phase {
	return workflow.Phase{
		Name:  "restore-nodes",
		Title: "delete the nodes that do not exist any more",
		Why: "kubeadm does not let a host join that has a Node which looks ready, and pods on machines that are gone count as " +
			"running. Workers that still run with the CA of the cluster keep their Nodes.",
		Manual:   []string{"kubectl delete node NODE"},
		On:       workflow.Seed,
		Needs:    []string{"kubeadm-init"},
		NeedsAll: []string{"facts"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			client, err := s.Kube(ctx)
			if err != nil {
				return err
			}
			if err := deleteNodes(ctx, s, client, from); err != nil {
				return err
			}
			if from.Rehearse {
				if err := forget(ctx, s, client); err != nil {
					return err
				}
			}
			// As the last act: from here on, apply continues.
			_, err = s.Run(ctx, host.Cmd{Argv: []string{"rm", "-rf", path.Dir(string(facts.RestoreMark))}, Sudo: true})
			return err
		},
	}
}

func deleteNodes(ctx context.Context, s *workflow.Step, client *kube.Client, from Source) error {
	nodes, err := client.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if lives(s, from, node.Name) {
			left[node.Name] = true
			continue
		}
		deleted, err := client.DeleteNode(ctx, node.Name, node.UID)
		if err != nil {
			return fmt.Errorf("delete node %s: %w", node.Name, err)
		}
		if deleted {
			s.Changed("delete node %s", node.Name)
		}
	}
	return deletePods(ctx, s, client, left)
}

// lives reports whether a Node may be that of a machine that exists: the seed, a host that
// has kubelet with the CA of the cluster, and one that the inventory does not have.
func lives(s *workflow.Step, from Source, name string) bool {
	if name == s.Target.Config.Name {
		return true
	}
	for _, h := range s.Hosts().WithLeaving().All {
		if h.Config.Name == name {
			f := h.Facts()
			return f == nil || f.Exists(facts.KubeletConf) && f.Kubernetes.CAHash() == from.caHash()
		}
	}
	if from.Rehearse {
		return false
	}
	s.Note("node %s is not in the inventory, and stays; if its machine does not exist any more, kubectl delete node %s", name, name)
	return true
}

// deletePods deletes the pods that are on none of the nodes that are left, also if a killed
// run has deleted their Nodes. The garbage collection of pods would leave them in the
// endpoints of Services for most of a minute, and kubeadm join asks the etcd of each control
// plane that has a pod (cmd/kubeadm/app/util/etcd, getRawEtcdEndpointsFromPodAnnotation).
func deletePods(ctx context.Context, s *workflow.Step, client *kube.Client, left map[string]bool) error {
	pods, err := client.Clientset().CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	now, count := int64(0), 0
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Spec.NodeName == "" || left[pod.Spec.NodeName] {
			continue
		}
		err := client.Clientset().CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		count++
	}
	if count > 0 {
		s.Changed("delete %d pods of nodes that do not exist any more", count)
	}
	return nil
}

// forget deletes what names the cluster of the backup: the record, which the phase record
// writes again, and what tells new nodes of its endpoint.
func forget(ctx context.Context, s *workflow.Step, client *kube.Client) error {
	for _, at := range [][2]string{{metav1.NamespaceSystem, "slipway"}, {metav1.NamespacePublic, "cluster-info"}} {
		err := client.Clientset().CoreV1().ConfigMaps(at[0]).Delete(ctx, at[1], metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		s.Changed("delete configmap %s/%s of the cluster of the backup", at[0], at[1])
	}
	return nil
}
