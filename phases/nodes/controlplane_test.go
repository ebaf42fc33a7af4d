package nodes

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const planes = `
preflight: {ignore: [{check: even-etcd, reason: a test}]}
controlPlane: {endpoint: api.example, bindPort: 6444}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, nodeIP: 192.0.2.12, roles: [control-plane]}
`

const third = "  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}\n"

// joinedPlane is what a control plane has that has joined.
var joinedPlane = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest}

const machine2 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" // of cp-2

const planeNode = "apiVersion: v1\nkind: Node\nmetadata: {name: cp-2}\nstatus: {nodeInfo: {machineID: " + machine2 + "}}\n"

// growing is a fixture whose first control plane has the cluster; cp-2 has these files.
func growing(t *testing.T, inventory string, members []fakeMember, existing ...facts.Path) (*workflowtest.Fixture, *hosttest.Fake, *kubetest.Server, *fakeEtcd) {
	t.Helper()
	fixture, server := workflowtest.New(t, inventory), kubetest.New(t, "192.0.2.11", "192.0.2.13")
	server.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system}\n---\n" + controllersAccount)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest}
	fixture.Facts("cp-2").Existing = existing
	fixture.Serve(server)
	etcd := serveEtcd(t, fixture, members...)
	seed := fixture.Host("cp-1")
	for _, file := range kubeadm.SharedFiles(fixture.Cluster) {
		if _, exists := seed.File(file.Path); !exists {
			seed.Put(file.Path, "shared "+file.Path)
		}
	}
	fixture.Hosts.SetState(&cluster.State{Exists: true})
	return fixture, fixture.Host("cp-2"), server, etcd
}

// expectPlaneJoin expects kubeadm on cp-2, which joins completely.
func expectPlaneJoin(fake *hosttest.Fake, server *kubetest.Server, etcd *fakeEtcd, flags ...string) *hosttest.Expectation {
	unit := expectPlaneUnit(fake, flags...).Then(func() {
		server.Put(planeNode)
		etcd.put(started("cp-2"))
	})
	if len(flags) == 0 {
		expectRestart(fake)
	}
	return unit
}

func expectRestart(fake *hosttest.Fake) *hosttest.Expectation {
	return fake.ExpectRun("systemctl", "restart", "kubelet.service")
}

// expectPlaneUnit expects kubeadm on a control plane.
func expectPlaneUnit(fake *hosttest.Fake, flags ...string) *hosttest.Expectation {
	const ignored = "FileAvailable--etc-kubernetes-kubelet.conf,FileAvailable--etc-kubernetes-bootstrap-kubelet.conf,FileAvailable--etc-kubernetes-pki-ca.crt,Port-10250,DirAvailable--etc-kubernetes-manifests," +
		"Port-6444,Port-10259,Port-10257,Port-2379,Port-2380,DirAvailable--var-lib-etcd," +
		"FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml,FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml," +
		"FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml,FileAvailable--etc-kubernetes-manifests-etcd.yaml"
	argv := append([]string{"/usr/local/bin/kubeadm", "join", "--config", "/etc/kubernetes/slipway/join.yaml", "--ignore-preflight-errors", ignored}, flags...)
	return fake.ExpectUnitTimeout("kubeadm-join", 600, argv...)
}

func expectStopJoin(fake *hosttest.Fake) *hosttest.Expectation {
	return fake.ExpectRun("systemctl", "stop", "slipway-kubeadm-join.service")
}

// expectStartOver expects that all is deleted that a join has left.
func expectStartOver(fixture *workflowtest.Fixture, fake *hosttest.Fake) {
	fake.ExpectRunScript("stop.sh", "slipway-kubeadm-join.service", "containers")
	fake.ExpectRun(append([]string{"rm", "-rf"}, kubeadm.Leftovers(fixture.Cluster)...)...)
}

