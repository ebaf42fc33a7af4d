package phases

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const withAbsent = `
controlPlane: {endpoint: "192.0.2.100:6443"}
hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane], state: absent}
- {name: cp-4, address: 192.0.2.14, roles: [control-plane]}
- {name: w-1, address: 192.0.2.21, state: absent}
- {name: w-2, address: 192.0.2.22, state: lost}
`

func TestRemoveFollowsTheOrderOfADeparture(t *testing.T) {
	t.Parallel()
	w := Remove()
	order := []string{"lock", "drain", "etcd-member", "stop", "node", "undo", "record"}
	for i, name := range order[1:] {
		if !comesAfter(w, name, order[i]) {
			t.Errorf("%s does not come after %s", name, order[i])
		}
	}
	if !comesAfter(Apply(), "join", "lost-hosts") {
		t.Error("hosts join before the lost ones are removed")
	}
}

func TestRemovalSelectsTheHostsThatHaveNotLeft(t *testing.T) {
	t.Parallel()
	answers := &cluster.State{Exists: true}
	tests := []struct {
		name            string
		prepare         func(f *workflowtest.Fixture)
		state           *cluster.State
		selection       []string
		remove, removed []string
		elsewhere       []string
	}{
		{name: "hosts that are clean", state: answers, removed: []string{"cp-1", "w-1"}},
		{name: "a host with the CA of the cluster", prepare: func(f *workflowtest.Fixture) { trust(f, "one", "cp-4", "w-1") }, state: answers, remove: []string{"w-1"}, removed: []string{"cp-1"}},
		{name: "a host whose removal was interrupted", prepare: func(f *workflowtest.Fixture) {
			f.Facts("w-1").Existing = []facts.Path{facts.Journal, facts.ResetMark}
		}, state: answers, remove: []string{"w-1"}, removed: []string{"cp-1"}},
		{name: "a host that another cluster has prepared", prepare: func(f *workflowtest.Fixture) {
			trust(f, "one", "cp-4")
			f.Facts("w-1").Existing = []facts.Path{facts.Journal}
		}, state: answers, removed: []string{"cp-1"}, elsewhere: []string{"w-1"}},
		{name: "a host that has joined another cluster", prepare: func(f *workflowtest.Fixture) {
			trust(f, "one", "cp-4")
			trust(f, "other", "w-1")
			f.Hosts.SetAside()
		}, state: answers, removed: []string{"cp-1"}, elsewhere: []string{"w-1"}},
		{name: "a host of another cluster than the control plane that leaves", prepare: func(f *workflowtest.Fixture) {
			trust(f, "one", "cp-1")
			trust(f, "other", "w-1")
			f.Facts("w-1").Existing = append(f.Facts("w-1").Existing, facts.ResetMark)
		}, state: answers, remove: []string{"cp-1"}, elsewhere: []string{"w-1"}},
		{name: "a host with a journal, and a silent cluster", prepare: func(f *workflowtest.Fixture) { f.Facts("w-1").Existing = []facts.Path{facts.Journal} }, state: &cluster.State{Exists: true, Silent: errSilent}, remove: []string{"w-1"}, removed: []string{"cp-1"}},
		{"a host that was reset, with a Node", nil, &cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "w-1"}}}, nil, []string{"w-1"}, []string{"cp-1"}, nil},
		{"a host that was reset, with a member", nil, &cluster.State{Exists: true, Members: []kube.EtcdMember{{Name: "cp-1"}}}, nil, []string{"cp-1"}, []string{"w-1"}, nil},
		{"a host that was reset, with a member that never started", nil, &cluster.State{Exists: true, Members: []kube.EtcdMember{{PeerURLs: []string{"https://192.0.2.11:2380"}, Learner: true}}}, nil, []string{"cp-1"}, []string{"w-1"}, nil},
		{"a host that cannot be reached, and has left", func(f *workflowtest.Fixture) { f.Hosts.Leaving[1].SetFacts(nil) }, answers, nil, nil, []string{"cp-1", "w-1"}, nil},
		{"a host that cannot be reached, and a silent cluster", func(f *workflowtest.Fixture) { f.Hosts.Leaving[1].SetFacts(nil) }, &cluster.State{Exists: true, Silent: errSilent}, nil, []string{"w-1"}, []string{"cp-1"}, nil},
		{"other hosts", nil, answers, []string{"cp-4"}, nil, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, withAbsent)
			fixture.Hosts.SetState(test.state)
			if test.prepare != nil {
				test.prepare(fixture)
			}
			remove, removed, elsewhere := Removal(fixture.Hosts, workflow.Selection{Hosts: test.selection})
			if diff := cmp.Diff([][]string{test.remove, test.removed, test.elsewhere}, [][]string{remove, removed, elsewhere}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// trust gives hosts the CA and the identity of a cluster, as slipway leaves them.
func trust(f *workflowtest.Fixture, ca string, hosts ...string) {
	for _, name := range hosts {
		f.Facts(name).Existing = []facts.Path{facts.Journal, facts.KubeletConf}
		if strings.HasPrefix(name, "cp-") {
			f.Facts(name).Existing = append(f.Facts(name).Existing, facts.CAKey, facts.EtcdMember)
		}
		f.Facts(name).Kubernetes.Certificates = []facts.Certificate{{Path: "/etc/kubernetes/pki/ca.crt", PEM: authority(ca)}}
	}
}

var authorities sync.Map

// authority returns the certificate of a CA in PEM, the same one for the same name.
func authority(name string) []byte {
	create := sync.OnceValue(func() []byte {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	})
	once, _ := authorities.LoadOrStore(name, create)
	return once.(func() []byte)()
}

var errSilent = &kube.ConnectError{}

// departure runs single phases of Remove on cp-1, of which the cluster has everything.
func departure(t *testing.T, members ...string) (fixture *workflowtest.Fixture, server *kubetest.Server, removed *[]string) {
	t.Helper()
	fixture, server = workflowtest.New(t, withAbsent), kubetest.New(t)
	fixture.Hosts = fixture.Hosts.WithLeaving()
	fixture.Selection = workflow.Selection{Hosts: []string{"cp-1"}}
	for _, name := range []string{"cp-1", "cp-4"} {
		fixture.Facts(name).Existing = []facts.Path{facts.Journal, facts.CAKey, facts.EtcdMember, facts.KubeletConf}
	}
	state := &cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-1"}}}
	var list []string
	for i, name := range members {
		state.Members = append(state.Members, kube.EtcdMember{ID: uint64(i + 1), Name: name})
		list = append(list, `{"ID":"`+string(rune('1'+i))+`","name":"`+name+`"}`)
	}
	fixture.Hosts.SetState(state)
	fixture.Serve(server)
	server.Put("{apiVersion: v1, kind: Node, metadata: {name: cp-1}}")
	if slices.Contains(members, "cp-4") {
		removed = fixture.ServeEtcd("cp-4", list...)
	}
	return fixture, server, removed
}

func phaseOf(t *testing.T, w workflow.Workflow, name string) workflow.Phase {
	t.Helper()
	p, ok := w.Phase(name)
	if !ok {
		t.Fatalf("no phase %s", name)
	}
	return p
}

func TestAControlPlaneLeavesEtcdThroughOneThatStays(t *testing.T) {
	t.Parallel()
	fixture, server, removed := departure(t, "cp-1", "cp-4")
	fixture.MustApply(phaseOf(t, Remove(), "etcd-member"))
	if diff := cmp.Diff([]string{"remove etcd member cp-1"}, fixture.Changes()); diff != "" || strings.Join(*removed, "") != `{"ID":"1"}` {
		t.Errorf("%s; removed %q", diff, *removed)
	}
	fixture.MustApply(phaseOf(t, Remove(), "node"))
	if diff := cmp.Diff([]string{"delete node cp-1"}, fixture.Changes()); diff != "" || server.Get("/api/v1/nodes/cp-1") != nil {
		t.Error(diff)
	}
}

// A member or a Node can be left after a reset that did not reach the cluster.
func TestWhatAResetLeftIsRemovedWithoutAJournal(t *testing.T) {
	t.Parallel()
	fixture, _, _ := departure(t, "cp-1", "cp-4")
	fixture.Facts("cp-1").Existing = nil
	fixture.MustApply(phaseOf(t, Remove(), "etcd-member"))
	if diff := cmp.Diff([]string{"remove etcd member cp-1"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	fixture.MustApply(phaseOf(t, Remove(), "node"))
	if diff := cmp.Diff([]string{"delete node cp-1"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

// A member has no name before it starts.
func TestAMemberThatNeverStartedLeavesWithItsHost(t *testing.T) {
	t.Parallel()
	fixture, _, _ := departure(t, "cp-4")
	fixture.Hosts.State().Members = append(fixture.Hosts.State().Members, kube.EtcdMember{ID: 2, PeerURLs: []string{"https://192.0.2.11:2380"}, Learner: true})
	removed := fixture.ServeEtcd("cp-4", `{"ID":"1","name":"cp-4"}`, `{"ID":"2","peerURLs":["https://192.0.2.11:2380"],"isLearner":true}`)
	fixture.MustApply(phaseOf(t, Remove(), "etcd-member"))
	if diff := cmp.Diff([]string{`{"ID":"2"}`}, *removed); diff != "" {
		t.Error(diff)
	}
}

// Otherwise, the host would stop with its pods on it.
func TestNoHostLeavesAClusterWhoseAPIServerIsSilent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"drain", "node"} {
		fixture, server, _ := departure(t, "cp-1", "cp-4")
		fixture.Hosts.SetState(&cluster.State{Exists: true, Silent: errSilent})
		if err := fixture.Apply(phaseOf(t, Remove(), name)); !errors.Is(err, errSilent) {
			t.Errorf("%s: got %v", name, err)
		}
		if got := server.Requests(); len(got) > 0 {
			t.Errorf("%s: requests %q", name, got)
		}
		fixture.Hosts.SetState(&cluster.State{})
		fixture.MustApply(phaseOf(t, Remove(), name)) // without a cluster, there is nothing to do
	}
}

func TestAPlanOfAReplacementCountsOnTheJoin(t *testing.T) {
	t.Parallel()
	fixture, _, _ := departure(t, "cp-1")
	phase := phaseOf(t, Remove(), "etcd-member")
	fixture.MustPlan(phase)
	if diff := cmp.Diff([]string{phase.Title}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	if err := fixture.Apply(phase); err == nil {
		t.Error("the only member was removed")
	}
}

func TestTheRecordForgetsHostsThatHaveLeft(t *testing.T) {
	t.Parallel()
	fixture, server, _ := departure(t)
	server.Put("{apiVersion: v1, kind: Node, metadata: {name: cp-4}}")
	client, err := kube.New(server.Kubeconfig(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]cluster.RecordedHost{"cp-1": {MachineID: "a"}, "w-2": {MachineID: "b"}, "cp-4": {MachineID: "c"}, "foreign": {MachineID: "d"}}
	if err := cluster.WriteRecord(t.Context(), client, cluster.Record{Hosts: hosts}); err != nil {
		t.Fatal(err)
	}
	fixture.MustApply(phaseOf(t, Remove(), "node"))
	fixture.MustApply(phaseOf(t, Remove(), "record"))
	after, err := cluster.ReadRecord(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	delete(hosts, "cp-1")
	delete(hosts, "w-2")
	if diff := cmp.Diff(hosts, after.Hosts); diff != "" {
		t.Error(diff)
	}
}

const balanced = `
controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: keepalived}}
preflight: {ignore: [{check: even-etcd, reason: a test}]}
hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane], state: absent}
- {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
- {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
- {name: w-1, address: 192.0.2.21, state: absent}
`

func TestTheLoadBalancerForgetsControlPlanesThatHaveLeft(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, balanced)
	for _, h := range fixture.Hosts.WithLeaving().All {
		h.Facts().Commands = append(h.Facts().Commands, "haproxy", "keepalived")
		h.Facts().Existing = []facts.Path{facts.Journal, facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest}
		fixture.Host(h.Config.Name).ExpectQuery("haproxy", "-v").AnyTimes().Returns("HAProxy version 3.0.5\n")
	}
	files := map[string]string{"haproxy": "/etc/haproxy/haproxy.cfg", "keepalived": "/etc/keepalived/keepalived.conf"}
	services := map[string][]string{"haproxy": {files["haproxy"], "/etc/systemd/system/haproxy.service.d/slipway.conf"}, "keepalived": {files["keepalived"], "/etc/systemd/system/keepalived.service.d/slipway.conf"}}
	has := func(stage string, listed bool) {
		for _, name := range []string{"cp-2", "cp-3"} {
			for service, path := range files {
				file, _ := fixture.Host(name).File(path)
				if strings.Contains(string(file.Content), "192.0.2.11") != listed {
					t.Errorf("%s: %s of %s has cp-1: %v", stage, service, name, !listed)
				}
			}
		}
	}
	run := func(w workflow.Workflow, runs bool) {
		for _, service := range []string{"haproxy", "keepalived"} {
			unit := service + ".service"
			for _, name := range []string{"cp-2", "cp-3"} {
				if m := fixture.Host(name); runs {
					m.ExpectService(unit, services[service]...)
					m.ExpectReload("reload "+unit+": "+files[service]+" changed", unit, services[service]...)
				} else {
					m.ExpectService(unit, services[service]...).Returns("stopped inactive\n")
					m.ExpectStart("start "+unit+": it is inactive", unit, services[service]...)
				}
			}
			fixture.MustApply(phaseOf(t, w, service))
		}
	}
	// The state of the run is that before the removal.
	fixture.Hosts.SetState(&cluster.State{Exists: true, Members: []kube.EtcdMember{{Name: "cp-1", PeerURLs: []string{"https://192.0.2.11:2380"}}}})
	run(Apply(), false)
	has("apply", true)
	state := fixture.Hosts.State()
	fixture.Hosts = &workflow.Hosts{All: fixture.Hosts.All}
	fixture.Hosts.SetState(state)
	run(Balance(), true)
	has("after the removal", false)

	for _, name := range []string{"cp-1", "w-1"} {
		if got := Unbalanced(fixture.Cluster, []string{name}); got != (name == "cp-1") {
			t.Errorf("without %s: %v", name, got)
		}
	}
	fixture.Cluster.ControlPlane.LoadBalancer.Type = "external"
	if Unbalanced(fixture.Cluster, []string{"cp-1"}) {
		t.Error("slipway runs no load balancer")
	}
}
