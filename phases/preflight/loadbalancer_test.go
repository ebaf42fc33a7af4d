package preflight

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const (
	keepalived = "controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: keepalived}}\n"
	kubeVIP    = "controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: kube-vip}}\n"
	local      = "controlPlane: {endpoint: api.example, loadBalancer: {type: local}}\n"
	external   = "controlPlane: {endpoint: 192.0.2.100}\n"
)

// balancerCase is a fault in what is known before a load balancer is set up.
type balancerCase struct {
	name, more    string
	change        func(*workflowtest.Fixture, *checkContext)
	want          []string
	evidence, fix string
}

func balancerCases() []balancerCase {
	listener := func(host string, port int, process string) func(*workflowtest.Fixture, *checkContext) {
		return func(b *workflowtest.Fixture, _ *checkContext) {
			b.Facts(host).Listeners = []facts.Listener{{Port: port, Process: process}}
		}
	}
	heard := func(router string, id int) func(*workflowtest.Fixture, *checkContext) {
		return func(_ *workflowtest.Fixture, cc *checkContext) {
			cc.matrix.Routers = []netprobe.Router{
				{Node: "w-1", Address: netip.MustParseAddr("192.0.2.1"), ID: 7},
				{Node: "w-1", Address: netip.MustParseAddr(router), ID: id},
			}
		}
	}
	silent := func(host string) func(*workflowtest.Fixture, *checkContext) {
		return func(_ *workflowtest.Fixture, cc *checkContext) {
			cc.repositories = map[string]string{host: "no package repository answers"}
		}
	}
	answer := func(_ *workflowtest.Fixture, cc *checkContext) {
		cc.matrix.Neighbours = []netprobe.Neighbour{{Node: "w-1", Address: netip.MustParseAddr("192.0.2.100"), MAC: "02:00:00:00:00:99"}}
	}
	address := func(host, prefix string) func(*workflowtest.Fixture, *checkContext) {
		return func(b *workflowtest.Fixture, _ *checkContext) {
			b.Facts(host).Addresses = append(b.Facts(host).Addresses, facts.Address{Interface: "eth0", Prefix: netip.MustParsePrefix(prefix)})
		}
	}
	nothing := func(*workflowtest.Fixture, *checkContext) {}
	return []balancerCase{
		{"all is well with keepalived", keepalived, nothing, nil, "", ""},
		{"all is well with kube-vip", kubeVIP, nothing, nil, "", ""},
		{"all is well with local", local, nothing, nil, "", ""},

		{"another process has the port of the endpoint", keepalived, listener("cp-1", 6443, "nginx"), []string{"endpoint-port cp-1 error"}, "port 6443 is in use by nginx", "another port of controlPlane.endpoint"},
		{"another process has the port of the state", keepalived, listener("cp-1", 10241, "nginx"), []string{"endpoint-port cp-1 error"}, "port 10241 is in use by nginx", "or set controlPlane.loadBalancer.type to kube-vip"},
		{"haproxy has the port", keepalived, listener("cp-1", 6443, "haproxy"), nil, "", ""},
		{"a worker has no haproxy", keepalived, listener("w-1", 6443, "nginx"), nil, "", ""},
		{"each host has one with local", local, listener("w-1", 6443, "nginx"), []string{"endpoint-port w-1 error"}, "in use by nginx", "stop the process"},
		{"only keepalived asks for the state", local, listener("w-1", 10241, "nginx"), nil, "", ""},

		{"a control plane that reaches no repository", keepalived, silent("cp-1"), []string{"load-balancer-packages cp-1 error"}, "haproxy and keepalived are not installed, and no package repository answers", "apt-get install -y haproxy keepalived; or set controlPlane.loadBalancer.type to kube-vip, local (haproxy alone; the endpoint must be a name) or external"},
		{"a worker that reaches no repository", keepalived, silent("w-1"), nil, "", ""},
		{"a worker that reaches no repository with local", local, silent("w-1"), []string{"load-balancer-packages w-1 error"}, "haproxy is not installed", "apt-get install -y haproxy; or set controlPlane.loadBalancer.type to external"},
		{"packages that are installed need no repository", keepalived, func(b *workflowtest.Fixture, cc *checkContext) {
			b.Facts("cp-1").Commands = []string{"tar", "haproxy", "keepalived"}
			silent("cp-1")(b, cc)
		}, nil, "", ""},

		{"an address in use", keepalived, answer, []string{"endpoint-address w-1 error"}, "02:00:00:00:00:99 already answers for 192.0.2.100", "choose a free address"},
		{"an address in use with kube-vip", kubeVIP, answer, []string{"endpoint-address w-1 error"}, "already answers", "choose a free address"},
		{"an address that a load balancer of yours has", external, answer, []string{"vip-taken w-1 warning"}, "already answers", "nothing, if this is your load balancer"},
		{"an address that a control plane holds", keepalived, func(b *workflowtest.Fixture, cc *checkContext) {
			address("cp-1", "192.0.2.100/32")(b, cc)
			answer(b, cc)
		}, nil, "", ""},
		{"an address of a worker", keepalived, address("w-1", "192.0.2.100/24"), []string{"endpoint-address w-1 error"}, "and is no control plane", "choose a free address"},
		{"an address of another network", "controlPlane: {endpoint: 198.51.100.100, loadBalancer: {type: keepalived}}\n", nothing, []string{"endpoint-address cp-1 error"}, "198.51.100.100 is not in the network 192.0.2.0/24", "choose a free address of that network as controlPlane.endpoint; if the control planes have no network in common, set controlPlane.loadBalancer.type to local"},

		{"another router has the ID", keepalived, heard("192.0.2.9", 51), []string{"virtual-router-id w-1 error"}, "192.0.2.9 sends VRRP advertisements with the virtual router ID 51", "in use here: 7 and 51; or set controlPlane.loadBalancer.type to kube-vip"},
		{"another router has another ID", keepalived, heard("192.0.2.9", 52), nil, "", ""},
		{"a control plane has the ID", keepalived, heard("192.0.2.11", 51), nil, "", ""},
		{"the ID is of no use to kube-vip", kubeVIP, heard("192.0.2.9", 51), nil, "", ""},
	}
}