func TestAControlPlaneJoinsWithTheKeysOfTheSeed(t *testing.T) {
	t.Parallel()
	fixture, fake, server, etcd := growing(t, planes, []fakeMember{started("cp-1")})
	expectPlaneJoin(fake, server, etcd)
	expectForget(fake)
	fixture.MustApply(JoinControlPlane())

	for _, shared := range kubeadm.SharedFiles(fixture.Cluster) {
		seed, _ := fixture.Host("cp-1").File(shared.Path)
		copied, _ := fake.File(shared.Path)
		want := fs.FileMode(0o644)
		if strings.HasSuffix(shared.Path, ".key") {
			want = 0o600
		}
		if string(copied.Content) != string(seed.Content) || copied.Mode.Perm() != want {
			t.Errorf("%s is %v %q", shared.Path, copied.Mode, copied.Content)
		}
	}
	for path, want := range map[string]string{
		joinFile:      "advertiseAddress: 192.0.2.12\n    bindPort: 6444\n",
		discoveryFile: `server: "https://192.0.2.11:6444"`, // not the endpoint
	} {
		if file, _ := fake.File(path); file.Mode.Perm() != 0o600 || !strings.Contains(string(file.Content), want) {
			t.Errorf("%s is %v:\n%s", path, file.Mode, file.Content)
		}
	}
	for _, event := range fixture.Events.Events() {
		if text := event.Message + event.Diff; strings.Contains(text, "shared /etc/kubernetes/pki/ca.key") {
			t.Errorf("an event shows a key: %s", text)
		}
	}
	if len(etcd.removed) > 0 {
		t.Errorf("members %q were removed", etcd.removed)
	}
	var wrote []string
	for _, request := range server.Requests() {
		method, _, _ := strings.Cut(request, " ")
		wrote = append(wrote, method)
	}
	if diff := cmp.Diff([]string{"POST", "DELETE"}, wrote); diff != "" {
		t.Errorf("the token is not created and revoked: %s", diff)
	}
}

// A host with the key of the CA and without the files of the join could become the seed.
func TestTheFilesOfTheJoinComeBeforeTheKeys(t *testing.T) {
	t.Parallel()
	fixture, fake, server, etcd := growing(t, planes, []fakeMember{started("cp-1")})
	fake.Remove("/etc/kubernetes/pki/etcd/ca.crt")
	fake.StrictFiles()
	fake.InOrder()
	fake.ExpectWrite(discoveryFile)
	fake.ExpectWrite(joinFile)
	for _, file := range kubeadm.SharedFiles(fixture.Cluster) {
		fake.ExpectWrite(file.Path)
	}
	expectPlaneJoin(fake, server, etcd)
	expectForget(fake)
	fixture.MustApply(JoinControlPlane())
}

