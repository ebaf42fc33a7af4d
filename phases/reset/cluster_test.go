package reset

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const three = `controlPlane: {endpoint: "192.0.2.100:6443"}
hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
- {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
- {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`

const workers = `hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
- {name: w-1, address: 192.0.2.21, roles: [worker]}
`

// ours is a fixture whose hosts have a journal and, on control planes, etcd.
func ours(t *testing.T, inventory string, hosts ...string) *workflowtest.Fixture {
	t.Helper()
	fixture := workflowtest.New(t, inventory)
	fixture.Selection = workflow.Selection{Hosts: hosts}
	for _, h := range fixture.Hosts.All {
		h.Facts().Existing = []facts.Path{journal.Dir, facts.EtcdMember}
	}
	return fixture
}

func node(name, machineID string) kubetest.Object {
	return kubetest.Object{
		"apiVersion": "v1", "kind": "Node", "metadata": kubetest.Object{"name": name},
		"status": kubetest.Object{"nodeInfo": kubetest.Object{"machineID": machineID}},
	}
}

func TestTheNodeIsDeletedWhereTheClusterLivesOn(t *testing.T) {
	t.Parallel()
	own := strings.Repeat("b", 32) // the second host's
	tests := []struct {
		name    string
		hosts   []string
		node    kubetest.Object
		plan    bool
		changes []string
		deleted bool
		note    string
	}{
		{"a worker", []string{"w-1"}, node("w-1", own), false, []string{"delete node w-1"}, true, ""},
		{"a worker, in a plan", []string{"w-1"}, node("w-1", own), true, []string{"delete node w-1"}, false, ""},
		{"a Node that says nothing about its machine", []string{"w-1"}, node("w-1", ""), false, []string{"delete node w-1"}, true, ""},
		{"a Node that is deleted already", []string{"w-1"}, node("w-2", own), false, nil, false, ""},
		{"a Node of another machine", []string{"w-1"}, node("w-1", "other"), false, nil, false, "another machine"},
		{"all hosts", nil, node("w-1", own), false, nil, false, ""},
		{"all control planes", []string{"cp-1"}, node("cp-1", own), false, nil, false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, server := ours(t, workers, test.hosts...), kubetest.New(t)
			fixture.Serve(server)
			server.PutObject(test.node)
			run := fixture.MustApply
			if test.plan {
				run = fixture.MustPlan
			}
			run(Node())
			if diff := cmp.Diff(test.changes, fixture.Changes()); diff != "" {
				t.Error(diff)
			}
			name := test.node["metadata"].(kubetest.Object)["name"].(string)
			if deleted := server.Get("/api/v1/nodes/"+name) == nil && name == fixture.Hosts.All[1].Config.Name; deleted != test.deleted {
				t.Errorf("deleted: %v", deleted)
			}
			if notes := strings.Join(fixture.Notes(), ""); test.note == "" && notes != "" || !strings.Contains(notes, test.note) {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
		})
	}
}

func TestWithoutAnAPIServerANoteSaysHowToDeleteTheNode(t *testing.T) {
	t.Parallel()
	fixture := ours(t, workers, "w-1")
	fixture.MustApply(Node())
	if notes := fixture.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "kubectl delete node w-1") {
		t.Errorf("notes %q", notes)
	}
}

