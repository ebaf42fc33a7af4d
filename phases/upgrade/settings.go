package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/diff"
	"slipway.io/slipway/provision/workflow"
)

// configurationAnnotation is on the ConfigMap of kube-proxy, with the checksum of a
// configuration that slipway has written there, and on the template of its DaemonSet, with
// the checksum of the one with which its pods have started. kubeadm writes neither of them:
// its pods start after the configuration.
const configurationAnnotation = "slipway.io/configuration"

const proxy = "kube-proxy"

// writeSettings brings the documents that kubeadm keeps in the cluster to the settings of
// the inventory, and restarts kube-proxy if its own has changed.
func writeSettings(ctx context.Context, s *workflow.Step) error {
	state := s.Hosts().State()
	if !state.Answers() || state.Settings == nil {
		return nil // the cluster is created in this run, with the settings
	}
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	pending, err := state.Pending(s.Cluster())
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		if err := mergeDocuments(ctx, s, client); err != nil {
			return err
		}
	}
	return restartProxy(ctx, s, client)
}

// mergeDocuments merges the settings into the documents as they are now.
func mergeDocuments(ctx context.Context, s *workflow.Step, client *kube.Client) error {
	now := &cluster.State{}
	if err := now.Read(ctx, client); err != nil {
		return err
	}
	documents, err := now.Documents(s.Cluster())
	if err != nil {
		return err
	}
	if err := remember(ctx, s, client, now); err != nil {
		return err
	}
	for _, target := range []struct {
		name, key string
		document  map[string]any
	}{
		{"kubeadm-config", "ClusterConfiguration", documents.ClusterConfiguration()},
		{"kubelet-config", "kubelet", documents.KubeletConfiguration()},
		{proxy, "config.conf", documents.KubeProxyConfiguration()},
	} {
		if target.document == nil {
			continue
		}
		if err := writeDocument(ctx, s, client, target.name, target.key, target.document); err != nil {
			return err
		}
	}
	return nil
}

// remember adds the settings of the inventory to those that the record says slipway has
// set. If the run is killed before all documents are written, the next one still knows
// which fields to remove. The phase record makes them those of the inventory alone.
func remember(ctx context.Context, s *workflow.Step, client *kube.Client, now *cluster.State) error {
	if now.Record == nil || now.Record.Settings == nil || s.Planning() {
		return nil
	}
	wanted, err := cluster.SettingsOf(s.Cluster())
	if err != nil {
		return err
	}
	record := *now.Record
	record.Settings = record.Settings.With(wanted)
	if record.Equal(*now.Record) {
		return nil
	}
	return cluster.WriteRecord(ctx, client, record)
}

// writeDocument writes a document of a ConfigMap if it differs.
func writeDocument(ctx context.Context, s *workflow.Step, client *kube.Client, name, key string, document map[string]any) error {
	maps := client.Clientset().CoreV1().ConfigMaps(metav1.NamespaceSystem)
	current, err := maps.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	wanted, err := yaml.Marshal(document)
	if err != nil {
		return err
	}
	have := []byte(current.Data[key])
	if sameDocument(have, wanted) {
		return nil
	}
	current.Data[key] = string(wanted)
	if name == proxy {
		metav1.SetMetaDataAnnotation(&current.ObjectMeta, configurationAnnotation, checksum(wanted))
	}
	if _, err := maps.Update(ctx, current, metav1.UpdateOptions{FieldManager: kube.FieldManager}); err != nil {
		return fmt.Errorf("write configmap kube-system/%s: %w", name, err)
	}
	s.Record("write the settings to configmap kube-system/"+name, diff.Text(have, wanted))
	return nil
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// restartProxy restarts the pods of kube-proxy, one after another, if slipway has changed
// their configuration since they started.
func restartProxy(ctx context.Context, s *workflow.Step, client *kube.Client) error {
	wanted, err := writtenProxy(ctx, s, client)
	if err != nil || wanted == "" {
		return err
	}
	sets := client.Clientset().AppsV1().DaemonSets(metav1.NamespaceSystem)
	set, err := sets.Get(ctx, proxy, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && set.Spec.Template.Annotations[configurationAnnotation] == wanted {
		return nil
	}
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{configurationAnnotation: wanted}},
	}}})
	if err != nil {
		return err
	}
	if _, err := sets.Patch(ctx, proxy, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kube.FieldManager}); err != nil {
		return fmt.Errorf("restart kube-proxy: %w", err)
	}
	s.Changed("restart kube-proxy on each node: its configuration changed")
	if err := s.WaitFor(ctx, kube.DaemonSetReady(metav1.NamespaceSystem, proxy), 0); err != nil {
		return workflow.WithHint(err, "see `kubectl -n kube-system logs -l k8s-app=kube-proxy --prefix`; correct kubernetes.kubeProxyConfiguration and rerun `slipway apply`")
	}
	return nil
}

// writtenProxy returns the checksum of the configuration of kube-proxy if slipway has
// written it; in a plan, if it would. It is empty if kubeadm has.
func writtenProxy(ctx context.Context, s *workflow.Step, client *kube.Client) (string, error) {
	current, err := client.Clientset().CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, proxy, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	written := current.Annotations[configurationAnnotation]
	if s.Planning() {
		return plannedProxy(s, current, written)
	}
	return written, nil
}

func plannedProxy(s *workflow.Step, current *corev1.ConfigMap, written string) (string, error) {
	documents, err := s.Hosts().State().Documents(s.Cluster())
	if err != nil {
		return "", err
	}
	wanted, err := yaml.Marshal(documents.KubeProxyConfiguration())
	if err != nil || documents.KubeProxyConfiguration() == nil || sameDocument([]byte(current.Data["config.conf"]), wanted) {
		return written, err
	}
	return checksum(wanted), nil
}
