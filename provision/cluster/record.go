package cluster

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kube"
)

// The record is a ConfigMap in kube-system, with one document.
const (
	recordName = "slipway"
	recordKey  = "record.yaml"
)

// Record is what slipway keeps in the cluster. It is written when kubeadm init has
// completed, and then says so.
type Record struct {
	// Fixed are the fields that cannot change, as the cluster was created.
	Fixed Fixed `json:"fixed"`
	// Settings are those that the inventory set when the cluster last agreed with it:
	// they tell a field that was removed from the inventory from a default.
	Settings Settings `json:"settings,omitempty"`
	// Hosts are the hosts that have joined, by name.
	Hosts map[string]RecordedHost `json:"hosts,omitempty"`
}

// RecordedHost identifies a host that has joined.
type RecordedHost struct {
	// MachineID is the content of /etc/machine-id. A host that was reinstalled has
	// another one.
	MachineID string `json:"machineID"`
	// Address is that of the Node.
	Address string `json:"address"`
}

// Equal reports whether both records say the same.
func (r Record) Equal(other Record) bool {
	return r.Fixed == other.Fixed && maps.Equal(r.Hosts, other.Hosts) && reflect.DeepEqual(r.Settings, other.Settings)
}

// ReadRecord reads the record; nil if the cluster has none.
func ReadRecord(ctx context.Context, client *kube.Client) (*Record, error) {
	found, err := client.Clientset().CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, recordName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(found)
}

func parseRecord(from *corev1.ConfigMap) (*Record, error) {
	r := &Record{}
	if err := yaml.UnmarshalStrict([]byte(from.Data[recordKey]), r); err != nil {
		return nil, fmt.Errorf("configmap kube-system/%s: %w", recordName, err)
	}
	return r, nil
}

// WriteRecord replaces the record.
func WriteRecord(ctx context.Context, client *kube.Client, r Record) error {
	text, err := yaml.Marshal(r)
	if err != nil {
		return err
	}
	object := applycorev1.ConfigMap(recordName, metav1.NamespaceSystem).WithData(map[string]string{recordKey: string(text)})
	_, err = client.Clientset().CoreV1().ConfigMaps(metav1.NamespaceSystem).Apply(ctx, object,
		metav1.ApplyOptions{FieldManager: kube.FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write configmap kube-system/%s: %w", recordName, err)
	}
	return nil
}