func TestAControlPlaneDoesNotJoinBesideAMemberThatIsNotHealthy(t *testing.T) {
	t.Parallel()
	unlisted := fakeMember{name: "cp-9", peer: "192.0.2.19"}
	gone := fakeMember{name: "cp-9", peer: "192.0.2.19", stopped: true}
	unlistedLearner := fakeMember{name: "cp-9", peer: "192.0.2.19", learner: true}
	unstarted := fakeMember{peer: "192.0.2.19"}
	tests := []struct {
		name    string
		members []fakeMember
		// cp3 is what the third control plane has.
		cp3  []facts.Path
		want *MemberError
		hint string
	}{
		{"all of them are healthy", []fakeMember{started("cp-1"), started("cp-3")}, nil, nil, ""},
		{"one that does not answer", []fakeMember{started("cp-1"), silent("cp-3")}, nil, &MemberError{Member: "cp-3", Problem: "is not healthy: "}, "state: lost"},
		{"one of another host that is healthy, which preflight reports", []fakeMember{started("cp-1"), unlisted}, nil, nil, ""},
		{"one of another host that does not answer", []fakeMember{started("cp-1"), gone}, nil, &MemberError{Member: "cp-9", Problem: "is not healthy: "}, "add cp-9 (192.0.2.19) to the inventory again: with state: absent"},
		{"a learner of another host", []fakeMember{started("cp-1"), unlistedLearner}, nil, &MemberError{Member: "cp-9", Problem: "is a learner"}, "etcdctl member remove 9"},
		{"one of another host that never started", []fakeMember{started("cp-1"), unstarted}, nil, &MemberError{Member: "9 (https://192.0.2.19:2380)", Problem: "has never started"}, "etcdctl member remove 9"},
		{"a learner that has data, and no join of slipway", []fakeMember{started("cp-1"), learning("cp-3")}, []facts.Path{facts.EtcdMember}, &MemberError{Member: "cp-3", Problem: "is a learner"}, "finish the join of cp-3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake, server, _ := growing(t, planes+third, test.members)
			fixture.Facts("cp-3").Existing = test.cp3
			fake.StrictFiles()
			phase := JoinControlPlane()
			phase.On = workflow.HostNamed("cp-2")
			err := fixture.Plan(phase)
			var found *MemberError
			if errors.As(err, &found) != (test.want != nil) || test.want == nil && err != nil {
				t.Fatalf("got %v", err)
			}
			if found != nil && (found.Member != test.want.Member || !strings.HasPrefix(found.Problem, test.want.Problem) || !strings.Contains(workflow.Hint(err), test.hint)) {
				t.Errorf("got %v, hint %q", found, workflow.Hint(err))
			}
			if got := server.Requests(); len(got) > 0 {
				t.Errorf("the plan wrote %v", got)
			}
		})
	}
}

func TestAnInterruptedJoinOfAControlPlaneConverges(t *testing.T) {
	t.Parallel()
	all := []facts.Path{facts.JoinConfig, facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest}
	skip := []string{"--skip-phases", "kubelet-start"}
	tests := []struct {
		name     string
		existing []facts.Path
		member   *fakeMember
		node     bool
		// untouched: nothing is stopped; over: the join starts over; flags: of kubeadm.
		untouched, over bool
		flags, removed  []string
	}{
		{name: "before the keys", existing: []facts.Path{facts.JoinConfig}, over: true},
		{name: "before the member was added", existing: []facts.Path{facts.JoinConfig, facts.CAKey, facts.APIServerManifest}, over: true},
		{name: "after the member was removed again", existing: all, over: true, node: true},
		{name: "before its etcd started", existing: []facts.Path{facts.JoinConfig, facts.CAKey}, member: new(announced("cp-2")), over: true, removed: []string{"2"}},
		{name: "before it was promoted", existing: all, member: new(learning("cp-2")), over: true, removed: []string{"2"}, node: true},
		{name: "on a host that was reinstalled since", member: new(announced("cp-2")), untouched: true, removed: []string{"2"}},
		{name: "before kubelet got its certificate", existing: []facts.Path{facts.JoinConfig, facts.CAKey, facts.EtcdMember}, member: new(started("cp-2"))},
		{name: "after its Node registered", existing: all, member: new(started("cp-2")), node: true, flags: skip},
		{name: "after its Node was deleted", existing: all, member: new(started("cp-2"))},
		{name: "by a power loss, with its etcd down", existing: all, member: new(silent("cp-2")), node: true, flags: skip},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			members := []fakeMember{started("cp-1")}
			if test.member != nil {
				members = append(members, *test.member)
			}
			fixture, fake, server, etcd := growing(t, planes, members, test.existing...)
			fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser().AnyTimes()
			if test.node {
				server.Put(planeNode)
			}
			if !test.untouched {
				expectStopJoin(fake).Fails(5, "Unit slipway-kubeadm-join.service not loaded.")
				expectFacts(fake, test.existing...)
			}
			if test.over {
				expectStartOver(fixture, fake)
			} else if !test.untouched {
				expectFacts(fake, test.existing...)
				fake.ExpectRun("rm", "-f", "/etc/kubernetes/pki/apiserver.crt")
			}
			expectPlaneJoin(fake, server, etcd, test.flags...)
			expectForget(fake)
			fixture.MustApply(JoinControlPlane())
			if diff := cmp.Diff(test.removed, etcd.removed); diff != "" {
				t.Errorf("members removed: %s", diff)
			}
			deleted := slices.Contains(server.Requests(), "DELETE /api/v1/nodes/cp-2")
			if deleted != (test.over && test.node) {
				t.Errorf("requests %q", server.Requests())
			}
		})
	}
}

