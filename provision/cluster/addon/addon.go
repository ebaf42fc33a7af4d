// Package addon puts named sets of objects onto the cluster, stage by stage:
// pod networks and addons are the same to it.
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

// Stage is a number of objects that are applied together, and waited for
// before the next stage begins.
type Stage struct {
	Objects Objects
	// Also are conditions beside those of the objects themselves: what their
	// controllers make.
	Also []kube.Condition
}

// Render fills one of slipway's own templates.
func Render(name string, data any) (Objects, error) {
	text, err := templates.Render(name, data)
	if err != nil {
		return nil, err
	}
	return kube.Decode(text)
}

// Install applies the stages as the set of that name, waits for each, and
// removes what the set had before and has no more. A plan waits for nothing.
func Install(ctx context.Context, s *workflow.Step, name string, stages []Stage) error {
	set, err := s.Set(ctx, name)
	if err != nil {
		return err
	}
	for _, stage := range stages {
		err := set.Apply(ctx, stage.Objects)
		// A webhook of an earlier stage that apply would bring back.
		var unasked *kube.WebhookUnavailableError
		if s.Planning() && errors.As(err, &unasked) {
			s.Note("%s: the cluster cannot be asked about the rest: %v", name, err)
			return nil
		}
		if err != nil {
			return err
		}
		if s.Planning() {
			continue
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
			return workflow.WithHint(err, "see what the pods say: kubectl describe pods -A; then run apply again, it goes on where it stopped")
		}
	}
	return nil
}
