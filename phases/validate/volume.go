package validate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/config"
)

const (
	// defaultClass is the annotation of the StorageClass for claims without one.
	defaultClass = "storageclass.kubernetes.io/is-default-class"
	// noProvisioner is the provisioner of classes without dynamic provisioning.
	noProvisioner = "kubernetes.io/no-provisioner"
	dataFile      = "/data/token"
)

// volumeTasks are one for each StorageClass that provisions volumes, and for each
// that an addon of the inventory should have created.
func volumeTasks(ctx context.Context, r *run) []task {
	var names []string
	for _, addon := range []string{config.AddonLocalPath, config.AddonLonghorn} {
		if _, wanted := r.cluster.Addon(addon); wanted {
			names = append(names, addon) // the class has the name of the addon
		}
	}
	classes, err := r.classes(ctx)
	if err != nil {
		return failed(err.Error())
	}
	for _, class := range classes {
		if class.Provisioner != noProvisioner && !slices.Contains(names, class.Name) {
			names = append(names, class.Name)
		}
	}
	if len(names) == 0 {
		return skipped("neither the cluster nor the inventory has a StorageClass")
	}
	var tasks []task
	for _, name := range names {
		tasks = append(tasks, task{target: name, timeout: workloadTimeout, try: func(ctx context.Context) (string, error) {
			return r.volume(ctx, name)
		}})
	}
	return tasks
}

func (r *run) classes(ctx context.Context) ([]storagev1.StorageClass, error) {
	list, err := r.client.Clientset().StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list storage classes: %w", err)
	}
	return list.Items, nil
}

// volume writes to a volume, deletes the pod, and reads from another pod: on
// another node if the volume can be attached there.
func (r *run) volume(ctx context.Context, class string) (string, error) {
	if _, err := r.client.Clientset().StorageV1().StorageClasses().Get(ctx, class, metav1.GetOptions{}); err != nil {
		return "", fmt.Errorf("storage class %s: %w", class, err)
	}
	data := r.workload("volume-" + strings.ReplaceAll(class, ".", "-"))
	data.Class, data.Claim = class, data.Name
	defer r.cleanUp(ctx, data.Name)
	if err := r.apply(ctx, "claim", data); err != nil {
		return "", err
	}
	first, second := data, data
	first.Name += "-1"
	second.Name += "-2"
	if err := r.apply(ctx, "volume-pod", first); err != nil {
		return "", err
	}
	pod, err := r.podReady(ctx, first.Name, data.Claim)
	if err != nil {
		return "", err
	}
	token := rand.Text()
	if err := r.write(ctx, first.Name, dataFile, token); err != nil {
		return "", err
	}
	movable, err := r.movable(ctx, data.Claim)
	if err != nil {
		return "", err
	}
	if movable && r.severalWorkers() {
		second.Avoid = pod.Spec.NodeName
	}
	if err := r.deletePod(ctx, first.Name); err != nil {
		return "", err
	}
	if err := r.apply(ctx, "volume-pod", second); err != nil {
		return "", err
	}
	next, err := r.podReady(ctx, second.Name, data.Claim)
	if err != nil {
		return "", fmt.Errorf("after %s was deleted on %s: %w", first.Name, pod.Spec.NodeName, err)
	}
	if got, err := r.read(ctx, second.Name, dataFile); err != nil || got != token {
		return "", errors.Join(err, fmt.Errorf("read %q on %s, but %q was written on %s", head(got, 40), next.Spec.NodeName, token, pod.Spec.NodeName))
	}
	evidence := fmt.Sprintf("written on %s, read on %s", pod.Spec.NodeName, next.Spec.NodeName)
	if !movable {
		evidence += ", to which the volume is bound"
	}
	return evidence, nil
}

// severalWorkers reports whether another worker can take a pod.
func (r *run) severalWorkers() bool {
	workers := slices.DeleteFunc(r.cluster.Workers(), func(h config.Host) bool { return slices.Contains(r.without, h.Name) })
	return len(workers) > 1
}

// movable reports whether the volume of a claim can be used on another node.
func (r *run) movable(ctx context.Context, claim string) (bool, error) {
	api := r.client.Clientset().CoreV1()
	bound, err := api.PersistentVolumeClaims(r.namespace).Get(ctx, claim, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	volume, err := api.PersistentVolumes().Get(ctx, bound.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	return !onOneNode(volume), nil
}

// onOneNode reports whether a volume is bound to one node, as local ones are.
func onOneNode(volume *corev1.PersistentVolume) bool {
	if volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil {
		return false
	}
	for _, term := range volume.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			if e.Key == corev1.LabelHostname {
				return true
			}
		}
		if len(term.MatchFields) > 0 {
			return true
		}
	}
	return false
}