// The member would start with an empty directory, and forget what it has acknowledged.
func TestAMemberWhoseDataIsGoneIsRemovedBeforeItsHostJoinsAgain(t *testing.T) {
	t.Parallel()
	unlisted := fakeMember{name: "cp-9", peer: "192.0.2.19"}
	left := []facts.Path{facts.JoinConfig, facts.CAKey, facts.KubeletConf, facts.APIServerManifest}
	joined := left[1:]
	tests := []struct {
		name     string
		existing []facts.Path
		// other is a member beside those of cp-1 and cp-2; none if it has no name.
		other   fakeMember
		plan    bool
		removed []string
		refused string
	}{
		{name: "on a host that was reinstalled", other: started("cp-3"), removed: []string{"2"}},
		{name: "in a plan", other: started("cp-3"), plan: true},
		{name: "on a host that lost its disk of etcd", existing: left, other: started("cp-3"), removed: []string{"2"}},
		{name: "on a host that had joined, and lost its disk of etcd", existing: joined, other: started("cp-3"), removed: []string{"2"}},
		{name: "beside one of another host", other: unlisted, removed: []string{"2"}},
		{name: "without a majority of the others", refused: "etcd has 2 members, 2 needed, 1 healthy: it has no quorum, and cannot remove cp-2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			members := []fakeMember{started("cp-1"), silent("cp-2")}
			if test.other.name != "" {
				members = append(members, test.other)
			}
			fixture, fake, server, etcd := growing(t, planes+third, members, test.existing...)
			phase := JoinControlPlane()
			phase.On = workflow.HostNamed("cp-2")
			run := fixture.Apply
			if test.plan {
				run = fixture.Plan
			}
			if len(test.existing) > 0 {
				expectStopJoin(fake)
				expectFacts(fake, test.existing...)
				expectStartOver(fixture, fake)
				fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser().AnyTimes()
			}
			if len(test.removed) > 0 {
				expectPlaneJoin(fake, server, etcd)
				expectForget(fake)
			}
			err := run(phase)
			if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Fatalf("got %v, want %q", err, test.refused)
			}
			if err != nil && !strings.Contains(workflow.Hint(err), "start the other control planes") {
				t.Errorf("hint %q", workflow.Hint(err))
			}
			if diff := cmp.Diff(test.removed, etcd.removed); diff != "" {
				t.Errorf("members removed: %s", diff)
			}
			if told := slices.Contains(fixture.Changes(), "remove etcd member cp-2"); told != (test.refused == "") {
				t.Errorf("changes %q", fixture.Changes())
			}
		})
	}
}

// expectFacts expects that the facts of cp-2 are read again. A power loss has truncated
// one of its certificates.
func expectFacts(fake *hosttest.Fake, existing ...facts.Path) {
	out := "arch\tx86_64\nkernel\t6\nmachineID\t" + machine2 + "\nkubeFile\t/etc/kubernetes/pki/apiserver.crt damaged\n"
	for _, path := range existing {
		out += "exists\t" + string(path) + "\n"
	}
	for _, name := range []string{
		"ca.crt", "ca.key", "etcd/ca.crt", "etcd/ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key", "sa.pub",
	} {
		out += "kubeFile\t/etc/kubernetes/pki/" + name + " ok\n"
	}
	fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(out)
}

