package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Prune deletes the members that this ApplySet did not apply, and waits until
// they are gone. If it applied nothing, the whole set is deleted, its parent
// last.
func (s *ApplySet) Prune(ctx context.Context, options ...WaitOptions) ([]Change, error) {
	members, err := s.Members(ctx)
	if err != nil {
		return nil, err
	}
	dropped := slices.DeleteFunc(members, func(m *unstructured.Unstructured) bool { return s.wanted[refOf(m)] })
	changes, err := s.remove(ctx, dropped, options)
	if err != nil {
		return changes, err
	}
	if len(s.wanted) == 0 {
		return changes, s.deleteParent(ctx)
	}
	clear(s.kinds)
	clear(s.namespaces)
	for ref := range s.wanted {
		s.note(ref)
	}
	return changes, s.saveParent(ctx)
}

// removalRank orders deletion: custom resources while the controllers that
// finalize them run; then webhooks and APIs that would block requests once those
// have stopped; kinds and namespaces last, since their deletion deletes the rest.
func removalRank(object *unstructured.Unstructured, custom map[schema.GroupKind]bool) int {
	kind := object.GroupVersionKind().GroupKind()
	switch {
	case custom[kind]:
		return 0
	case kind.Kind == "ValidatingWebhookConfiguration", kind.Kind == "MutatingWebhookConfiguration", kind.Kind == "APIService":
		return 1
	case isCRD(object):
		return 3
	case kind == schema.GroupKind{Kind: "Namespace"}:
		return 4
	default:
		return 2
	}
}

// definedKind is the kind that a CustomResourceDefinition defines.
func definedKind(crd *unstructured.Unstructured) schema.GroupKind {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	return schema.GroupKind{Group: group, Kind: kind}
}

// customKinds are the kinds that the CRDs among the objects define.
func customKinds(objects []*unstructured.Unstructured) map[schema.GroupKind]bool {
	custom := map[schema.GroupKind]bool{}
	for _, object := range objects {
		if !isCRD(object) {
			continue
		}
		custom[definedKind(object)] = true
	}
	return custom
}

// remove deletes objects rank by rank, and waits for each rank.
func (s *ApplySet) remove(ctx context.Context, objects []*unstructured.Unstructured, options []WaitOptions) ([]Change, error) {
	custom := customKinds(objects)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		if by := removalRank(a, custom) - removalRank(b, custom); by != 0 {
			return by
		}
		return strings.Compare(title(a), title(b))
	})
	var changes []Change
	for first := 0; first < len(objects); {
		end := first
		for end < len(objects) && removalRank(objects[end], custom) == removalRank(objects[first], custom) {
			end++
		}
		some, err := s.removeAll(ctx, objects[first:end], options)
		changes = append(changes, some...)
		if err != nil {
			return changes, err
		}
		first = end
	}
	return changes, nil
}

func (s *ApplySet) removeAll(ctx context.Context, objects []*unstructured.Unstructured, options []WaitOptions) ([]Change, error) {
	var changes []Change
	for _, object := range objects {
		change, err := retried(ctx, func() (Change, error) { return s.client.deleteOne(ctx, object) })
		if err != nil {
			return changes, fmt.Errorf("delete %s: %w", title(object), err)
		}
		changes = append(changes, change)
	}
	return changes, s.client.await(ctx, gone(objects), options...)
}

// gone: none of the objects exists any more. One that was recreated under the
// same name is another object.
func gone(objects []*unstructured.Unstructured) Condition {
	left := slices.Clone(objects)
	return Condition{Name: "deleted objects gone", Check: func(ctx context.Context, c *Client) (bool, string, error) {
		for len(left) > 0 {
			object := left[0]
			resource, err := c.resourceFor(object)
			if meta.IsNoMatchError(err) {
				left = left[1:]
				continue
			}
			if err != nil {
				return false, "", err
			}
			now, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err), err == nil && now.GetUID() != object.GetUID():
				left = left[1:]
			case err != nil:
				return false, "", err
			default:
				return false, fmt.Sprintf("%s still exists%s; %d to go", title(object), heldBy(now), len(left)), nil
			}
		}
		return true, "all gone", nil
	}}
}

// heldBy names what keeps an object from being deleted.
func heldBy(object *unstructured.Unstructured) string {
	if finalizers := object.GetFinalizers(); len(finalizers) > 0 {
		return ", held by " + strings.Join(finalizers, ", ")
	}
	return ""
}
