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

// ApplySet is a named set of objects, so that what is in it no longer can be
// told from what never was. Objects that were there before, made by somebody
// else, are changed but do not become members: they are never deleted.
type ApplySet struct {
	name   string
	client *Client
	dryRun bool
	// parent is the ConfigMap as it is in the cluster; nil if there is none.
	parent *unstructured.Unstructured
	// kinds and namespaces are those of members, old and new.
	kinds      map[schema.GroupKind]bool
	namespaces map[string]bool
	// wanted are the objects of this run, members or not.
	wanted map[objectRef]bool
}

// objectRef tells objects apart, whatever version they were asked for in.
type objectRef struct {
	kind            schema.GroupKind
	namespace, name string
}

func refOf(object *unstructured.Unstructured) objectRef {
	return objectRef{object.GroupVersionKind().GroupKind(), object.GetNamespace(), object.GetName()}
}

// ApplySets are the names of the sets that the cluster has, sorted.
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
func (c *Client) OpenApplySet(ctx context.Context, name string, options ...ApplyOptions) (*ApplySet, error) {
	s := &ApplySet{
		name: name, client: c, dryRun: dryRun(options),
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
		return nil, fmt.Errorf("configmap %s/%s is there, but is no apply set: delete or rename it", applySetHome, applySetPrefix+name)
	}
	for _, kind := range words(annotations[applySetKinds]) {
		s.kinds[schema.ParseGroupKind(kind)] = true
	}
	for _, namespace := range words(annotations[applySetNamespaces]) {
		s.namespaces[namespace] = true
	}
	return s, nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// Exists says whether the cluster has the set.
func (s *ApplySet) Exists() bool { return s.parent != nil }

// id is the value of the labels, as the specification derives it.
func (s *ApplySet) id() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{applySetPrefix + s.name, applySetHome, "ConfigMap", ""}, ".")))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// wantedParent is the ConfigMap with the kinds and namespaces that are known
// of now.
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
// new kinds are, so that a run that is killed leaves none that nobody finds.
func (s *ApplySet) saveParent(ctx context.Context) error {
	want := s.wantedParent()
	if s.dryRun || s.parent != nil && maps.Equal(s.parent.GetAnnotations(), want.GetAnnotations()) {
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

// Apply makes the cluster have the objects, as Client.Apply does, as members
// of the set.
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
	changes, err := s.client.applyObjects(ctx, copies, s.dryRun, s.join)
	for _, object := range copies {
		s.wanted[refOf(object)] = true
	}
	return changes, err
}

// join makes an object a member, unless somebody else made it.
func (s *ApplySet) join(object, before *unstructured.Unstructured) error {
	if before != nil {
		switch owner := before.GetLabels()[applySetPart]; owner {
		case s.id():
		case "":
			return nil
		default:
			return fmt.Errorf("it belongs to another apply set, %s: remove it there first", owner)
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

// Prune deletes the members that were not applied by this ApplySet, and waits
// until they are gone. Without any wanted object the whole set is removed, its
// parent last.
func (s *ApplySet) Prune(ctx context.Context, options ...WaitOptions) ([]Change, error) {
	members, err := s.Members(ctx)
	if err != nil {
		return nil, err
	}
	dropped := slices.DeleteFunc(members, func(m *unstructured.Unstructured) bool { return s.wanted[refOf(m)] })
	changes, err := s.remove(ctx, dropped, options)
	if err != nil || s.dryRun {
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

// note remembers the kind and the namespace of an object for the parent.
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

// Members are the objects in the cluster that carry the set's label.
func (s *ApplySet) Members(ctx context.Context) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	selector := metav1.ListOptions{LabelSelector: applySetPart + "=" + s.id()}
	for kind := range s.kinds {
		mapping, err := s.client.mapping(kind)
		if meta.IsNoMatchError(err) {
			continue // its CRD is gone, and all of its objects with it
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

// removalRank orders deletion: custom resources while the controllers that
// finish them are there; then what would stand in the way once these are gone;
// kinds and namespaces last, since they take with them whatever is left.
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

// remove deletes objects rank by rank, each waited for.
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
		change := Change{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName(), Action: Deleted}
		if !s.dryRun {
			var err error
			change, err = retried(ctx, func() (Change, error) { return s.client.deleteOne(ctx, object) })
			if err != nil {
				return changes, fmt.Errorf("delete %s: %w", title(object), err)
			}
		}
		changes = append(changes, change)
	}
	if s.dryRun {
		return changes, nil
	}
	return changes, s.client.WaitFor(ctx, gone(objects), options...)
}

// gone: none of the objects is there any more. One that was made anew under
// the same name is another.
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
				return false, fmt.Sprintf("%s is still there%s; %d to go", title(object), heldBy(now), len(left)), nil
			}
		}
		return true, "all gone", nil
	}}
}

// heldBy names what keeps an object from going.
func heldBy(object *unstructured.Unstructured) string {
	if finalizers := object.GetFinalizers(); len(finalizers) > 0 {
		return ", held by " + strings.Join(finalizers, ", ")
	}
	return ""
}
