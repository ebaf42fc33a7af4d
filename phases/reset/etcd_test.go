package reset

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const external = `hosts:
- {name: etcd-1, address: 192.0.2.31, roles: [etcd]}
- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
`

func TestEtcdIsNotStoppedWhileAControlPlaneStays(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, external)
	fixture.Selection.Hosts = []string{"etcd-1"}
	fixture.Facts("etcd-1").Existing = []facts.Path{journal.Dir, facts.EtcdMember, facts.EtcdService}
	fixture.Facts("cp-1").Existing = []facts.Path{journal.Dir, facts.CAKey}
	err := fixture.Apply(StopEtcd())
	if err == nil || !strings.Contains(err.Error(), "a control plane stays") || !strings.Contains(workflow.Hint(err), "reset all hosts") {
		t.Errorf("got %v", err)
	}
	if asked := fixture.Host("etcd-1").Transcript(); asked != "" {
		t.Errorf("the host received %s", asked)
	}
}

func TestNodesStopBeforeEtcd(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, external)
	for phase, want := range map[string]string{"stop": "cp-1", "stop-etcd": "etcd-1"} {
		p := Stop()
		if phase == "stop-etcd" {
			p = StopEtcd()
		}
		if hosts := p.On.Hosts(fixture.Hosts); p.Name != phase || len(hosts) != 1 || hosts[0].Config.Name != want {
			t.Errorf("%s runs on %v", p.Name, hosts)
		}
	}
	if needs := StopEtcd().NeedsAll; len(needs) != 1 || needs[0] != "stop" {
		t.Errorf("etcd stops after %q", needs)
	}
}
