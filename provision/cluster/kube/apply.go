package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Action is what was done to an object; with DryRun, what would be.
type Action string

// The actions.
const (
	Created   Action = "created"
	Changed   Action = "changed"
	Unchanged Action = "unchanged"
	Deleted   Action = "deleted"
	// Absent: there was nothing to delete.
	Absent Action = "absent"
)

// Change is what happened to one object.
type Change struct {
	// Kind, Namespace (empty for a cluster-wide object) and Name identify it.
	Kind, Namespace, Name string
	Action                Action
	// Diff of a Changed object has a line for each field that differs,
	// "path: old -> new", in the order of the paths. The values of a Secret
	// are left out.
	Diff []string
	// Unified is what would change with DryRun, as package diff shows it.
	Unified string
}

// crdTimeout bounds the wait until new kinds are served.
const crdTimeout = 60 * time.Second

// Apply applies the objects of a YAML stream by server-side apply as
// FieldManager, and takes over fields that others manage. Namespaces and
// CustomResourceDefinitions come first; Apply waits until the latter are
// established.
//
// The changes are in the order of the objects. With an error, they are those
// that succeeded.
func (c *Client) Apply(ctx context.Context, manifests []byte) ([]Change, error) {
	objects, err := Decode(manifests)
	if err != nil {
		return nil, err
	}
	return c.applyObjects(ctx, objects, nil)
}

// beforeApply receives an object that is about to be applied, which it may
// change, and the one in the cluster, nil for none.
type beforeApply func(object, before *unstructured.Unstructured) error

func (c *Client) applyObjects(ctx context.Context, objects []*unstructured.Unstructured, prepare beforeApply) ([]Change, error) {
	first, rest := split(objects)
	changes, err := c.applyAll(ctx, first, prepare)
	if err != nil {
		return changes, err
	}
	if err := c.waitEstablished(ctx, first); err != nil {
		return changes, err
	}
	more, err := c.applyAll(ctx, rest, prepare)
	return append(changes, more...), err
}

// parallelApplies bounds how many objects are applied at the same time: each
// costs two round trips.
const parallelApplies = 8

func (c *Client) applyAll(ctx context.Context, objects []*unstructured.Unstructured, prepare beforeApply) ([]Change, error) {
	changes, errs := make([]Change, len(objects)), make([]error, len(objects))
	var g errgroup.Group
	g.SetLimit(parallelApplies)
	for i, object := range objects {
		g.Go(func() error {
			changes[i], errs[i] = retried(ctx, func() (Change, error) {
				change, err := c.applyOne(ctx, object, prepare)
				if c.dryRun && webhookUnavailable(err) {
					err = &WebhookUnavailableError{err} // a dry run does not start it
				}
				return change, err
			})
			return nil
		})
	}
	_ = g.Wait() // each object has its own error: one does not stop the others
	var done []Change
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("apply %s: %w", title(objects[i]), err)
			continue
		}
		done = append(done, changes[i])
	}
	return done, errors.Join(errs...)
}

func (c *Client) applyOne(ctx context.Context, object *unstructured.Unstructured, prepare beforeApply) (Change, error) {
	change := Change{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName(), Action: Created}
	resource, err := c.resourceFor(object)
	if c.dryRun && meta.IsNoMatchError(err) { // its CRD does not exist yet
		change.Unified, err = unifiedDiff(nil, object)
		return change, err
	}
	if err != nil {
		return change, err
	}
	change.Namespace = object.GetNamespace()
	before, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		before, err = nil, nil
	}
	if err != nil {
		return change, err
	}
	if prepare != nil {
		if err := prepare(object, before); err != nil {
			return change, err
		}
	}
	applied := object
	after, err := resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	switch {
	case c.dryRun && before == nil && apierrors.IsNotFound(err): // its namespace does not exist yet
	case err != nil:
		return change, err
	case before == nil:
		applied = after
	default:
		applied = after
		// Resource versions do not show it: a controller may write the status
		// between the two requests, and the second apply of a Namespace, which
		// the server labels, moves nothing but managed fields.
		change.Action = Unchanged
		if change.Diff = diffObjects(before, after); len(change.Diff) > 0 {
			change.Action = Changed
		}
	}
	if c.dryRun && change.Action != Unchanged {
		change.Unified, err = unifiedDiff(before, applied)
	}
	return change, err
}

// deleteOne deletes an object in the background. An object that does not exist,
// or whose kind the cluster does not serve, is Absent.
func (c *Client) deleteOne(ctx context.Context, object *unstructured.Unstructured) (Change, error) {
	change := Change{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName(), Action: Absent}
	resource, err := c.resourceFor(object)
	if meta.IsNoMatchError(err) {
		return change, nil
	}
	if err != nil {
		return change, err
	}
	change.Namespace = object.GetNamespace()
	background := metav1.DeletePropagationBackground
	err = resource.Delete(ctx, object.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
	if apierrors.IsNotFound(err) {
		return change, nil
	}
	change.Action = Deleted
	return change, err
}

// resourceFor returns the API of an object's kind, and puts a namespaced object
// without a namespace into "default", as kubectl does.
func (c *Client) resourceFor(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := c.mapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	resource := c.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		object.SetNamespace("")
		return resource, nil
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(metav1.NamespaceDefault)
	}
	return resource.Namespace(object.GetNamespace()), nil
}

// mapping returns the API of a kind, in the version that the server prefers if
// none is given.
func (c *Client) mapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(kind, versions...)
	if meta.IsNoMatchError(err) {
		// A CRD may have been created since the cache was filled.
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(kind, versions...)
	}
	return mapping, err
}

func (c *Client) waitEstablished(ctx context.Context, objects []*unstructured.Unstructured) error {
	found := false
	for _, object := range objects {
		if !isCRD(object) {
			continue
		}
		found = true
		if err := c.await(ctx, crdEstablished(object.GetName()), WaitOptions{Timeout: crdTimeout}); err != nil {
			return err
		}
	}
	if found {
		c.mapper.Reset()
	}
	return nil
}
