package validate

import (
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
)

// nodeTasks compare each host with its Node, and the Nodes with the hosts.
func nodeTasks(_ context.Context, r *run) []task {
	var tasks []task
	for _, host := range r.options.Cluster.Hosts {
		tasks = append(tasks, task{target: host.Name, once: func(ctx context.Context) (string, error) {
			return r.node(ctx, host)
		}})
	}
	return append(tasks, task{target: "no others", once: r.noOtherNodes})
}

func (r *run) node(ctx context.Context, host config.Host) (string, error) {
	node, err := r.options.Client.Clientset().CoreV1().Nodes().Get(ctx, host.Name, metav1.GetOptions{})
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
	if wanted := r.options.Cluster.Kubernetes.Version; wanted != "" && plain(wanted) != plain(version) {
		return "", fmt.Errorf("kubelet is %s, the inventory wants %s", version, wanted)
	}
	if wanted := r.nodeIP(host); wanted != "" && wanted != address {
		return "", fmt.Errorf("InternalIP is %s, expected %s", orNone(address), wanted)
	}
	return fmt.Sprintf("Ready, kubelet %s, InternalIP %s, %s",
		version, address, node.Status.NodeInfo.ContainerRuntimeVersion), nil
}

// nodeIP is the address that a host's node shall have; empty if not known.
func (r *run) nodeIP(host config.Host) string {
	if host.NodeIP != "" {
		return host.NodeIP
	}
	return r.options.NodeIPs[host.Name]
}

func (r *run) noOtherNodes(ctx context.Context) (string, error) {
	nodes, err := r.options.Client.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	hosts := r.hostNames()
	var others []string
	for _, node := range nodes.Items {
		if !slices.Contains(hosts, node.Name) {
			others = append(others, node.Name)
		}
	}
	if len(others) > 0 {
		return "", finalError{"registered, but not in the inventory: " + strings.Join(others, ", ")}
	}
	return fmt.Sprintf("%d nodes, all in the inventory", len(nodes.Items)), nil
}

func (r *run) hostNames() []string {
	var names []string
	for _, host := range r.options.Cluster.Hosts {
		names = append(names, host.Name)
	}
	return names
}

// internalIP is the first InternalIP of a node, which kubelet got as --node-ip.
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

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
