package addon

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Patch merges the patches of the inventory into the objects that they name.
func Patch(addon config.Addon, stages []Stage) error {
	for i, p := range addon.Patches {
		var found []*unstructured.Unstructured
		for _, stage := range stages {
			for _, o := range stage.Objects {
				if o.GetKind() == p.Kind && o.GetName() == p.Name && (p.Namespace == "" || o.GetNamespace() == p.Namespace) {
					found = append(found, o)
				}
			}
		}
		if len(found) != 1 {
			return workflow.WithHint(
				fmt.Errorf("addons: %s: patches[%d]: %s %s matches %d objects, want 1", addon.Name, i, p.Kind, p.Name, len(found)),
				"the objects of the addon are "+strings.Join(titles(stages), ", "))
		}
		found[0].Object = config.Merge(found[0].Object, p.Patch)
	}
	return nil
}

// titles returns the objects as a patch names them.
func titles(stages []Stage) []string {
	var all []string
	for _, stage := range stages {
		for _, o := range stage.Objects {
			name := o.GetKind() + " " + o.GetName()
			if o.GetNamespace() != "" {
				name += " in " + o.GetNamespace()
			}
			all = append(all, name)
		}
	}
	return all
}

// Find returns the first object of that kind and name.
func (objects Objects) Find(kind, name string) (*unstructured.Unstructured, error) {
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o, nil
		}
	}
	return nil, fmt.Errorf("the manifest has no %s %s", kind, name)
}
