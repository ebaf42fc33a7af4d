package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/workflow/workflowtest"
)

// ourCalico and otherCalico are Calico as slipway installs it and as people do.
const (
	ourCalico   = "network: {cni: {name: calico}}\n"
	otherCalico = "network: {cni: {name: none}}\npreflight: {expect: [{name: calico}]}\n"
)

func TestCalicoNeedsOnlyThePortsOfItsBackend(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, inventory string
		want            []string
	}{
		{"VXLAN", ourCalico, []string{"udp VXLAN of Calico"}},
		{"IPIP exchanges routes by BGP", "network: {cni: {name: calico, backend: ipip}}\n", []string{"tcp BGP of Calico"}},
		{"BGP", "network: {cni: {name: calico, backend: bgp}}\n", []string{"tcp BGP of Calico"}},
		{"the backend is not known", otherCalico, []string{"udp VXLAN of Calico", "tcp BGP of Calico"}},
		{"Flannel", "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two+test.inventory)
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}
			var got []string
			for _, need := range cc.needs() {
				if strings.HasSuffix(need.Use, " of Calico") {
					got = append(got, string(need.Protocol)+" "+need.Use)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSlipwaySelectsTheInterfaceOfItsCalico(t *testing.T) {
	t.Parallel()
	all := networkChecks()
	c := all[slices.IndexFunc(all, func(c Check) bool { return c.Name == "calico-interface" })]
	if reason := c.applies(workflowtest.New(t, two+ourCalico).Cluster); reason == "" {
		t.Error("the check applies to the Calico that slipway installs")
	}
	if reason := c.applies(workflowtest.New(t, two+otherCalico).Cluster); reason != "" {
		t.Errorf("it does not apply to the Calico that people install: %s", reason)
	}
}
