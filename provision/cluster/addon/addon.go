// Package addon installs named sets of objects in the cluster, stage by stage. Pod
// networks and addons are both such sets.
package addon

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// Objects are Kubernetes objects in the order in which they are applied.
type Objects []*unstructured.Unstructured

// Stage is a group of objects that are applied together, and are ready before the
// next stage begins.
type Stage struct {
	Objects Objects
	// Also are further conditions, for what the controllers of the objects create.
	Also []kube.Condition
}

// Render renders a template of slipway.
func Render(name string, data any) (Objects, error) {
	text, err := templates.Render(name, data)
	if err != nil {
		return nil, err
	}
	return kube.Decode(text)
}

// Install applies the stages as the set of that name, waits for each, and deletes
// the former members of the set.
func Install(ctx context.Context, s *workflow.Step, name string, stages []Stage) error {
	set, err := s.Set(ctx, name)
	if err != nil {
		return err
	}
	for _, stage := range stages {
		err := set.Apply(ctx, stage.Objects)
		// Only a plan returns it: apply waits for the webhook of an earlier stage.
		var unavailable *kube.WebhookUnavailableError
		if errors.As(err, &unavailable) {
			s.Note("%s: the plan is incomplete: %v", name, err)
			return nil
		}
		if err != nil {
			return err
		}
		if err := Wait(ctx, s, name, stage); err != nil {
			return err
		}
	}
	return set.Prune(ctx)
}

// Wait waits until the objects of a stage are ready.
func Wait(ctx context.Context, s *workflow.Step, name string, stage Stage) error {
	for _, condition := range append([]kube.Condition{kube.Ready(name, stage.Objects)}, stage.Also...) {
		if err := s.WaitFor(ctx, condition, 0); err != nil {
			return workflow.WithHint(err, "see why the pods do not start: kubectl describe pods -A; then rerun `slipway apply` to resume")
		}
	}
	return nil
}
