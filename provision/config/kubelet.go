package config

import (
	"slices"

	kubelet "k8s.io/kubelet/config/v1beta1"
)

// kubeletConfiguration has the fields of the kubelet of every supported version: those of
// k8s.io/kubelet in go.mod, and those that later versions added.
type kubeletConfiguration struct {
	kubelet.KubeletConfiguration `json:",inline"`
	DefaultPodSysctls            map[string]string `json:"defaultPodSysctls,omitempty"`
}

// addedToKubelet are fields of kubeletConfiguration that older supported versions do not
// have, with the first release that has them: kubelet ignores a field that it does not know.
func addedToKubelet() map[string]string { return map[string]string{"defaultPodSysctls": "1.37"} }

// kubeletFields reports fields that the version of the inventory does not have.
func (v *validator) kubeletFields() {
	minor, err := minorOf(v.c.Kubernetes.Version)
	if err != nil {
		return // see version; without one, the cluster's may be a newer one
	}
	minors := SupportedMinors()
	for field, since := range addedToKubelet() {
		if _, set := v.c.Kubernetes.KubeletConfiguration[field]; set && slices.Index(minors, minor) < slices.Index(minors, since) {
			v.report("kubernetes.kubeletConfiguration."+field, "remove it, or set kubernetes.version to a version of "+since,
				"unknown to kubelet %s", minor)
		}
	}
}
