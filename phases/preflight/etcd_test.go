package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
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
