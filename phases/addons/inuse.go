package addons

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/workflow"
)

// volumesOf returns the volumes of a storage driver, with their claims.
func volumesOf(driver string) func(context.Context, *workflow.Step) ([]string, error) {
	return func(ctx context.Context, s *workflow.Step) ([]string, error) {
		client, err := s.Kube(ctx)
		if err != nil {
			return nil, err
		}
		volumes, err := client.Clientset().CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list volumes: %w", err)
		}
		var used []string
		for _, v := range volumes.Items {
			if v.Annotations["pv.kubernetes.io/provisioned-by"] != driver {
				continue
			}
			name := "volume " + v.Name
			if claim := v.Spec.ClaimRef; claim != nil {
				name += " of claim " + claim.Namespace + "/" + claim.Name
			}
			used = append(used, name)
		}
		return used, nil
	}
}

// objectsOf returns the objects of some kinds ("gateways.gateway.networking.k8s.io")
// that do not belong to the addon's own set.
func objectsOf(set string, crds ...string) func(context.Context, *workflow.Step) ([]string, error) {
	return func(ctx context.Context, s *workflow.Step) ([]string, error) {
		client, err := s.Kube(ctx)
		if err != nil {
			return nil, err
		}
		return client.UnmanagedObjects(ctx, set, crds...)
	}
}
