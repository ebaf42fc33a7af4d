package status

import (
	"fmt"
	"time"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// Certificate is a certificate of kubeadm or kubelet on a host.
type Certificate struct {
	// Path is its file, which may be a kubeconfig.
	Path      string    `json:"path"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	// DaysLeft are the whole days until it expires; negative once it has.
	DaysLeft int `json:"daysLeft"`
	// RenewedBy is who renews it: "slipway", "kubelet", "kubelet, approved by slipway",
	// "inventory", "you" or "nobody", since nothing verifies it.
	RenewedBy kubeadm.Renewer `json:"renewedBy"`
	// Due: it is to be renewed, or should have been.
	Due bool `json:"due,omitempty"`
}

// certificatesOf returns the certificates of a host, and what somebody has to do about
// them, a sentence each.
func certificatesOf(inventory *config.Cluster, h *workflow.Host, now time.Time) (all []Certificate, warnings []string) {
	f := h.Facts()
	if f == nil {
		return nil, nil
	}
	for _, c := range kubeadm.Certificates(inventory, h.Config, f.Kubernetes) {
		all = append(all, Certificate{
			Path: c.Path, NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), DaysLeft: c.Days(now), RenewedBy: c.Renewer, Due: c.Due(now),
		})
		if warning := c.Warning(h.Config.Name, now); warning != "" {
			warnings = append(warnings, warning)
		}
	}
	for _, pod := range kubeadm.StalePods(f.Kubernetes, now) {
		warnings = append(warnings, fmt.Sprintf("%s on %s runs with an older certificate than its kubeconfig has: run `slipway apply`, which restarts it", pod, h.Config.Name))
	}
	return all, warnings
}

// firstExpiry returns the days until the first certificate expires; nil without any.
func firstExpiry(all []Certificate) *int {
	var first *int
	for _, c := range all {
		if c.RenewedBy != kubeadm.NotRenewed && (first == nil || c.DaysLeft < *first) {
			first = &c.DaysLeft
		}
	}
	return first
}
