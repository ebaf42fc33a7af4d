package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

func TestGhostMember(t *testing.T) {
	t.Parallel()
	own := kube.EtcdMember{ID: 1, Name: "cp-1", PeerURLs: []string{"https://192.0.2.11:2380"}}
	tests := []struct {
		name          string
		members       []kube.EtcdMember
		err           error
		want          []string
		evidence, fix string
	}{
		{"no etcd yet", nil, nil, nil, "", ""},
		{"the cluster's own", []kube.EtcdMember{own}, nil, nil, "", ""},
		{"one that never started", []kube.EtcdMember{own, {ID: 0xabc, PeerURLs: []string{"https://192.0.2.12:2380"}}}, nil, []string{"ghost-member cp-1 error"}, "member abc (https://192.0.2.12:2380) never started", "member remove abc"},
		{"one of a host that is gone", []kube.EtcdMember{own, {ID: 0xabc, Name: "cp-9"}}, nil, []string{"ghost-member cp-1 warning"}, "cp-9", "member remove abc"},
		{"an etcd that does not answer", nil, errors.New("etcd: refused"), []string{"ghost-member cp-1 unknown"}, "etcd: refused", "ctr -n k8s.io"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: &cluster.State{MembersOf: "cp-1", Members: test.members, MembersErr: test.err}}
			report := cc.report(Selection{Only: []string{"ghost-member"}})
			complete(t, report)
			if diff := cmp.Diff(test.want, told(report)); diff != "" {
				t.Fatal(diff)
			}
			for _, c := range report.Checks {
				for _, f := range c.Findings {
					if !strings.Contains(f.Evidence, test.evidence) || !strings.Contains(f.Fix, test.fix) {
						t.Errorf("got %+v", f)
					}
				}
			}
		})
	}
}

// grown is a cluster with three control planes.
const grown = `
controlPlane: {endpoint: api.example}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`

// Apply removes the member of an interrupted join itself.
func TestTheMemberOfAnInterruptedJoin(t *testing.T) {
	t.Parallel()
	const peer = "https://192.0.2.12:2380"
	tests := []struct {
		name   string
		member kube.EtcdMember
		cp2    []facts.Path
		want   []string
	}{
		{"a member that never started, and no data", kube.EtcdMember{ID: 2, PeerURLs: []string{peer}, Learner: true}, []facts.Path{facts.JoinConfig}, nil},
		{"on a host that was reinstalled", kube.EtcdMember{ID: 2, PeerURLs: []string{peer}, Learner: true}, nil, nil},
		{"a learner with data", kube.EtcdMember{ID: 2, Name: "cp-2", PeerURLs: []string{peer}, Learner: true}, []facts.Path{facts.JoinConfig, facts.EtcdMember}, nil},
		{"a learner of no join of slipway", kube.EtcdMember{ID: 2, Name: "cp-2", PeerURLs: []string{peer}, Learner: true}, []facts.Path{facts.EtcdMember}, []string{"ghost-member cp-1 error"}},
		{"a voting member that never started, and data", kube.EtcdMember{ID: 2, PeerURLs: []string{peer}}, []facts.Path{facts.JoinConfig, facts.EtcdMember}, []string{"ghost-member cp-1 error"}},
		{"a member of another address", kube.EtcdMember{ID: 2, PeerURLs: []string{"https://192.0.2.19:2380"}, Learner: true}, []facts.Path{facts.JoinConfig}, []string{"ghost-member cp-1 error"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, grown)
			fixture.Facts("cp-2").Existing = test.cp2
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: &cluster.State{
				MembersOf: "cp-1", Members: []kube.EtcdMember{{ID: 1, Name: "cp-1"}, test.member},
			}}
			if diff := cmp.Diff(test.want, told(cc.report(Selection{Only: []string{"ghost-member"}}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
