package kubeadm

import "testing"

func TestSkips(t *testing.T) {
	t.Parallel()
	const proxy, dns = "addon/kube-proxy", "addon/coredns"
	tests := []struct {
		name, more string
		phase      string
		want       bool
	}{
		{"nothing is left out", "", proxy, false},
		{"the phase", "kubernetes: {initConfiguration: {skipPhases: [addon/kube-proxy]}}", proxy, true},
		{"another phase", "kubernetes: {initConfiguration: {skipPhases: [addon/kube-proxy]}}", dns, false},
		{"its parent", "kubernetes: {initConfiguration: {skipPhases: [addon]}}", dns, true},
		{"all of its siblings", "kubernetes: {initConfiguration: {skipPhases: [addon/all]}}", dns, true},
		{"a disabled proxy", "kubernetes: {clusterConfiguration: {proxy: {disabled: true}}}", proxy, true},
		{"a disabled DNS", "kubernetes: {clusterConfiguration: {dns: {disabled: true}}}", dns, true},
		{"a proxy that is enabled", "kubernetes: {clusterConfiguration: {proxy: {disabled: false}}}", proxy, false},
		{"a phase without an addon", "kubernetes: {clusterConfiguration: {proxy: {disabled: true}}}", "bootstrap-token", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Skips(inventory(t, test.more+"\n"), test.phase); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
