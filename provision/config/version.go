package config

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// DefaultKubernetesVersion is installed where the inventory names none.
const DefaultKubernetesVersion = "v1.36.4"

// SupportedMinors are the Kubernetes releases that slipway installs, oldest
// first. This is the one place that lists them; a new one also needs its
// catalogue in package bundle.
func SupportedMinors() []string { return []string{"1.35", "1.36"} }

// parseVersion brings "1.36.4" and "v1.36.4" into the form "v1.36.4". All
// three parts must be there. Whether slipway supports it is not asked here.
func parseVersion(s string) (string, error) {
	v, err := version.ParseSemantic(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a version of the form v1.2.3", s)
	}
	return "v" + v.String(), nil
}

// minorOf is the release of a version: "1.36" of "v1.36.4".
func minorOf(v string) (string, error) {
	parsed, err := version.ParseSemantic(v)
	if err != nil {
		return "", fmt.Errorf("%q is not a version of the form v1.2.3", v)
	}
	return fmt.Sprintf("%d.%d", parsed.Major(), parsed.Minor()), nil
}

func (v *validator) version() {
	const path = "kubernetes.version"
	supported := "one of " + strings.Join(SupportedMinors(), ", ") + ", such as " + DefaultKubernetesVersion
	minor, err := minorOf(v.c.Kubernetes.Version)
	switch {
	case err != nil:
		v.report(path, "write all three parts of "+supported, "%s", err)
	case !slices.Contains(SupportedMinors(), minor):
		v.report(path, "use "+supported, "Kubernetes %s is not supported", minor)
	}
}
