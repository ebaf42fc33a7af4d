package validate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/retry"
)

// nodeTasks compare each host with its Node, and the Nodes with the hosts.
func nodeTasks(_ context.Context, r *run) []task {
	var tasks []task
	for _, t := range r.nodes() {
		tasks = append(tasks, task{target: t.Name, try: func(ctx context.Context) (string, error) {
			if err := t.check(); err != nil {
				return "", err
			}
			return r.node(ctx, t.Host)
		}})
	}
	return append(tasks, task{target: "no others", try: r.noOtherNodes})
}

func (r *run) node(ctx context.Context, host config.Host) (string, error) {
	node, err := r.client.Clientset().CoreV1().Nodes().Get(ctx, host.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("host %s is not registered as a node", host.Name)
	}
	if err != nil {
		return "", err
	}
	if ready, why := kube.NodeIsReady(node); !ready {
		return "", errors.New(why)
	}
	version, address := node.Status.NodeInfo.KubeletVersion, internalIP(node)
	if wanted := r.cluster.Kubernetes.Version; wanted != "" && plain(wanted) != plain(version) {
		return "", fmt.Errorf("kubelet is %s, but the inventory wants %s", version, wanted)
	}
	if host.NodeIP != "" && host.NodeIP != address {
		return "", fmt.Errorf("InternalIP is %s, but the inventory wants %s", cmp.Or(address, "missing"), host.NodeIP)
	}
	return fmt.Sprintf("Ready, kubelet %s, InternalIP %s, %s",
		version, address, node.Status.NodeInfo.ContainerRuntimeVersion), nil
}

func (r *run) noOtherNodes(ctx context.Context) (string, error) {
	nodes, err := r.client.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	hosts := r.hostNames()
	var others, leaving []string
	for _, node := range nodes.Items {
		switch {
		case slices.Contains(hosts, node.Name):
		case r.leaves(node.Name):
			leaving = append(leaving, node.Name)
		default:
			others = append(others, node.Name)
		}
	}
	switch {
	case len(others) > 0:
		return "", retry.Stop(fmt.Errorf("registered, but not in the inventory: %s", strings.Join(others, ", ")))
	case len(leaving) > 0:
		return "", degraded("still registered: " + strings.Join(leaving, ", ") + ", which `slipway apply` removes")
	}
	return fmt.Sprintf("%d nodes, all in the inventory", len(nodes.Items)), nil
}

// internalIP is the first InternalIP of a node: the --node-ip of its kubelet.
func internalIP(node *corev1.Node) string {
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			return address.Address
		}
	}
	return ""
}

// plain is a version without its v.
func plain(version string) string { return strings.TrimPrefix(version, "v") }
