package validate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	storagev1 "k8s.io/api/storage/v1"

	"slipway.io/slipway/provision/retry"
)

// replicas of the StatefulSet.
const replicas = 2

// statefulSetTasks check that two replicas keep their data on volumes of the
// default StorageClass.
func statefulSetTasks(_ context.Context, r *run) []task {
	return []task{{timeout: workloadTimeout, try: r.statefulSet}}
}

func (r *run) statefulSet(ctx context.Context) (string, error) {
	classes, err := r.classes(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(classes, func(c storagev1.StorageClass) bool { return c.Annotations[defaultClass] == "true" })
	if i < 0 {
		if r.cluster.DefaultClass("local-path") || r.cluster.DefaultClass("longhorn") {
			return "", retry.Stop(errors.New("the cluster has no default StorageClass, but the inventory wants one"))
		}
		return "", skip("the cluster has no default StorageClass")
	}
	data := r.workload("stateful")
	data.Replicas = replicas
	defer r.cleanUp(ctx, data.Name)
	if err := r.apply(ctx, "stateful-set", data); err != nil {
		return "", err
	}
	tokens, nodes := map[string]string{}, []string{}
	for n := range replicas {
		pod := fmt.Sprintf("%s-%d", data.Name, n)
		has, err := r.podReady(ctx, pod, "data-"+pod)
		if err != nil {
			return "", err
		}
		tokens[pod] = rand.Text()
		nodes = append(nodes, pod+" on "+has.Spec.NodeName)
		if err := r.write(ctx, pod, dataFile, tokens[pod]); err != nil {
			return "", err
		}
	}
	// The StatefulSet replaces the pod under the same name.
	deleted := data.Name + "-0"
	if err := r.deletePod(ctx, deleted); err != nil {
		return "", err
	}
	for pod, token := range tokens {
		if _, err := r.podReady(ctx, pod, "data-"+pod); err != nil {
			return "", fmt.Errorf("after %s was deleted: %w", deleted, err)
		}
		if got, err := r.read(ctx, pod, dataFile); err != nil || got != token {
			return "", errors.Join(err, fmt.Errorf("%s reads %q, but wrote %q", pod, head(got, 40), token))
		}
	}
	return fmt.Sprintf("%s of class %s; %s kept its data after it was deleted", strings.Join(nodes, ", "), classes[i].Name, deleted), nil
}