// The control plane was reset before: its workers are refused by apply until they are
// reset too.
func TestAWorkerOfAClusterThatIsGoneIsReset(t *testing.T) {
	t.Parallel()
	fixture := ours(t, workers, "w-1")
	fixture.Facts("cp-1").Existing = nil
	fixture.Facts("w-1").Existing = []facts.Path{journal.Dir, facts.KubeletConf}

	conflicts := cluster.Conflicts(fixture.Hosts.Observed())
	if len(conflicts) != 1 || !strings.Contains(conflicts[0].Remedy, "slipway reset --yes --hosts w-1, then slipway apply") {
		t.Fatalf("conflicts %+v", conflicts)
	}
	for _, phase := range []workflow.Phase{Member(AllHosts), Node()} {
		fixture.MustApply(phase)
		if changes, notes := fixture.Changes(), fixture.Notes(); len(changes)+len(notes) > 0 {
			t.Errorf("%s: changes %q, notes %q", phase.Name, changes, notes)
		}
	}
	fixture.Facts("w-1").Existing = nil // as the other phases leave it
	if left := cluster.Conflicts(fixture.Hosts.Observed()); len(left) > 0 {
		t.Errorf("apply is still refused: %+v", left)
	}
}

// gateway is a control plane's connection, on which etcd's gateway answers.
type gateway struct {
	*hosttest.Fake
	address string
}

func (g gateway) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, g.address)
}

// etcd runs a gateway of etcd with members such as "cp-1", "" or "cp-3 learner" on a
// control plane, and returns the IDs that it removed.
func etcd(t *testing.T, fixture *workflowtest.Fixture, name string, members ...string) (removed *[]string) {
	t.Helper()
	var list []string
	for i, member := range members {
		name, learner := strings.CutSuffix(member, " learner")
		list = append(list, fmt.Sprintf(`{"ID":"%d","name":"%s","peerURLs":["https://192.0.2.1%[1]d:2380"],"isLearner":%[3]t}`, i+1, name, learner))
	}
	removed = new([]string)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch remove := r.URL.Path == "/v3/cluster/member/remove"; {
		case slices.Contains(fixture.CutOff, name) && (remove || r.URL.Path == "/v3/kv/range"):
			http.Error(w, "{}", http.StatusServiceUnavailable)
			return
		case remove:
			*removed = append(*removed, string(body))
		}
		fmt.Fprintf(w, `{"leader":"1","members":[%s]}`, strings.Join(list, ","))
	}))
	t.Cleanup(server.Close)
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	fake := fixture.Host(name)
	fake.Put("/etc/kubernetes/pki/etcd/ca.crt", certificate)
	fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.crt", certificate)
	fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	for _, h := range fixture.Hosts.All {
		if h.Config.Name == name {
			h.Conn = gateway{fake, server.Listener.Addr().String()}
		}
	}
	return removed
}

