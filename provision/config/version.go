package config

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/version"
)

// DefaultKubernetesVersion is the version of a new cluster if the inventory names
// none.
const DefaultKubernetesVersion = "v1.36.4"

// NewVersion returns the version of a cluster that does not exist yet: that of the
// inventory, else the default.
func (k Kubernetes) NewVersion() string { return cmp.Or(k.Version, DefaultKubernetesVersion) }

// SupportedMinors returns the supported Kubernetes releases, oldest first. A new
// release also needs an entry in the catalogue of package bundle.
func SupportedMinors() []string { return []string{"1.35", "1.36", "1.37"} }

// parseVersion normalizes "1.36.4" to "v1.36.4". It does not check whether
// slipway supports the version.
func parseVersion(s string) (string, error) {
	v, err := version.ParseSemantic(s)
	if err != nil {
		return "", fmt.Errorf("invalid version %q: not of the form v1.2.3", s)
	}
	return "v" + v.String(), nil
}

// minorOf returns the release of a version: "1.36" for "v1.36.4".
func minorOf(v string) (string, error) {
	parsed, err := version.ParseSemantic(v)
	if err != nil {
		return "", fmt.Errorf("invalid version %q: not of the form v1.2.3", v)
	}
	return fmt.Sprintf("%d.%d", parsed.Major(), parsed.Minor()), nil
}

func (v *validator) version() {
	const path = "kubernetes.version"
	if v.c.Kubernetes.Version == "" {
		return
	}
	remedy := "use a version of " + oneOf(SupportedMinors()) + ", such as " + DefaultKubernetesVersion
	minor, err := minorOf(v.c.Kubernetes.Version)
	switch {
	case err != nil:
		v.report(path, remedy, "%s", err)
	case !slices.Contains(SupportedMinors(), minor):
		v.report(path, remedy, "unsupported Kubernetes release %s", minor)
	}
}
