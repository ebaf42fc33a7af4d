package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/lease"
	"slipway.io/slipway/provision/config"
)

// Read reads what the API server knows of the cluster into s.
func (s *State) Read(ctx context.Context, client *kube.Client) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.readNodes(ctx, client) })
	group.Go(func() error { return s.readConfiguration(ctx, client) })
	group.Go(func() (err error) {
		s.Record, err = ReadRecord(ctx, client)
		return err
	})
	group.Go(func() (err error) {
		s.Lease, err = lease.Read(ctx, client)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if s.Record != nil {
		s.Fixed.PodNetwork = s.Record.Fixed.PodNetwork
	}
	return nil
}

func (s *State) readNodes(ctx context.Context, client *kube.Client) error {
	list, err := client.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		node := &list.Items[i]
		n := Node{Name: node.Name, Version: node.Status.NodeInfo.KubeletVersion, Cordoned: node.Spec.Unschedulable}
		if n.Ready, n.Why = kube.NodeIsReady(node); n.Ready {
			n.Why = ""
		}
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				n.Addresses = append(n.Addresses, address.Address)
			}
		}
		s.Nodes = append(s.Nodes, n)
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// readConfiguration reads the document with which kubeadm created the cluster. It
// does not exist yet after an interrupted init.
func (s *State) readConfiguration(ctx context.Context, client *kube.Client) error {
	found, err := client.Clientset().CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "kubeadm-config", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var document struct {
		KubernetesVersion    string `json:"kubernetesVersion"`
		ControlPlaneEndpoint string `json:"controlPlaneEndpoint"`
		Networking           struct {
			PodSubnet     string `json:"podSubnet"`
			ServiceSubnet string `json:"serviceSubnet"`
			DNSDomain     string `json:"dnsDomain"`
		} `json:"networking"`
	}
	if err := yaml.Unmarshal([]byte(found.Data["ClusterConfiguration"]), &document); err != nil {
		return fmt.Errorf("configmap kube-system/kubeadm-config: %w", err)
	}
	s.Version = document.KubernetesVersion
	s.Fixed = Fixed{
		PodSubnet: document.Networking.PodSubnet, ServiceSubnet: document.Networking.ServiceSubnet,
		DNSDomain: document.Networking.DNSDomain,
	}
	if document.ControlPlaneEndpoint != "" {
		s.Fixed.Endpoint = config.WithPort(document.ControlPlaneEndpoint)
	}
	return nil
}
