package kubeadm

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Change is how a configuration of `kubeadm init` differs from that of an earlier
// attempt.
type Change struct {
	// Changed: they differ. kubeadm keeps certificates and kubeconfigs that exist,
	// although they have the old values.
	Changed bool
	// Stored are the fields that differ and that are stored in etcd, as "FIELD: OLD to
	// NEW": the name and address of the node and of its etcd member, address ranges, and
	// which etcd has them.
	Stored []string
}

// storedFields are the fields of Change.Stored, by kind of document.
var storedFields = map[string][]string{
	"InitConfiguration":    {"nodeRegistration.name", "localAPIEndpoint.advertiseAddress", "localAPIEndpoint.bindPort"},
	"ClusterConfiguration": {"networking.podSubnet", "networking.serviceSubnet", "networking.dnsDomain", "etcd.local.dataDir", "etcd.external.endpoints"},
}

// Compare compares two configurations of Init.
func Compare(before, after []byte) (Change, error) {
	if bytes.Equal(before, after) {
		return Change{}, nil
	}
	change := Change{Changed: true}
	// If the earlier one cannot be read, its values are not known.
	old, _ := documents(before)
	wanted, err := documents(after)
	if err != nil {
		return Change{}, err
	}
	for _, kind := range []string{"InitConfiguration", "ClusterConfiguration"} {
		for _, field := range storedFields[kind] {
			path := strings.Split(field, ".")
			have, _, _ := unstructured.NestedFieldNoCopy(old[kind], path...)
			want, _, _ := unstructured.NestedFieldNoCopy(wanted[kind], path...)
			if !reflect.DeepEqual(have, want) {
				change.Stored = append(change.Stored, fmt.Sprintf("%s: %v to %v", field, have, want))
			}
		}
	}
	return change, nil
}

// documents are those of a YAML stream, by kind.
func documents(stream []byte) (map[string]map[string]any, error) {
	all := map[string]map[string]any{}
	for text := range strings.SplitSeq(string(stream), "\n---\n") {
		var document map[string]any
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			return nil, fmt.Errorf("configuration of kubeadm: %w", err)
		}
		kind, _ := document["kind"].(string)
		all[kind] = document
	}
	return all, nil
}
