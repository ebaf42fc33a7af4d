package backup

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
)

// encryptionFlag names the file with the keys that encrypt objects in etcd.
const encryptionFlag = "--encryption-provider-config="

// encryptionConfig returns the path of that file; empty if the API server has none.
func encryptionConfig(ctx context.Context, h host.Host) (string, error) {
	text, err := h.ReadFile(ctx, string(facts.APIServerManifest))
	if err != nil {
		return "", err
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(text, &pod); err != nil {
		return "", fmt.Errorf("%s: %w", facts.APIServerManifest, err)
	}
	for _, container := range pod.Spec.Containers {
		for _, word := range append(container.Command, container.Args...) {
			if path, ok := strings.CutPrefix(word, encryptionFlag); ok {
				return path, nil
			}
		}
	}
	return "", nil
}
