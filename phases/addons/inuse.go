package addons

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/workflow"
)

// volumesOf says which volumes a storage driver holds, by the claims that they
// are for.
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

// objectsOf says which objects of some kinds ("gateways.gateway.networking.k8s.io")
// there are beside those that the addon's own set holds.
func objectsOf(set string, crds ...string) func(context.Context, *workflow.Step) ([]string, error) {
	return func(ctx context.Context, s *workflow.Step) ([]string, error) {
		client, err := s.Kube(ctx)
		if err != nil {
			return nil, err
		}
		return client.Strangers(ctx, set, crds...)
	}
}
