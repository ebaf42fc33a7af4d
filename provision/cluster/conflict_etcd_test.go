package cluster

import (
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/facts"
)

// etcdHost is a host that runs etcd alone, with a CA of etcd.
func etcdHost(name, ca string) Host {
	return Host{Name: name, Etcd: true, Facts: &facts.Facts{
		Existing: []facts.Path{facts.EtcdService, facts.EtcdMember},
		Kubernetes: facts.Kubernetes{
			Certificates: []facts.Certificate{{Path: "/etc/kubernetes/pki/etcd/ca.crt", PEM: certificate(ca)}},
		},
	}}
}

// plane is a control plane whose etcd runs elsewhere.
func plane(name, ca, etcd string) Host {
	h := worker(name, ca)
	h.ControlPlane = true
	h.Facts.Existing = append(h.Facts.Existing, facts.CAKey, facts.APIServerManifest)
	h.Facts.Kubernetes.Certificates = append(h.Facts.Kubernetes.Certificates, facts.Certificate{Path: "/etc/kubernetes/pki/etcd/ca.crt", PEM: certificate(etcd)})
	return h
}

func TestConflictsOfHostsOfEtcd(t *testing.T) {
	t.Parallel()
	lost := etcdHost("etcd-2", "e")
	lost.Facts.Existing, lost.Facts.Kubernetes.Certificates = nil, nil
	prepared := etcdHost("etcd-2", "e")
	prepared.Facts.Existing, prepared.Facts.Kubernetes.Certificates = []facts.Path{facts.Journal}, nil
	resetting := as(prepared, func(h *Host) { h.Facts = &facts.Facts{Existing: []facts.Path{facts.Journal, facts.ResetMark}} })
	foreign := etcdHost("etcd-2", "e")
	foreign.Facts.Existing = []facts.Path{facts.EtcdMember}
	tests := []struct {
		name  string
		hosts []Host
		want  string // empty: no conflict
	}{
		{"new hosts", []Host{as(blank("etcd-1", false), func(h *Host) { h.Etcd = true }), blank("cp-1", true)}, ""},
		{"etcd without a cluster yet", []Host{etcdHost("etcd-1", "e"), blank("cp-1", true)}, ""},
		{"a member that has not started yet, without a cluster", []Host{etcdHost("etcd-1", "e"), prepared, blank("cp-1", true)}, ""},
		{"a member whose host was off during a reset", []Host{etcdHost("etcd-1", "e"), lost, blank("cp-1", true)}, "etcd-1: it has the data of an etcd that was removed from the other hosts"},
		{"a member whose host was off during a reset that was interrupted", []Host{etcdHost("etcd-1", "e"), resetting, blank("cp-1", true)}, "etcd-1: it has the data of an etcd that was removed"},
		{"a reset that was interrupted on all hosts of etcd", []Host{as(etcdHost("etcd-1", "e"), func(h *Host) { h.Facts.Existing = append(h.Facts.Existing, facts.ResetMark) }), resetting, blank("cp-1", true)}, ""},
		{"a control plane that was not read may have the cluster", []Host{etcdHost("etcd-1", "e"), lost, {Name: "cp-1", ControlPlane: true}}, ""},
		{"a cluster", []Host{etcdHost("etcd-1", "e"), etcdHost("etcd-2", "e"), plane("cp-1", "a", "e"), worker("w-1", "a")}, ""},
		{"a member that was not read", []Host{etcdHost("etcd-1", "e"), {Name: "etcd-2", Etcd: true}, plane("cp-1", "a", "e")}, ""},
		{"a member that has lost its data", []Host{etcdHost("etcd-1", "e"), lost, plane("cp-1", "a", "e")}, "etcd-2: the cluster exists, and this host has no data of etcd"},
		{"members of two etcds", []Host{etcdHost("etcd-1", "e"), etcdHost("etcd-2", "other")}, "etcd-2: it belongs to another etcd than etcd-1"},
		{"a control plane of another etcd", []Host{etcdHost("etcd-1", "e"), plane("cp-1", "a", "other")}, "cp-1: it belongs to another etcd than etcd-1"},
		{"data that nobody knows", []Host{etcdHost("etcd-1", "e"), foreign}, "etcd-2: it belongs to a cluster, or has the data of an etcd"},
		{"a node", []Host{as(worker("etcd-1", "a"), func(h *Host) { h.Etcd = true }), blank("cp-1", true)}, "etcd-1: it belongs to a cluster"},
		{"a host of etcd that is to be a worker", []Host{as(etcdHost("w-1", "e"), func(h *Host) { h.Etcd = false }), blank("cp-1", true)}, "w-1: it runs etcd and is not a node"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, c := range Conflicts(test.hosts) {
				got = append(got, c.Host+": "+c.Problem)
				if c.Remedy == "" {
					t.Errorf("%s has no remedy", c.Host)
				}
			}
			if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.want)) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTheKindOfEtcdDoesNotChange(t *testing.T) {
	t.Parallel()
	files := func(h Host, paths ...string) Host {
		for _, path := range paths {
			h.Facts.Kubernetes.Files = append(h.Facts.Kubernetes.Files, facts.KubeFile{Path: "/etc/kubernetes/" + path})
		}
		return h
	}
	client := []string{"pki/etcd/ca.crt", "pki/apiserver-etcd-client.crt", "pki/apiserver-etcd-client.key"}
	const own, elsewhere = "cp-1: it has a member of etcd of its own", "cp-1: its API server uses external etcd"
	without := func(h Host, path facts.Path) Host {
		h.Facts.Existing = slices.DeleteFunc(h.Facts.Existing, func(p facts.Path) bool { return p == path })
		return h
	}
	for name, test := range map[string]struct {
		external bool
		host     Host
		want     string
	}{
		"a member, and external etcd":                             {true, member("cp-1", "a"), own},
		"the manifest of a member, and external etcd":             {true, files(plane("cp-1", "a", "e"), "manifests/etcd.yaml"), own},
		"external etcd that stays":                                {true, files(plane("cp-1", "a", "e"), client...), ""},
		"external etcd, and none in the inventory":                {false, files(plane("cp-1", "a", "e"), client...), elsewhere},
		"a member that stays":                                     {false, files(member("cp-1", "a"), client...), ""},
		"a member whose data and manifest are lost":               {false, files(plane("cp-1", "a", "e"), append(client, "pki/etcd/ca.key")...), ""},
		"external etcd, before the API server":                    {false, without(files(plane("cp-1", "a", "e"), client...), facts.APIServerManifest), ""},
		"a worker with data of somebody":                          {true, as(member("w-1", "a"), func(h *Host) { h.ControlPlane = false }), ""},
		"a control plane that joins, with data of an earlier one": {true, as(member("cp-1", "a"), func(h *Host) { h.Facts.Existing = append(h.Facts.Existing, facts.JoinConfig) }), ""},
		"a new host":               {true, blank("cp-1", true), ""},
		"a host that was not read": {true, Host{Name: "cp-1", ControlPlane: true}, ""},
	} {
		var got []string
		for _, c := range EtcdKindConflicts(test.external, []Host{test.host}) {
			got = append(got, c.Host+": "+c.Problem)
			if !strings.HasSuffix(c.Problem, "the kind of etcd of a cluster cannot change") || c.Remedy == "" {
				t.Errorf("%s: got %+v", name, c)
			}
		}
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.want)) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// Etcd data on its hosts is no node to join, and a control plane without it is the seed.
func TestTheSeedOfAClusterWithAnotherEtcd(t *testing.T) {
	t.Parallel()
	leaving := as(plane("cp-2", "a", "e"), func(h *Host) { h.Leaving = true })
	hosts := []Host{etcdHost("etcd-1", "e"), blank("cp-1", true), leaving}
	if seed := Seed(hosts); seed != 2 {
		t.Errorf("the seed is %d", seed)
	}
	if hosts[0].Facts.Joined() {
		t.Error("a host of etcd has joined a cluster")
	}
}

func TestAnotherEtcdIsADifference(t *testing.T) {
	t.Parallel()
	three := Fixed{PodSubnet: "10.0.0.0/16", PodNetwork: "flannel", Etcd: "etcd-1, etcd-2, etcd-3"}
	tests := map[string]struct {
		have, want string
		difference string
	}{
		"the same hosts":       {three.Etcd, three.Etcd, ""},
		"fewer hosts":          {three.Etcd, "etcd-1", "hosts with the role etcd is etcd-1, etcd-2, etcd-3 in the cluster, and etcd-1 in the inventory"},
		"the control planes":   {three.Etcd, "", "hosts with the role etcd is etcd-1, etcd-2, etcd-3 in the cluster, and the control planes in the inventory"},
		"not the control ones": {"", "https://a.example:2379", "etcd.external.endpoints is the control planes in the cluster, and https://a.example:2379 in the inventory"},
	}
	for name, test := range tests {
		have, want := three, three
		have.Etcd, want.Etcd = test.have, test.want
		var got []string
		for _, d := range have.Differences(want) {
			got = append(got, d.String())
		}
		if text := strings.Join(got, "; "); text != test.difference {
			t.Errorf("%s: got %q", name, text)
		}
	}
	// The record of an interrupted init does not exist yet.
	if d := (Fixed{PodSubnet: "10.0.0.0/16"}).Differences(Fixed{PodSubnet: "10.0.0.0/16", Etcd: "etcd-1"}); len(d) > 0 {
		t.Errorf("without a record: %v", d)
	}
}