func TestChecksOfLoadBalancers(t *testing.T) {
	t.Parallel()
	for _, test := range balancerCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two+test.more)
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, version: workflowtest.Kubernetes}
			cc.matrix = measuredOf(cc)
			test.change(fixture, cc)
			report := cc.report(Selection{})
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

// Its keepalived runs and may take the address: another ID would let both hold it.
func TestALostHostThatSendsAdvertisementsIsTurnedOff(t *testing.T) {
	t.Parallel()
	const lost = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane], state: lost}
  - {name: cp-3, address: cp-3.example, nodeIP: 192.0.2.13, roles: [control-plane], state: lost}
`
	for name, test := range map[string]struct {
		router string
		nodes  []cluster.Node
		host   string
	}{
		"its address in the inventory": {"192.0.2.12", nil, "cp-2"},
		"its node IP":                  {"192.0.2.13", nil, "cp-3"},
		"the address of its Node":      {"192.0.2.99", []cluster.Node{{Name: "cp-2", Addresses: []string{"192.0.2.99"}}}, "cp-2"},
		"another router":               {"192.0.2.98", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, lost+keepalived)
			fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: test.nodes})
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, matrix: &netprobe.Matrix{
				Routers: []netprobe.Router{{Node: "cp-1", Address: netip.MustParseAddr(test.router), ID: 51}},
			}}
			found := virtualRouterID(cc)
			if len(found) != 1 {
				t.Fatalf("got %+v", found)
			}
			f := found[0]
			named := strings.HasPrefix(f.Evidence, "the lost host "+test.host+" lives: "+test.router+" sends") && strings.HasPrefix(f.Fix, "turn the machine of "+test.host+" off")
			if named != (test.host != "") || test.host == "" && strings.Contains(f.Evidence+f.Fix, "cp-") {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// It runs and is a peer of the others. With another ID, both would hold the address.
func TestAControlPlaneThatWasOnlyDeletedFromTheInventoryIsListedAgain(t *testing.T) {
	t.Parallel()
	member := []kube.EtcdMember{{Name: "cp-9", PeerURLs: []string{"https://192.0.2.19:2380"}}}
	node := []cluster.Node{{Name: "cp-9", ControlPlane: true, Addresses: []string{"192.0.2.19"}}}
	for name, test := range map[string]struct {
		router   string
		state    cluster.State
		existing []facts.Path
		severity check.Severity
		unlisted bool
	}{
		"by its member, and cp-1 is new": {"192.0.2.19", cluster.State{Members: member}, nil, "", true},
		"by its Node, and cp-1 is new":   {"192.0.2.19", cluster.State{Nodes: node}, nil, "", true},
		"and no control plane is new":    {"192.0.2.19", cluster.State{Nodes: node}, []facts.Path{facts.APIServerManifest}, check.Warning, true},
		"but no other router":            {"192.0.2.98", cluster.State{Members: member, Nodes: node}, nil, "", false},
		"and no worker":                  {"192.0.2.29", cluster.State{Nodes: []cluster.Node{{Name: "w-9", Addresses: []string{"192.0.2.29"}}}}, nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two+keepalived)
			fixture.Facts("cp-1").Existing = test.existing
			test.state.Exists = true
			fixture.Hosts.SetState(&test.state)
			found := virtualRouterID(&checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, matrix: &netprobe.Matrix{
				Routers: []netprobe.Router{{Node: "w-1", Address: netip.MustParseAddr(test.router), ID: 51}},
			}})
			if len(found) != 1 || found[0].Severity != test.severity {
				t.Fatalf("got %+v", found)
			}
			f := found[0]
			listed := strings.HasPrefix(f.Evidence, "cp-9 (192.0.2.19) is a control plane") && strings.HasPrefix(f.Fix, "add cp-9 (192.0.2.19) to the inventory again")
			if another := strings.Contains(f.Fix, "virtualRouterID"); listed != test.unlisted || another == test.unlisted {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// Another ID would let two hosts hold the address.
func TestTheVirtualRouterIDOfAControlPlaneIsItsOwn(t *testing.T) {
	t.Parallel()
	const replaced = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane], state: absent}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
`
	unreachable := func(f *workflowtest.Fixture) { f.Hosts.Leaving[0].SetFacts(nil) }
	unread := func(f *workflowtest.Fixture) { f.Hosts.Leaving = nil }
	for name, test := range map[string]struct {
		router   string
		change   func(*workflowtest.Fixture)
		nodes    []cluster.Node
		findings int
	}{
		"one that leaves":                                    {"192.0.2.11", nil, nil, 0},
		"one that leaves and is unreachable":                 {"192.0.2.99", unreachable, []cluster.Node{{Name: "cp-1", Addresses: []string{"192.0.2.99"}}}, 0},
		"one that is unreachable, and whose Node is unknown": {"192.0.2.11", unreachable, nil, 0},
		"one that the run does not read":                     {"192.0.2.11", unread, nil, 0},
		"another router":                                     {"192.0.2.98", unreachable, []cluster.Node{{Name: "cp-1", Addresses: []string{"192.0.2.99"}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, replaced+keepalived)
			if test.change != nil {
				test.change(fixture)
			}
			fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: test.nodes})
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, matrix: &netprobe.Matrix{
				Routers: []netprobe.Router{{Node: "cp-2", Address: netip.MustParseAddr(test.router), ID: 51}},
			}}
			if found := virtualRouterID(cc); len(found) != test.findings {
				t.Errorf("got %+v", found)
			}
		})
	}
}

