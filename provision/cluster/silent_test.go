package cluster

import "testing"

func TestTheVersionOfASilentClusterComesFromItsSeed(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"registry.k8s.io/kube-apiserver:v1.36.4":   "v1.36.4",
		"mirror.example:5000/kube-apiserver:v1.35": "v1.35",
		"mirror.example:5000/kube-apiserver":       "",
		"":                                         "",
	} {
		h := member("cp-1", "ca")
		h.Facts.Kubernetes.Finalized, h.Facts.Kubernetes.CgroupDriver = true, "systemd"
		h.Facts.Kubernetes.StaticPods = map[string]string{"kube-apiserver": image}
		got := State{}
		if got.ReadHosts([]Host{h}); got.Version != want || got.Fixed.CgroupDriver != "systemd" {
			t.Errorf("%q: got %q, %q", image, got.Version, got.Fixed.CgroupDriver)
		}
		h.Facts.Kubernetes.Finalized = false
		interrupted := State{}
		if interrupted.ReadHosts([]Host{h}); interrupted.Version != "" {
			t.Errorf("%q: an interrupted init has version %q", image, interrupted.Version)
		}
	}
}
