package addons

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"slipway.io/slipway/provision/cluster/addon"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Custom installs the custom addons, in the order of the inventory.
func Custom() workflow.Phase {
	return needs(workflow.Phase{
		Name:    "addons-own",
		Title:   "install custom manifests and charts",
		Why:     "What a workshop or a site needs besides is installed, repaired and removed together with the cluster.",
		Manual:  []string{"kubectl apply --server-side -f YOURS.yaml"},
		Enabled: func(c *config.Cluster) bool { return len(c.CustomAddons()) > 0 },
		Do: func(ctx context.Context, s *workflow.Step) error {
			for _, a := range s.Cluster().CustomAddons() {
				stages, err := customStages(ctx, s, a)
				if err != nil {
					return err
				}
				if err := addon.Patch(a, stages); err != nil {
					return err
				}
				if err := addon.Install(ctx, s, a.Name, stages); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// customStages returns the objects of a custom addon, its namespace first.
func customStages(ctx context.Context, s *workflow.Step, a config.Addon) ([]addon.Stage, error) {
	var objects addon.Objects
	for i, source := range a.Manifests {
		some, err := customManifest(ctx, s, source)
		if err != nil {
			return nil, fmt.Errorf("addons: %s: manifests[%d]: %w", a.Name, i, err)
		}
		objects = append(objects, some...)
	}
	namespace := a.Namespace
	if a.Chart.Given() {
		namespace = cmp.Or(namespace, a.Name)
		some, err := customChart(ctx, s, a, namespace)
		if err != nil {
			return nil, fmt.Errorf("addons: %s: %w", a.Name, err)
		}
		objects = append(objects, some...)
	}
	objects, err := inNamespace(ctx, s, objects, namespace)
	return []addon.Stage{{Objects: objects}}, err
}

// inNamespace puts objects without a namespace into the given one, and adds it
// unless it is among them.
func inNamespace(ctx context.Context, s *workflow.Step, objects addon.Objects, namespace string) (addon.Objects, error) {
	if namespace == "" {
		return objects, nil
	}
	client, err := s.Kube(ctx)
	if err != nil {
		return nil, err
	}
	if err := client.IntoNamespace(objects, namespace); err != nil {
		return nil, err
	}
	if _, err := objects.Find("Namespace", namespace); err == nil {
		return objects, nil
	}
	created, err := addon.Render("addons/namespace.yaml.tmpl", struct{ Name string }{namespace})
	return append(created, objects...), err
}

// customManifest reads a file, all files of a directory, or a URL.
func customManifest(ctx context.Context, s *workflow.Step, source config.ManifestSource) (addon.Objects, error) {
	if source.URL != "" {
		text, err := addon.Fetch(ctx, s, source.URL, source.SHA256)
		if err != nil {
			return nil, err
		}
		return kube.Decode(text)
	}
	files, err := addon.Files(source.Path)
	if err != nil {
		return nil, err
	}
	var objects addon.Objects
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		some, err := kube.Decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, some...)
	}
	return objects, nil
}

// customChart renders a custom addon's chart for the cluster.
func customChart(ctx context.Context, s *workflow.Step, a config.Addon, namespace string) (addon.Objects, error) {
	c, err := loadChart(ctx, s, a.Chart)
	if err != nil {
		return nil, err
	}
	client, err := s.Kube(ctx)
	if err != nil {
		return nil, err
	}
	apis, err := client.APIs()
	if err != nil {
		return nil, err
	}
	rendered, err := addon.RenderChart(c, addon.Release{
		Name: a.Name, Namespace: namespace, Kubernetes: s.Version(), APIs: apis, Values: a.Chart.Values,
	})
	if len(rendered.Hooks) > 0 {
		s.Note("%s: the chart's hooks are not run: %s", a.Name, strings.Join(rendered.Hooks, ", "))
	}
	return rendered.Objects, err
}

func loadChart(ctx context.Context, s *workflow.Step, source config.Chart) (*addon.Chart, error) {
	switch {
	case source.URL != "":
		archive, err := addon.Fetch(ctx, s, source.URL, source.SHA256)
		if err != nil {
			return nil, err
		}
		return addon.LoadChartArchive(source.URL, archive)
	case source.OCI != "":
		archive, err := addon.PullChart(s, source.OCI, source.Version)
		if err != nil {
			return nil, err
		}
		return addon.LoadChartArchive(source.OCI, archive)
	default:
		return addon.LoadChart(source.Path)
	}
}
