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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/lease"
	"slipway.io/slipway/provision/config"
)

// controlPlaneLabel is the label of control planes.
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// Read reads what the API server knows of the cluster into s.
func (s *State) Read(ctx context.Context, client *kube.Client) error {
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() error { return s.readNodes(reading, client) })
	// Each of them writes fields of its own.
	var kubelet, proxy map[string]any
	group.Go(func() error { return s.readConfiguration(reading, client) })
	group.Go(func() (err error) {
		kubelet, err = document(reading, client, "kubelet-config", "kubelet")
		return err
	})
	group.Go(func() (err error) {
		proxy, err = document(reading, client, "kube-proxy", "config.conf")
		return err
	})
	group.Go(func() (err error) {
		s.Record, err = ReadRecord(reading, client)
		return err
	})
	group.Go(func() (err error) {
		s.Lease, err = lease.Read(reading, client)
		return err
	})
	group.Go(func() (err error) {
		s.Sets, err = client.ApplySets(reading)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if s.Settings == nil {
		return nil // an interrupted init
	}
	s.Settings[kubeletSection], s.Settings[proxySection] = kubelet, proxy
	s.Fixed.CgroupDriver, _ = kubelet["cgroupDriver"].(string)
	if s.Record != nil {
		s.Fixed.PodNetwork, s.Fixed.Backend, s.Fixed.Etcd = s.Record.Fixed.PodNetwork, s.Record.Fixed.Backend, s.Record.Fixed.Etcd
		return nil
	}
	for _, name := range config.PodNetworks() {
		if slices.Contains(s.Sets, name) { // of a cluster of an earlier release
			s.Fixed.PodNetwork = name
		}
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
		n := Node{Name: node.Name, Version: node.Status.NodeInfo.KubeletVersion, MachineID: node.Status.NodeInfo.MachineID, Cordoned: node.Spec.Unschedulable, CordonReason: kube.CordonedBySlipway(node)}
		_, n.ControlPlane = node.Labels[controlPlaneLabel]
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
	live, err := document(ctx, client, "kubeadm-config", "ClusterConfiguration")
	if err != nil || live == nil {
		return err
	}
	field := func(path ...string) string {
		value, _, _ := unstructured.NestedString(live, path...)
		return value
	}
	s.Version = field("kubernetesVersion")
	s.Fixed = Fixed{
		PodSubnet: field("networking", "podSubnet"), ServiceSubnet: field("networking", "serviceSubnet"),
		DNSDomain: field("networking", "dnsDomain"), Name: field("clusterName"),
	}
	if endpoint := field("controlPlaneEndpoint"); endpoint != "" {
		s.Fixed.Endpoint = config.WithPort(endpoint)
	}
	s.Settings = Settings{clusterSection: live}
	s.EtcdEndpoints = externalEtcd(live)
	return nil
}

// ReadEtcdEndpoints returns the client URLs of the etcd that a cluster uses, if it does
// not run on the control planes.
func ReadEtcdEndpoints(ctx context.Context, client *kube.Client) ([]string, error) {
	live, err := document(ctx, client, "kubeadm-config", "ClusterConfiguration")
	return externalEtcd(live), err
}

// externalEtcd returns the endpoints in a ClusterConfiguration.
func externalEtcd(live map[string]any) []string {
	endpoints, _, _ := unstructured.NestedStringSlice(live, "etcd", "external", "endpoints")
	return endpoints
}

// document reads a document in a ConfigMap of kube-system; nil if there is none.
func document(ctx context.Context, client *kube.Client, name, key string) (map[string]any, error) {
	found, err := client.Clientset().CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var content map[string]any
	if err := yaml.Unmarshal([]byte(found.Data[key]), &content); err != nil {
		return nil, fmt.Errorf("configmap kube-system/%s: %w", name, err)
	}
	return content, nil
}