func TestTheEtcdMemberIsRemovedFirstWhereTheClusterLivesOn(t *testing.T) {
	t.Parallel()
	all := []string{"cp-1", "cp-2", "cp-3"}
	tests := []struct {
		name string
		// hosts are reset, answering are the control planes whose etcd answers, cutOff those
		// of them whose etcd has lost the others.
		hosts, answering, cutOff, members []string
		// unreachable is one of hosts.
		unreachable string
		plan        bool
		changes     []string
		removed     string
		refused     *kube.QuorumError
		unknown     bool
	}{
		{name: "one of three", hosts: []string{"cp-3"}, answering: all, members: all, changes: []string{"remove etcd member cp-3"}, removed: `{"ID":"3"}`},
		{name: "one of three, in a plan", hosts: []string{"cp-3"}, answering: all, members: all, plan: true, changes: []string{"remove etcd member cp-3"}},
		{name: "one of three that is dead", hosts: []string{"cp-3"}, answering: all[:2], members: all, changes: []string{"remove etcd member cp-3"}, removed: `{"ID":"3"}`},
		{name: "the last but one", hosts: []string{"cp-2"}, answering: all[:2], members: all[:2], changes: []string{"remove etcd member cp-2"}, removed: `{"ID":"2"}`},
		{name: "one whose member is removed already", hosts: []string{"cp-3"}, answering: all[:2], members: all[:2]},
		{name: "all of them", answering: all, members: all},
		{name: "one of three while another is dead", hosts: []string{"cp-3"}, answering: []string{"cp-1", "cp-3"}, members: all, refused: &kube.QuorumError{Removing: "cp-3", After: kube.Quorum{Members: 2, Healthy: 1}}},
		{name: "one of three while another is cut off", hosts: []string{"cp-3"}, answering: all, cutOff: all[:1], members: all, refused: &kube.QuorumError{Removing: "cp-3", After: kube.Quorum{Members: 2, Healthy: 1}}},
		{name: "a learner while another member is cut off", hosts: []string{"cp-3"}, answering: all[:2], cutOff: all[:1], members: []string{"cp-1", "cp-2", "cp-3 learner"}, changes: []string{"remove etcd member cp-3"}, removed: `{"ID":"3"}`},
		{name: "one with a member whose host is gone", hosts: []string{"cp-2"}, answering: all[:2], members: []string{"cp-1", "cp-2", "ghost"}, refused: &kube.QuorumError{Removing: "cp-2", After: kube.Quorum{Members: 2, Healthy: 1}}},
		{name: "two of three, one of them unreachable", hosts: all[1:], answering: all[:1], members: all, unreachable: "cp-2", refused: &kube.QuorumError{Removing: "cp-3", After: kube.Quorum{Members: 2, Healthy: 1}}},
		{name: "a learner, without a majority of the others", hosts: []string{"cp-3"}, answering: all[:1], members: []string{"cp-1", "cp-2", "cp-3 learner"}, changes: []string{"remove etcd member cp-3"}, removed: `{"ID":"3"}`},
		{name: "one of two, beside a learner", hosts: []string{"cp-2"}, answering: all[:2], members: []string{"cp-1", "cp-2", "cp-3 learner"}, changes: []string{"remove etcd member cp-2"}, removed: `{"ID":"2"}`},
		{name: "one that never started", hosts: []string{"cp-2"}, answering: all[:1], members: []string{"cp-1", ""}, changes: []string{"remove etcd member cp-2"}, removed: `{"ID":"2"}`},
		{name: "one while no other answers", hosts: []string{"cp-3"}, answering: []string{"cp-3"}, members: all, unknown: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := ours(t, three, test.hosts...)
			fixture.CutOff = test.cutOff
			var removed []string
			var gateways []*[]string
			for _, name := range test.answering {
				gateways = append(gateways, etcd(t, fixture, name, test.members...))
			}
			for _, h := range fixture.Hosts.All {
				if h.Config.Name == test.unreachable {
					h.SetUnreachable(host.ErrUnreachable)
				}
			}
			run := fixture.Apply
			if test.plan {
				run = fixture.Plan
			}
			err := run(Member(AllHosts))
			var refused *kube.QuorumError
			if errors.As(err, &refused) != (test.refused != nil) || (err != nil) != (test.refused != nil || test.unknown) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(test.refused, refused); diff != "" {
				t.Error(diff)
			}
			if err != nil && !strings.Contains(workflow.Hint(err), "without --hosts") {
				t.Errorf("the hint is %q", workflow.Hint(err))
			}
			if diff := cmp.Diff(test.changes, fixture.Changes()); diff != "" {
				t.Error(diff)
			}
			for _, g := range gateways {
				removed = append(removed, *g...)
			}
			if got := strings.Join(removed, " "); got != test.removed {
				t.Errorf("removed %s, want %s", got, test.removed)
			}
		})
	}
}

var _ host.Dialer = gateway{}

func TestNoMemberIsRemovedIfTheControlPlaneThatStaysHasNoCluster(t *testing.T) {
	t.Parallel()
	fixture := ours(t, three, "cp-1", "cp-2")
	fixture.Facts("cp-3").Existing = nil
	removed := etcd(t, fixture, "cp-1", "cp-1", "cp-2")
	fixture.MustApply(Member(AllHosts))
	if len(*removed)+len(fixture.Changes()) > 0 {
		t.Errorf("removed %q, changes %q", *removed, fixture.Changes())
	}
}