func TestFirewallsOfControlPlanesWithKeepalivedAcceptVRRP(t *testing.T) {
	t.Parallel()
	for more, want := range map[string][]string{keepalived: {"cp-1"}, kubeVIP: nil} {
		fixture := workflowtest.New(t, two+more)
		for _, h := range fixture.Hosts.All {
			h.Facts().Firewalls = []string{"ufw"}
		}
		var got []string
		for _, f := range firewall(&checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}) {
			if strings.Contains(f.Fix, "IP protocol 112 (VRRP)") {
				got = append(got, f.Host)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", more, diff)
		}
	}
}

func TestFirewalldRejectsPacketsToPodsThatAreNotEncapsulated(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]bool{"": false, "network: {cni: {backend: host-gw}}\n": true, "network: {cni: {name: calico, backend: ipip}}\n": false} {
		fixture := workflowtest.New(t, two+more)
		fixture.Facts("w-1").ActiveUnits = []string{"firewalld.service"}
		found := firewall(&checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts})
		got := slices.ContainsFunc(found, func(f check.Finding) bool { return strings.Contains(f.Fix, "--add-egress-zone=trusted") })
		if got != want {
			t.Errorf("%q: %+v", more, found)
		}
	}
}

func TestOnlyHostsThatLackPackagesAskTheirRepositories(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two+local)
	fixture.Facts("cp-1").Commands = []string{"haproxy"}
	fixture.Host("w-1").ExpectQueryScript("repository.sh", "haproxy").Returns("no package repository answers\nsecond line\n")
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}
	cc.readRepositories(t.Context())
	want := map[string]string{"w-1": "no package repository answers; second line"}
	if diff := cmp.Diff(want, cc.repositories); diff != "" {
		t.Error(diff)
	}
}

