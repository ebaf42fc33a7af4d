package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Strangers are the objects of some kinds that do not belong to an apply set,
// in words: "IPAddressPool metallb-system/office". A kind is given by its
// resource and group, "ipaddresspools.metallb.io"; one that the cluster does
// not know has none.
func (c *Client) Strangers(ctx context.Context, set string, kinds ...string) ([]string, error) {
	own := (&ApplySet{name: set}).id()
	var names []string
	for _, kind := range kinds {
		resource, err := c.mapper.ResourceFor(schema.ParseGroupResource(kind).WithVersion(""))
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", kind, err)
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

// IntoNamespace puts namespaced objects that name no namespace into the one
// given. Kinds that are not known yet are taken for namespaced if one of the
// objects is a CustomResourceDefinition that says so.
func (c *Client) IntoNamespace(objects []*unstructured.Unstructured, namespace string) error {
	namespaced := map[schema.GroupKind]bool{}
	for _, o := range objects {
		if isCRD(o) {
			scope, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
			namespaced[definedKind(o)] = scope == "Namespaced"
		}
	}
	for _, o := range objects {
		if o.GetNamespace() != "" {
			continue
		}
		kind := o.GroupVersionKind()
		if is, ours := namespaced[kind.GroupKind()]; ours {
			if is {
				o.SetNamespace(namespace)
			}
			continue
		}
		mapping, err := c.mapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("%s: %w", title(o), err)
		}
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			o.SetNamespace(namespace)
		}
	}
	return nil
}
