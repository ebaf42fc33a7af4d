package validate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
)

// replicas of the StatefulSet.
const replicas = 2

// statefulSetTasks have two replicas keep their data on the default class.
func statefulSetTasks(_ context.Context, r *run) []task {
	if r.namespace == "" {
		return r.noNamespace()
	}
	return []task{{lasts: workloadTime, once: r.statefulSet}}
}

func (r *run) statefulSet(ctx context.Context) (string, error) {
	classes, err := r.classes(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(classes, func(c storagev1.StorageClass) bool { return c.Annotations[defaultClass] == "true" })
	if i < 0 {
		if r.options.Cluster.DefaultClass("local-path") || r.options.Cluster.DefaultClass("longhorn") {
			return "", finalError{"no StorageClass is the default one, although the inventory wants one"}
		}
		return "", skipError{"no StorageClass is the default one"}
	}
	data := r.workload("stateful")
	data.Replicas = replicas
	defer r.letGo(ctx, data.Name)
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
	// Its controller makes it anew, under the same name.
	deleted := data.Name + "-0"
	if err := r.deletePod(ctx, deleted); err != nil {
		return "", err
	}
	for pod, token := range tokens {
		if _, err := r.podReady(ctx, pod, "data-"+pod); err != nil {
			return "", fmt.Errorf("after %s was deleted: %w", deleted, err)
		}
		if got, err := r.read(ctx, pod, dataFile); err != nil || got != token {
			return "", errors.Join(err, fmt.Errorf("%s has %q, it wrote %q", pod, head(got, 40), token))
		}
	}
	return fmt.Sprintf("%s of class %s; %s came back with its data", strings.Join(nodes, ", "), classes[i].Name, deleted), nil
}