func TestHostsThatLackModulesAskTheirRepositoriesForThem(t *testing.T) {
	t.Parallel()
	const extra = "kernel-modules-extra-6.12.0-55.el10.x86_64"
	for answer, want := range map[string]check.Finding{
		"": {Severity: check.Info, Fix: "nothing: slipway installs " + extra},
		"no package repository has " + extra + "\n": {Severity: check.Error, Fix: "reboot"},
	} {
		fixture := workflowtest.New(t, two+local)
		for name, commands := range map[string][]string{"cp-1": nil, "w-1": {"haproxy"}} {
			f := fixture.Facts(name)
			f.OS, f.Kernel, f.Commands = facts.OS{ID: "rocky"}, "6.12.0-55.el10.x86_64", append(f.Commands, commands...)
		}
		without("xt_comment", "br_netfilter")(fixture.Facts("w-1"))
		fixture.Host("cp-1").ExpectQueryScript("repository.sh", "haproxy")
		fixture.Host("w-1").ExpectQueryScript("repository.sh", extra).Returns(answer)
		cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}
		cc.readRepositories(t.Context())
		if found := loadBalancerPackages(cc); len(found) > 0 {
			t.Errorf("%q says that haproxy is missing: %v", answer, found)
		}
		for module, found := range map[string][]check.Finding{"xt_comment": kernel(cc), "br_netfilter": brNetfilter(cc)} {
			if len(found) != 1 || found[0].Host != "w-1" || !strings.Contains(found[0].Evidence, "has no module "+module) || !strings.Contains(found[0].Fix, want.Fix) {
				t.Errorf("%q: %+v", answer, found)
			}
			if severity := found[0].Severity; severity != want.Severity && (severity != "" || want.Severity != check.Error) {
				t.Errorf("%q is of severity %q", answer, severity)
			}
		}
	}
}

func TestKeepalivedListensForRoutersAndNeedsThePortOfTheEndpoint(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]bool{keepalived: true, kubeVIP: false, local: false} {
		fixture := workflowtest.New(t, two+more)
		cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}
		cc.probe = func(_ context.Context, _ []netprobe.Node, needs []netprobe.Need, o netprobe.Options) (*netprobe.Matrix, error) {
			endpoint := false
			for _, need := range needs {
				endpoint = endpoint || need.Port == 6443 && need.Use == "endpoint: haproxy"
			}
			if o.Routers != want || endpoint != want {
				t.Errorf("%s: listens for routers: %v, needs the port of the endpoint: %v", more, o.Routers, endpoint)
			}
			return &netprobe.Matrix{}, nil
		}
		cc.measure(t.Context(), Selection{})
	}
}