// The unit of the killed run has completed the join since the facts were read: kubeadm
// would refuse the Node that is ready.
func TestAJoinThatCompletedMeanwhileContinues(t *testing.T) {
	t.Parallel()
	fixture, fake, server, etcd := growing(t, planes, []fakeMember{started("cp-1"), started("cp-2")}, facts.JoinConfig)
	server.Put(planeNode)
	fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser().AnyTimes()
	expectStopJoin(fake)
	for range 2 {
		expectFacts(fake, facts.JoinConfig, facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest)
	}
	fake.ExpectRun("rm", "-f", "/etc/kubernetes/pki/apiserver.crt")
	expectPlaneJoin(fake, server, etcd, "--skip-phases", "kubelet-start")
	expectForget(fake)
	fixture.MustApply(JoinControlPlane())
}

// A plan shows what the apply removes, and removes nothing.
func TestAPlanOfAnInterruptedJoinChangesNothing(t *testing.T) {
	t.Parallel()
	fixture, fake, server, etcd := growing(t, planes, []fakeMember{started("cp-1"), learning("cp-2")}, facts.JoinConfig, facts.CAKey, facts.EtcdMember)
	server.Put(planeNode)
	fake.StrictFiles()
	fixture.MustPlan(JoinControlPlane())
	got := strings.Join(fixture.Changes(), "\n")
	for _, want := range []string{"remove etcd member cp-2", "rm -rf ", "delete node cp-2", JoinControlPlane().Title} {
		if !strings.Contains(got, want) {
			t.Errorf("the plan does not have %q:\n%s", want, got)
		}
	}
	if len(etcd.removed) > 0 || server.Get("/api/v1/nodes/cp-2") == nil {
		t.Errorf("the plan removed members %q, or the Node", etcd.removed)
	}
}

// Otherwise, each of two hosts would wait for the join of the other.
func TestTheMemberOfAnotherInterruptedJoinIsRemoved(t *testing.T) {
	t.Parallel()
	fixture, fake, server, etcd := growing(t, planes+third, []fakeMember{started("cp-1"), announced("cp-3")})
	fixture.Facts("cp-3").Existing = []facts.Path{facts.JoinConfig, facts.CAKey}
	expectStopJoin(fixture.Host("cp-3"))
	expectPlaneJoin(fake, server, etcd)
	expectForget(fake)
	phase := JoinControlPlane()
	phase.On = workflow.HostNamed("cp-2")
	fixture.MustApply(phase)
	if diff := cmp.Diff([]string{"3"}, etcd.removed); diff != "" {
		t.Error(diff)
	}
}

// Its kubeadm ran until it was stopped.
func TestAMemberThatJoinedMeanwhileStays(t *testing.T) {
	t.Parallel()
	fixture, fake, server, etcd := growing(t, planes+third, []fakeMember{started("cp-1"), announced("cp-3")})
	fixture.Facts("cp-3").Existing = []facts.Path{facts.JoinConfig, facts.CAKey}
	expectStopJoin(fixture.Host("cp-3")).Then(func() { etcd.put(started("cp-3")) })
	expectPlaneJoin(fake, server, etcd)
	expectForget(fake)
	phase := JoinControlPlane()
	phase.On = workflow.HostNamed("cp-2")
	fixture.MustApply(phase)
	if len(etcd.removed) > 0 {
		t.Errorf("members %q were removed", etcd.removed)
	}
}

func TestAControlPlaneThatHasJoinedDoesNotJoinAgain(t *testing.T) {
	t.Parallel()
	fixture, fake, server, _ := growing(t, planes, []fakeMember{started("cp-1"), started("cp-2")},
		facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest)
	server.Put(planeNode)
	fixture.Hosts.State().Members = []kube.EtcdMember{{ID: 1, Name: "cp-1"}, {ID: 2, Name: "cp-2"}}
	fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser()
	fixture.MustApply(JoinControlPlane())
	if changes := fixture.Changes(); len(changes)+len(server.Requests()) > 0 {
		t.Errorf("changes %q, requests %q", changes, server.Requests())
	}
}

