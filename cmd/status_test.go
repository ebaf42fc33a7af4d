package cmd

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/viper"

	"slipway.io/slipway/phases/status"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
)

// haStatus is the status of a cluster whose first control plane is off.
func haStatus() status.Status {
	return status.Status{
		Cluster: "lab", Exists: true, Complete: true, Version: "v1.36.4",
		Hosts: []status.Host{
			{
				Name: "cp-1", Roles: []config.Role{config.RoleControlPlane}, Unreachable: "cp-1: unreachable: no route to host", Off: true,
				Node: &cluster.Node{Name: "cp-1", Why: "not Ready: NodeStatusUnknown"},
			},
			{Name: "cp-2", Roles: []config.Role{config.RoleControlPlane}, Node: &cluster.Node{Name: "cp-2", Ready: true}},
		},
		Endpoint:   &status.Endpoint{Address: "192.0.2.100:6443", LoadBalancer: "keepalived", Holders: []string{"cp-2"}},
		APIServers: []status.APIServer{{Host: "cp-1", Problem: "the host is unreachable"}, {Host: "cp-2", Address: "192.0.2.12:6444", Ready: true}},
		Etcd: []status.Member{
			{Name: "cp-1", ID: "1", PeerURLs: []string{"https://192.0.2.11:2380"}, Voting: true, Problem: "no control plane that answers has it"},
			{Name: "cp-2", ID: "2", PeerURLs: []string{"https://192.0.2.12:2380"}, Host: "cp-2", Voting: true, Healthy: true, Leader: true},
			{Name: "cp-3", ID: "3", PeerURLs: []string{"https://192.0.2.13:2380"}, Host: "cp-3", Healthy: true},
		},
		Quorum:       &status.Quorum{Quorum: kube.Quorum{Members: 3, Healthy: 2}, Needed: 2},
		Degradations: []string{"cp-1 is unreachable"},
	}
}

func TestTheStatusOfADegradedClusterIsPrinted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{out: &out, settings: viper.New()}
	if code := exitCode(a.showStatus(haStatus())); code != exitDegraded {
		t.Errorf("exit code %d", code)
	}
	want := `lab: Kubernetes v1.36.4, pod network , pods , services 
          HOST  ROLES          NODE       KUBELET  CERTIFICATES  NOTE
degraded  cp-1  control-plane  not ready                         unreachable: no route to host
ok        cp-2  control-plane  ready
endpoint 192.0.2.100:6443 (keepalived), its address is on cp-2
API server of cp-1: not ready: the host is unreachable
API server of cp-2: ready at 192.0.2.12:6444
etcd member 1  cp-1  https://192.0.2.11:2380  not healthy: no control plane that answers has it
etcd member 2  cp-2  https://192.0.2.12:2380  leader, votes, healthy
etcd member 3  cp-3  https://192.0.2.13:2380  learner, healthy
etcd: 3 members, 2 needed, 2 healthy: tolerates no failure
degraded: cp-1 is unreachable
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	a.settings.Set("output", "json")
	if code := exitCode(a.showStatus(haStatus())); code != exitDegraded {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{`"degraded": [`, `"tolerates": 0`, `"healthy": 2`, `"holders": [`, `"leader": true`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestTheExitCodeOfStatus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*status.Status)
		want   int
	}{
		"a host is off": {func(*status.Status) {}, exitDegraded},
		"all is well": {func(s *status.Status) {
			s.Hosts, s.Degradations = s.Hosts[1:], nil
		}, exitOK},
		"a node is not ready although its host answers": {func(s *status.Status) {
			s.Hosts[1].Node = &cluster.Node{Name: "cp-2"}
		}, exitValidation},
		"a lost host still has its node": {func(s *status.Status) {
			s.Hosts = append(s.Hosts[1:], status.Host{Name: "cp-3", State: config.StateLost, Node: &cluster.Node{Name: "cp-3"}})
		}, exitDegraded},
		"the API server does not answer": {func(s *status.Status) { s.API, s.Degradations = "refused", nil }, exitValidation},
		// The run itself fails with the error of the host.
		"a host refuses the key": {func(s *status.Status) { s.Hosts[1].Unreachable = "permission denied" }, exitOK},
		"there is no cluster":    {func(s *status.Status) { *s = status.Status{} }, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := haStatus()
			test.change(&s)
			if got := exitCode(unhealthy(s)); got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}
		})
	}
}

func TestTheStatusOfANodeSaysWhyItIsCordoned(t *testing.T) {
	t.Parallel()
	for want, node := range map[string]*cluster.Node{
		"-":                             nil,
		"ready":                         {Ready: true},
		"not ready":                     {Cordoned: true},
		"ready, cordoned":               {Ready: true, Cordoned: true},
		"ready, cordoned (maintenance)": {Ready: true, Cordoned: true, CordonReason: kube.CordonedForMaintenance},
	} {
		if got := nodeRow(node); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