func TestTheMemberOfAControlPlaneThatHasLostItsDataIsRemoved(t *testing.T) {
	t.Parallel()
	for _, external := range []bool{false, true} {
		fixture := ours(t, three, "cp-3")
		fixture.Facts("cp-3").Existing = []facts.Path{journal.Dir, facts.CAKey, facts.KubeletConf, facts.APIServerManifest}
		removed := etcd(t, fixture, "cp-1", "cp-1", "cp-2", "cp-3")
		second := etcd(t, fixture, "cp-2", "cp-1", "cp-2", "cp-3")
		var want []string
		if external {
			fixture.Cluster.Etcd.External.Endpoints = []string{"https://192.0.2.31:2379"}
		} else {
			want = []string{`{"ID":"3"}`}
		}
		fixture.MustApply(Member(AllHosts))
		if diff := cmp.Diff(want, append(*removed, *second...)); diff != "" {
			t.Errorf("external etcd %v: %s", external, diff)
		}
	}
}

// The inventory may keep a host that has joined another cluster since.
func TestAControlPlaneOfAnotherClusterDoesNotStay(t *testing.T) {
	t.Parallel()
	one, other := authority(t), authority(t)
	for name, test := range map[string]struct {
		change func(cp1, cp2 *workflow.Host)
		stays  bool
	}{
		"it has another CA":                 {func(_, cp2 *workflow.Host) { cp2.Facts().Kubernetes = other }, false},
		"it has the same CA":                {func(_, cp2 *workflow.Host) { cp2.Facts().Kubernetes = one }, true},
		"its CA cannot be read":             {func(_, _ *workflow.Host) {}, true},
		"it cannot be reached":              {func(_, cp2 *workflow.Host) { cp2.SetFacts(nil) }, true},
		"it has another CA, and is present": {func(_, cp2 *workflow.Host) { cp2.Facts().Kubernetes, cp2.Config.State = other, config.StatePresent }, true},
		"the CA of the cluster cannot be read": {func(cp1, cp2 *workflow.Host) {
			cp1.Facts().Kubernetes, cp2.Facts().Kubernetes = facts.Kubernetes{}, other
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, `hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
- {name: cp-2, address: 192.0.2.12, roles: [control-plane], state: absent}
`)
			fixture.Hosts = fixture.Hosts.WithLeaving()
			fixture.Selection.Hosts = []string{"cp-1"}
			for _, h := range fixture.Hosts.All {
				h.Facts().Existing = []facts.Path{journal.Dir, facts.CAKey, facts.EtcdMember}
			}
			fixture.Facts("cp-1").Kubernetes = one
			test.change(fixture.Hosts.All[0], fixture.Hosts.All[1])
			var stays bool
			fixture.MustApply(workflow.Phase{Name: "ask", On: workflow.Localhost, Do: func(_ context.Context, s *workflow.Step) error {
				stays = ClusterStays(s)
				return nil
			}})
			if stays != test.stays {
				t.Errorf("the cluster stays: %v", stays)
			}
		})
	}
}

// authority returns the facts of a new CA.
func authority(t *testing.T) facts.Kubernetes {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return facts.Kubernetes{Certificates: []facts.Certificate{{
		Path: "/etc/kubernetes/pki/ca.crt", PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
	}}}
}

// The join was interrupted: the member has no name, and the host no data.
func TestTheMemberOfAnInterruptedJoinIsRemoved(t *testing.T) {
	t.Parallel()
	fixture := ours(t, three, "cp-3")
	fixture.Facts("cp-3").Existing = []facts.Path{journal.Dir, facts.JoinConfig}
	first := etcd(t, fixture, "cp-1", "cp-1", "cp-2", "")
	second := etcd(t, fixture, "cp-2", "cp-1", "cp-2", "")
	fixture.MustApply(Member(AllHosts))
	if diff := cmp.Diff([]string{`{"ID":"3"}`}, append(*first, *second...)); diff != "" {
		t.Error(diff)
	}
}