// Its data is all that may be left of something: only a person may delete it.
func TestAControlPlaneWhoseMemberWasRemovedIsNotTouched(t *testing.T) {
	t.Parallel()
	fixture, fake, server, _ := growing(t, planes, []fakeMember{started("cp-1")},
		facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest)
	server.Put(planeNode)
	fixture.Hosts.State().Members = []kube.EtcdMember{{ID: 1, Name: "cp-1"}}
	fake.StrictFiles()
	expectStopJoin(fake)
	expectFacts(fake, facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest)
	err := fixture.Apply(JoinControlPlane())
	if err == nil || !strings.Contains(err.Error(), "removed from the cluster") || !strings.Contains(workflow.Hint(err), "slipway reset --yes --hosts cp-2") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestWithAnExternalEtcdNoMemberIsAdded(t *testing.T) {
	t.Parallel()
	fixture, fake, server, etcd := growing(t, planes, nil)
	fixture.Cluster.Etcd.External.Endpoints = []string{"https://192.0.2.31:2379"}
	for _, file := range kubeadm.EtcdClientFiles() {
		fixture.Host("cp-1").Put(file.Path, "older")
		fake.Put(file.Path, "of etcd-client")
	}
	expectPlaneJoin(fake, server, etcd)
	expectForget(fake)
	fixture.MustApply(JoinControlPlane())
	for _, file := range kubeadm.EtcdClientFiles() {
		if have, _ := fake.File(file.Path); string(have.Content) != "of etcd-client" {
			t.Errorf("%s of the seed was copied: %q", file.Path, have.Content)
		}
	}
	if _, exists := fake.File("/etc/kubernetes/pki/etcd/ca.key"); exists {
		t.Error("the key of etcd's CA was copied")
	}
}

func TestWithAnExternalEtcdControlPlanesJoinTogether(t *testing.T) {
	t.Parallel()
	fixture, _, server, _ := growing(t, planes+third, nil)
	fixture.Cluster.Etcd.External.Endpoints = []string{"https://192.0.2.31:2379"}
	var running atomic.Int32
	both := make(chan struct{})
	for _, name := range []string{"cp-2", "cp-3"} {
		fake := fixture.Host(name)
		expectPlaneUnit(fake).Then(func() {
			if running.Add(1) == 2 {
				close(both)
			}
			within(t, both, "the other control plane joins")
			server.Put(strings.ReplaceAll(planeNode, "cp-2", name))
		})
		expectRestart(fake)
		expectForget(fake)
	}
	fixture.MustApply(JoinControlPlane())
}

func TestAMissingKeyOfTheSeedIsNamed(t *testing.T) {
	t.Parallel()
	fixture, _, _, _ := growing(t, planes, []fakeMember{started("cp-1")})
	fixture.Host("cp-1").Remove("/etc/kubernetes/pki/ca.key")
	err := fixture.Apply(JoinControlPlane())
	if err == nil || !strings.Contains(err.Error(), "/etc/kubernetes/pki/ca.key") || !strings.Contains(workflow.Hint(err), "put it back on cp-1") {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestControlPlanesJoinOneAtATime(t *testing.T) {
	t.Parallel()
	// The phase that they all wait for runs on no host that joins.
	if phase := JoinControlPlane(); !phase.OneAtATime || phase.On.String() != workflow.OtherControlPlanes.String() || !slices.Equal(phase.NeedsAll, []string{"uncordon-control-planes"}) {
		t.Errorf("got %+v", phase)
	}
}

// within fails the test if a channel is not closed soon.
func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Errorf("not within 20 s: %s", what)
	}
}

func TestTheNextControlPlaneJoinsOnceTheMemberOfTheOneBeforeIsHealthy(t *testing.T) {
	t.Parallel()
	fixture, _, server, etcd := growing(t, planes+third, []fakeMember{started("cp-1")})
	var members, running atomic.Int32
	both := make(chan struct{})
	for _, name := range []string{"cp-2", "cp-3"} {
		fake := fixture.Host(name)
		expectPlaneUnit(fake).Then(func() {
			if running.Add(1) != members.Load()+1 {
				t.Error("a control plane joins before the member of the other one is healthy")
			}
			if running.Load() == 2 {
				close(both)
			}
			members.Add(1)
			etcd.put(started(name))
			within(t, both, "the other control plane joins")
			server.Put(strings.ReplaceAll(planeNode, "cp-2", name))
		})
		expectRestart(fake)
		expectForget(fake)
	}
	fixture.MustApply(JoinControlPlane())
}

func TestKubeletIsRestartedWhenTheAPIServerOfItsHostIsReady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ready bool
		early int
	}{
		"when it is ready":             {true, 1},
		"only after the join if it is": {false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, fake, server, etcd := growing(t, planes, []fakeMember{started("cp-1")})
			joining := fixture.Hosts.All[1]
			// The certificate of the test server is valid for this address.
			joining.Config.NodeIP = "127.0.0.1"
			joining.Facts().Addresses = []facts.Address{{Interface: "eth0", Prefix: netip.MustParsePrefix("127.0.0.1/8")}}
			if test.ready {
				serveAt(fixture, server, "127.0.0.1:6444")
			}
			restarted := make(chan struct{})
			var once sync.Once
			expectPlaneUnit(fake).Then(func() {
				etcd.put(started("cp-2"))
				if test.ready {
					within(t, restarted, "kubelet is restarted")
				}
				server.Put(planeNode)
			})
			expectRestart(fake).Times(1 + test.early).Then(func() { once.Do(func() { close(restarted) }) })
			expectForget(fake)
			fixture.MustApply(JoinControlPlane())
		})
	}
}

