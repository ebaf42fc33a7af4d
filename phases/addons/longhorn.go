package addons

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

const (
	longhornNamespace = "longhorn-system"
	longhornDriver    = "driver.longhorn.io"
	// longhornReplicas is Longhorn's own default.
	longhornReplicas = 3
)

func longhorn() definition {
	return definition{
		name:  config.AddonLonghorn,
		title: "install replicated storage Longhorn",
		why: "A volume on one node's disk is lost with the node. Longhorn keeps replicas on several nodes, and a volume follows " +
			"its pod. It needs iSCSI on every node, and as many nodes as replicas.",
		manual: []string{"kubectl apply --server-side -f longhorn.yaml && kubectl -n longhorn-system rollout status ds/longhorn-manager"},
		stages: func(ctx context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
			objects, err := addon.Published(ctx, s, a.Name, "longhorn.yaml")
			if err != nil {
				return nil, err
			}
			if err := longhornClass(objects, replicas(s.Cluster(), a), s.Cluster().DefaultClass(a.Name)); err != nil {
				return nil, err
			}
			if err := longhornSettings(objects, replicas(s.Cluster(), a), a.Path); err != nil {
				return nil, err
			}
			return []addon.Stage{{Objects: objects, Also: longhornParts()}}, nil
		},
		inUse:   volumesOf(longhornDriver),
		cleanup: uninstallLonghorn,
	}
}

// replicas is the number in the inventory, otherwise the number of nodes that
// accept workloads, at most Longhorn's own default.
func replicas(c *config.Cluster, a config.Addon) int {
	if a.Replicas > 0 {
		return a.Replicas
	}
	return max(1, min(longhornReplicas, len(c.Workers())))
}

// The lines of longhorn-storageclass that slipway sets.
var (
	classReplicas = regexp.MustCompile(`(?m)^(\s*numberOfReplicas:).*$`)
	classDefault  = regexp.MustCompile(`(?m)^(\s*storageclass\.kubernetes\.io/is-default-class:).*$`)
)

// longhornClass sets the number of replicas and the default in the StorageClass
// that longhorn-manager creates from a ConfigMap.
func longhornClass(objects addon.Objects, replicas int, isDefault bool) error {
	class, err := objects.Find("ConfigMap", "longhorn-storageclass")
	if err != nil {
		return err
	}
	text, _, err := unstructured.NestedString(class.Object, "data", "storageclass.yaml")
	if err != nil {
		return err
	}
	if !classReplicas.MatchString(text) || !classDefault.MatchString(text) {
		return fmt.Errorf("longhorn's StorageClass has no numberOfReplicas or no is-default-class")
	}
	text = classReplicas.ReplaceAllString(text, `${1} "`+strconv.Itoa(replicas)+`"`)
	text = classDefault.ReplaceAllString(text, `${1} "`+strconv.FormatBool(isDefault)+`"`)
	return unstructured.SetNestedField(class.Object, text, "data", "storageclass.yaml")
}

// longhornSettings adds the number of replicas, and the directory on the nodes, to
// the settings that Longhorn starts with.
func longhornSettings(objects addon.Objects, replicas int, path string) error {
	settings, err := objects.Find("ConfigMap", "longhorn-default-setting")
	if err != nil {
		return err
	}
	text, _, err := unstructured.NestedString(settings.Object, "data", "default-setting.yaml")
	if err != nil {
		return err
	}
	text += fmt.Sprintf("\ndefault-replica-count: '{\"v1\":\"%d\",\"v2\":\"%d\"}'", replicas, replicas)
	if path != "" {
		text += "\ndefault-data-path: " + strconv.Quote(path)
	}
	return unstructured.SetNestedField(settings.Object, text, "data", "default-setting.yaml")
}

// longhornParts is what its driver deployer creates, in its order.
func longhornParts() []kube.Condition {
	parts := []kube.Condition{kube.DaemonSetReady(longhornNamespace, "longhorn-csi-plugin")}
	for _, name := range []string{"csi-attacher", "csi-provisioner", "csi-resizer", "csi-snapshotter"} {
		parts = append(parts, kube.DeploymentReady(longhornNamespace, name))
	}
	return parts
}

// uninstallLonghorn runs Longhorn's own uninstaller, which deletes what its
// controllers created. A setting must confirm it.
func uninstallLonghorn(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	// Its manager creates one for each node when it first starts: without any
	// there is nothing to delete.
	ran, err := client.UnmanagedObjects(ctx, config.AddonLonghorn, "nodes.longhorn.io")
	if err != nil || len(ran) == 0 {
		return err
	}
	manager, err := addon.Image(s, config.AddonLonghorn, "docker.io/longhornio/longhorn-manager")
	if err != nil {
		return err
	}
	objects, err := addon.Render("addons/longhorn-uninstall.yaml.tmpl", struct{ Image string }{manager})
	if err != nil {
		return err
	}
	set, err := s.Set(ctx, config.AddonLonghorn)
	if err != nil {
		return err
	}
	if err := set.Apply(ctx, objects); err != nil {
		return err
	}
	return s.WaitFor(ctx, kube.JobComplete(longhornNamespace, "longhorn-uninstall"), 0)
}
