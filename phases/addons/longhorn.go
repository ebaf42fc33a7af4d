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
		why: "A volume on one node's disk is lost with the node; Longhorn keeps copies on several, and moves a volume with " +
			"its pod. It wants iSCSI on every node, and as many nodes as copies.",
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
		inUse:     volumesOf(longhornDriver),
		uninstall: uninstallLonghorn,
	}
}

// replicas is what the inventory says, else a copy on each node that takes
// work, as many as Longhorn's own default at most.
func replicas(c *config.Cluster, a config.Addon) int {
	if a.Replicas > 0 {
		return a.Replicas
	}
	return max(1, min(longhornReplicas, len(c.Workers())))
}

// The lines of longhorn-storageclass that say what slipway chooses.
var (
	classReplicas = regexp.MustCompile(`(?m)^(\s*numberOfReplicas:).*$`)
	classDefault  = regexp.MustCompile(`(?m)^(\s*storageclass\.kubernetes\.io/is-default-class:).*$`)
)

// longhornClass sets the number of copies and the default in the StorageClass
// that longhorn-manager makes of a ConfigMap.
func longhornClass(objects addon.Objects, copies int, isDefault bool) error {
	class, err := objects.Find("ConfigMap", "longhorn-storageclass")
	if err != nil {
		return err
	}
	text, _, err := unstructured.NestedString(class.Object, "data", "storageclass.yaml")
	if err != nil {
		return err
	}
	if !classReplicas.MatchString(text) || !classDefault.MatchString(text) {
		return fmt.Errorf("longhorn's StorageClass has no numberOfReplicas or no default any more")
	}
	text = classReplicas.ReplaceAllString(text, `${1} "`+strconv.Itoa(copies)+`"`)
	text = classDefault.ReplaceAllString(text, `${1} "`+strconv.FormatBool(isDefault)+`"`)
	return unstructured.SetNestedField(class.Object, text, "data", "storageclass.yaml")
}

// longhornSettings adds the number of copies, and the folder on the nodes, to
// the settings that Longhorn starts with.
func longhornSettings(objects addon.Objects, copies int, path string) error {
	settings, err := objects.Find("ConfigMap", "longhorn-default-setting")
	if err != nil {
		return err
	}
	text, _, err := unstructured.NestedString(settings.Object, "data", "default-setting.yaml")
	if err != nil {
		return err
	}
	text += fmt.Sprintf("\ndefault-replica-count: '{\"v1\":\"%d\",\"v2\":\"%d\"}'", copies, copies)
	if path != "" {
		text += "\ndefault-data-path: " + strconv.Quote(path)
	}
	return unstructured.SetNestedField(settings.Object, text, "data", "default-setting.yaml")
}

// longhornParts are what its driver deployer makes, in its order.
func longhornParts() []kube.Condition {
	parts := []kube.Condition{kube.DaemonSetReady(longhornNamespace, "longhorn-csi-plugin")}
	for _, name := range []string{"csi-attacher", "csi-provisioner", "csi-resizer", "csi-snapshotter"} {
		parts = append(parts, kube.DeploymentReady(longhornNamespace, name))
	}
	return parts
}

// uninstallLonghorn lets Longhorn's own uninstaller take down what its
// controllers made; it runs only after a setting confirms it.
func uninstallLonghorn(ctx context.Context, s *workflow.Step) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	// Its manager makes one for each node when it first starts: without any
	// there is nothing to take down.
	ran, err := client.Strangers(ctx, config.AddonLonghorn, "nodes.longhorn.io")
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
