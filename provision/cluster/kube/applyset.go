package kube

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The labels and annotations of the ApplySet specification (KEP-3659), which
// `kubectl apply --prune --applyset` follows too.
const (
	applySetID         = "applyset.kubernetes.io/id"
	applySetPart       = "applyset.kubernetes.io/part-of"
	applySetTooling    = "applyset.kubernetes.io/tooling"
	applySetKinds      = "applyset.kubernetes.io/contains-group-kinds"
	applySetNamespaces = "applyset.kubernetes.io/additional-namespaces"
	tooling            = FieldManager + "/v1"
)

// applySetHome and applySetPrefix are where a set's parent is: a ConfigMap.
const (
	applySetHome   = metav1.NamespaceSystem
	applySetPrefix = "slipway-"
)

// ApplySet is a named set of objects, which records what belongs to it: objects
// that were removed from it can be deleted. Objects that existed before slipway
// applied them are changed but do not become members: they are never deleted.
type ApplySet struct {
	name   string
	client *Client
	// parent is the ConfigMap in the cluster; nil if there is none.
	parent *unstructured.Unstructured
	// kinds and namespaces are those of the members, old and new.
	kinds      map[schema.GroupKind]bool
	namespaces map[string]bool
	// wanted are the objects of this run, members or not.
	wanted map[objectRef]bool
}

// objectRef identifies an object, whatever API version it was read in.
type objectRef struct {
	kind            schema.GroupKind
	namespace, name string
}

func refOf(object *unstructured.Unstructured) objectRef {
	return objectRef{object.GroupVersionKind().GroupKind(), object.GetNamespace(), object.GetName()}
}

// ApplySets returns the names of the sets in the cluster, sorted.
func (c *Client) ApplySets(ctx context.Context) ([]string, error) {
	parents, err := c.clientset.CoreV1().ConfigMaps(applySetHome).List(ctx, metav1.ListOptions{LabelSelector: applySetID})
	if err != nil {
		return nil, fmt.Errorf("list apply sets: %w", err)
	}
	var names []string
	for _, parent := range parents.Items {
		name, ours := strings.CutPrefix(parent.Name, applySetPrefix)
		if ours && parent.Annotations[applySetTooling] == tooling {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names)), nil
}

// OpenApplySet reads the set of that name; it may not exist yet.
func (c *Client) OpenApplySet(ctx context.Context, name string) (*ApplySet, error) {
	s := &ApplySet{
		name: name, client: c,
		kinds: map[schema.GroupKind]bool{}, namespaces: map[string]bool{}, wanted: map[objectRef]bool{},
	}
	resource, err := c.resourceFor(s.wantedParent())
	if err != nil {
		return nil, fmt.Errorf("apply set %s: %w", name, err)
	}
	s.parent, err = resource.Get(ctx, applySetPrefix+name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.parent = nil
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("apply set %s: %w", name, err)
	}
	annotations := s.parent.GetAnnotations()
	if s.parent.GetLabels()[applySetID] != s.id() {
		return nil, fmt.Errorf("configmap %s/%s exists but is not an apply set: delete or rename it", applySetHome, applySetPrefix+name)
	}
	for _, kind := range commaSeparated(annotations[applySetKinds]) {
		s.kinds[schema.ParseGroupKind(kind)] = true
	}
	for _, namespace := range commaSeparated(annotations[applySetNamespaces]) {
		s.namespaces[namespace] = true
	}
	return s, nil
}

func commaSeparated(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// Exists reports whether the set is in the cluster.
func (s *ApplySet) Exists() bool { return s.parent != nil }

// id is the value of the labels, as the specification derives it.
func (s *ApplySet) id() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{applySetPrefix + s.name, applySetHome, "ConfigMap", ""}, ".")))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// wantedParent is the ConfigMap with the kinds and namespaces known so far.
func (s *ApplySet) wantedParent() *unstructured.Unstructured {
	var kinds []string
	for kind := range s.kinds {
		kinds = append(kinds, kind.String())
	}
	slices.Sort(kinds)
	parent := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	parent.SetNamespace(applySetHome)
	parent.SetName(applySetPrefix + s.name)
	parent.SetLabels(map[string]string{applySetID: s.id(), "app.kubernetes.io/managed-by": FieldManager})
	parent.SetAnnotations(map[string]string{
		applySetTooling:    tooling,
		applySetKinds:      strings.Join(kinds, ","),
		applySetNamespaces: strings.Join(slices.Sorted(maps.Keys(s.namespaces)), ","),
	})
	return parent
}

// saveParent writes the parent if it differs. It is written before members of
// new kinds are, so that the run after a killed one finds all members.
func (s *ApplySet) saveParent(ctx context.Context) error {
	want := s.wantedParent()
	if s.parent != nil && maps.Equal(s.parent.GetAnnotations(), want.GetAnnotations()) {
		return nil
	}
	resource, err := s.client.resourceFor(want)
	if err != nil {
		return err
	}
	s.parent, err = retried(ctx, func() (*unstructured.Unstructured, error) {
		return resource.Apply(ctx, want.GetName(), want, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	})
	if err != nil {
		return fmt.Errorf("apply set %s: %w", s.name, err)
	}
	return nil
}

// Apply applies the objects as Client.Apply does, as members of the set.
func (s *ApplySet) Apply(ctx context.Context, objects []*unstructured.Unstructured) ([]Change, error) {
	copies := make([]*unstructured.Unstructured, 0, len(objects))
	for _, object := range objects {
		object = object.DeepCopy()
		s.note(refOf(object))
		copies = append(copies, object)
	}
	if err := s.saveParent(ctx); err != nil {
		return nil, err
	}
	changes, err := s.client.applyObjects(ctx, copies, s.adopt)
	for _, object := range copies {
		s.wanted[refOf(object)] = true
	}
	return changes, err
}

// adopt labels an object as a member, unless it existed before slipway.
func (s *ApplySet) adopt(object, before *unstructured.Unstructured) error {
	if before != nil {
		switch owner := before.GetLabels()[applySetPart]; owner {
		case s.id():
		case "":
			return nil
		default:
			return fmt.Errorf("it belongs to another apply set, %s: remove it from that one first", owner)
		}
	}
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[applySetPart] = s.id()
	object.SetLabels(labels)
	return nil
}

// note records the kind and the namespace of an object for the parent.
func (s *ApplySet) note(ref objectRef) {
	s.kinds[ref.kind] = true
	if ref.namespace != "" && ref.namespace != applySetHome {
		s.namespaces[ref.namespace] = true
	}
}

func (s *ApplySet) deleteParent(ctx context.Context) error {
	err := retryTransient(ctx, func() error {
		return s.client.clientset.CoreV1().ConfigMaps(applySetHome).Delete(ctx, applySetPrefix+s.name, metav1.DeleteOptions{})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	s.parent = nil
	return nil
}

// Members returns the objects in the cluster that carry the set's label.
func (s *ApplySet) Members(ctx context.Context) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	selector := metav1.ListOptions{LabelSelector: applySetPart + "=" + s.id()}
	for kind := range s.kinds {
		mapping, err := s.client.mapping(kind)
		if meta.IsNoMatchError(err) {
			continue // its CRD was deleted, and with it all of its objects
		}
		if err != nil {
			return nil, fmt.Errorf("apply set %s: %w", s.name, err)
		}
		list, err := s.client.dynamic.Resource(mapping.Resource).List(ctx, selector)
		if err != nil {
			return nil, fmt.Errorf("apply set %s: list %s: %w", s.name, mapping.Resource.Resource, err)
		}
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	}
	return all, nil
}
