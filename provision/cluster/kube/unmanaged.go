package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// UnmanagedObjects returns the objects of some kinds that do not belong to an
// apply set, by kind and name: "IPAddressPool metallb-system/office". A kind is
// given by its resource and group, "ipaddresspools.metallb.io"; of one that the
// cluster does not serve there are no objects.
func (c *Client) UnmanagedObjects(ctx context.Context, set string, kinds ...string) ([]string, error) {
	own := (&ApplySet{name: set}).id()
	var names []string
	for _, kind := range kinds {
		resource, err := c.mapper.ResourceFor(schema.ParseGroupResource(kind).WithVersion(""))
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		list, err := c.dynamic.Resource(resource).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		for i := range list.Items {
			if object := &list.Items[i]; object.GetLabels()[applySetPart] != own {
				names = append(names, title(object))
			}
		}
	}
	return names, nil
}