func TestAControlPlaneJoinsThroughAnAPIServerThatIsReady(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		ready []string
		// cp3 is what the third control plane has.
		cp3  []facts.Path
		want string
	}{
		{"that of the seed", []string{"192.0.2.11:6444", "192.0.2.13:6444"}, joinedPlane, "192.0.2.11:6444"},
		{"that of the seed is down", []string{"192.0.2.13:6444"}, joinedPlane, "192.0.2.13:6444"},
		{"the seed has the only one", nil, nil, "192.0.2.11:6444"},
		{"the other one has not joined completely", nil, append([]facts.Path{facts.JoinConfig}, joinedPlane...), "192.0.2.11:6444"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, fake, server, etcd := growing(t, planes+third, []fakeMember{started("cp-1"), started("cp-3")})
			fixture.Facts("cp-3").Existing = test.cp3
			serveAt(fixture, server, test.ready...)
			expectPlaneJoin(fake, server, etcd)
			expectForget(fake)
			phase := JoinControlPlane()
			phase.On = workflow.HostNamed("cp-2")
			fixture.MustApply(phase)
			if file, _ := fake.File(discoveryFile); !strings.Contains(string(file.Content), "https://"+test.want) {
				t.Errorf("want %s:\n%s", test.want, file.Content)
			}
		})
	}
}

// A plan does not wait, and has the same error.
func TestAPlanOfAJoinNeedsAnAPIServerThatIsReady(t *testing.T) {
	t.Parallel()
	fixture, _, _, _ := growing(t, planes+third, []fakeMember{started("cp-1"), started("cp-3")})
	fixture.Facts("cp-3").Existing = joinedPlane
	phase := JoinControlPlane()
	phase.On = workflow.HostNamed("cp-2")
	if err := fixture.Plan(phase); err == nil || !strings.Contains(err.Error(), "cp-1: ") || !strings.Contains(err.Error(), "cp-3: ") {
		t.Errorf("got %v", err)
	}
}
