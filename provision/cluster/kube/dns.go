package kube

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// These are kubeadm's names (cmd/kubeadm/app/phases/addons/dns/manifests.go).
const (
	coreDNS         = "coredns"
	coreDNSSelector = "k8s-app=kube-dns"
)

// CoreDNSStarted: a pod of CoreDNS runs, which proves that pods get a network. It need
// not be ready the first time: kubelet checks that every 10 s only. A Deployment that
// somebody scaled to zero or deleted starts no pod, and is not waited for.
func CoreDNSStarted() Condition {
	return Condition{Name: "CoreDNS to start", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		pods, err := c.clientset.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: coreDNSSelector})
		if err != nil {
			return false, "", err
		}
		if slices.ContainsFunc(pods.Items, runs) {
			return true, "started", nil
		}
		seen := fmt.Sprintf("%d pods", len(pods.Items)) + c.describeUnready(ctx, pods.Items)
		if slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp == nil }) {
			return false, seen, nil
		}
		deployment, err := c.clientset.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, coreDNS, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, "there is no CoreDNS", nil
		}
		if err != nil {
			return false, "", err
		}
		if replicas := deployment.Spec.Replicas; replicas != nil && *replicas == 0 {
			return true, "scaled to zero", nil
		}
		return false, seen + refusedPods(deployment.Status.Conditions), nil
	}}
}

// runs reports whether a pod stays and its containers run. One that has crashed
// before must be ready: it may crash again.
func runs(pod corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	ready, _ := PodIsReady(&pod)
	return !slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Running == nil || s.RestartCount > 0 && !ready
	})
}
