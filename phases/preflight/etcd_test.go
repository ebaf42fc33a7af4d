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

func TestControlPlanesWhoseEtcdLeftTheCluster(t *testing.T) {
	t.Parallel()
	member := func(id uint64, name string) kube.EtcdMember { return kube.EtcdMember{ID: id, Name: name} }
	three := []kube.EtcdMember{member(1, "cp-1"), member(2, "cp-2"), member(3, "cp-3")}
	all := []string{"cp-1", "cp-2", "cp-3"}
	joined := []facts.Path{facts.CAKey, facts.KubeletConf, facts.APIServerManifest, facts.EtcdMember}
	tests := []struct {
		name      string
		members   []kube.EtcdMember
		answering []string
		// cp2 is what cp-2 has.
		cp2 []facts.Path
		// gone: no host has data. external: etcd runs elsewhere.
		gone, external bool
		want           []string
		evidence, fix  string
	}{
		{name: "all is well", members: three, answering: all, cp2: joined},
		{
			name: "its data is gone", members: three, answering: []string{"cp-1", "cp-3"}, cp2: joined[:3],
			want: []string{"etcd-data cp-2 error"}, evidence: "has lost its data", fix: "slipway reset --yes --hosts cp-2, then slipway apply",
		},
		{
			name: "its member was removed", members: []kube.EtcdMember{three[0], three[2]}, answering: []string{"cp-1", "cp-3"}, cp2: joined,
			want: []string{"etcd-data cp-2 error"}, evidence: "is no member of it", fix: "slipway node remove cp-2",
		},
		{
			name: "its etcd does not answer", members: three, answering: []string{"cp-1", "cp-3"}, cp2: joined,
			want: []string{"etcd-data cp-2 warning"}, evidence: "does not answer", fix: "has already been bootstrapped",
		},
		{name: "its join was interrupted", members: []kube.EtcdMember{three[0], three[2]}, answering: []string{"cp-1", "cp-3"}, cp2: append(joined[:3:3], facts.JoinConfig)},
		{name: "it is new", members: []kube.EtcdMember{three[0], three[2]}, answering: []string{"cp-1", "cp-3"}},
		{name: "its reset was interrupted", members: three, answering: []string{"cp-1", "cp-3"}, cp2: append(joined[:3:3], facts.ResetMark)},
		{name: "with an external etcd", cp2: joined[:3], gone: true, external: true},
		{
			name: "no control plane has data", cp2: joined[:3], gone: true,
			want: []string{"etcd-data cp-1 error"}, evidence: "no control plane has the data", fix: "restore etcd from a snapshot",
		},
		{name: "init was interrupted", gone: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, grown)
			for _, h := range fixture.Hosts.All {
				h.Facts().Existing, h.Facts().Kubernetes.Finalized = joined, true
			}
			fixture.Facts("cp-2").Existing = test.cp2
			if test.gone {
				fixture.Facts("cp-1").Existing, fixture.Facts("cp-3").Existing = joined[:3], nil
			}
			if test.external {
				fixture.Cluster.Etcd.External.Endpoints = []string{"https://192.0.2.31:2379"}
			}
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: &cluster.State{Members: test.members, Answering: test.answering}}
			report := cc.report(Selection{Only: []string{"etcd-data"}})
			complete(t, report)
			if diff := cmp.Diff(test.want, told(report)); diff != "" {
				t.Fatal(diff)
			}
			for _, f := range report.Checks[0].Findings {
				if !strings.Contains(f.Evidence, test.evidence) || !strings.Contains(f.Fix, test.fix) {
					t.Errorf("got %+v", f)
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
