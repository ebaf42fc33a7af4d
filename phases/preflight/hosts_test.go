package preflight

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const two = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// journaled is a host that slipway has worked on.
func journaled(f *facts.Facts) { f.Existing = append(f.Existing, journal.Dir) }

// reportOf is the report of a fixture whose bundle has the wanted version,
// nothing measured.
func reportOf(fixture *workflowtest.Fixture) *check.Report {
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, version: workflowtest.Kubernetes, arches: []string{"amd64"}, unmeasured: "no packets in this test"}
	return cc.report(Selection{})
}

// told lists the findings of a report as "check host severity".
func told(report *check.Report) []string {
	var all []string
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			all = append(all, strings.Join([]string{f.Check, f.Host, string(f.Severity)}, " "))
		}
	}
	return all
}

// complete fails the test for findings that do not say what was seen and what
// to do.
func complete(t *testing.T, report *check.Report) {
	t.Helper()
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			if f.Evidence == "" || f.Fix == "" || f.Check == "" || f.Severity == "" {
				t.Errorf("%+v does not say what was seen and what to do", f)
			}
		}
	}
}

// hostsCase is a fault among the facts of several hosts, or in the
// inventory.
type hostsCase struct {
	name, more string
	change     func(*workflowtest.Fixture)
	want       []string
}

func hostsCases() []hostsCase {
	worker := func(change func(*facts.Facts)) func(*workflowtest.Fixture) {
		return func(b *workflowtest.Fixture) { change(b.Facts("w-1")) }
	}
	both := func(change func(*facts.Facts)) func(*workflowtest.Fixture) {
		return func(b *workflowtest.Fixture) { change(b.Facts("cp-1")); change(b.Facts("w-1")) }
	}
	return []hostsCase{
		{"ordinary hosts", "", func(*workflowtest.Fixture) {}, nil},
		{"no address", "", worker(func(f *facts.Facts) { f.Addresses, f.Routes = nil, nil }), []string{"node-address w-1 error"}},
		{"a nodeIP that the host has not", "", func(b *workflowtest.Fixture) { b.Hosts.All[1].Config.NodeIP = "203.0.113.1" }, []string{"node-address w-1 error"}},
		{"hosts behind one NAT", "", func(b *workflowtest.Fixture) {
			for _, name := range []string{"cp-1", "w-1"} {
				f := b.Facts(name)
				f.Addresses = []facts.Address{{Interface: "eth0", Prefix: prefix("10.0.2.15/24")}}
			}
		}, []string{"nat-address  error"}},
		{"hosts behind one NAT with addresses of their own", "", both(func(f *facts.Facts) {
			f.Addresses = append([]facts.Address{{Interface: "eth0", Prefix: prefix("10.0.2.15/24")}}, facts.Address{Interface: "eth1", Prefix: f.Addresses[0].Prefix})
		}), []string{"flannel-interface cp-1 info", "flannel-interface w-1 info"}},
		{"a kubelet certificate for a host without an address in the inventory", metrics, func(b *workflowtest.Fixture) {
			setAddress(b, config.Host{Name: "w-1", Address: "w-1.example"})
		}, []string{"serving-certificate w-1 error"}},
		{"a kubelet certificate for a host with a name as address and nodeIP", metrics, func(b *workflowtest.Fixture) {
			setAddress(b, config.Host{Name: "w-1", Address: "w-1.example", NodeIP: "192.0.2.21"})
		}, nil},
		{"a kubelet certificate for a host behind a floating address", metrics, func(b *workflowtest.Fixture) {
			setAddress(b, config.Host{Name: "w-1", Address: "198.51.100.21"})
		}, []string{"serving-certificate w-1 error"}},
		{"a kubelet certificate for the address of the API server", "controlPlane: {certSANs: [192.0.2.21]}\n" + metrics, func(*workflowtest.Fixture) {}, []string{"serving-certificate w-1 error"}},
		{"no kubelet certificate and no address in the inventory", "", func(b *workflowtest.Fixture) {
			setAddress(b, config.Host{Name: "w-1", Address: "w-1.example"})
		}, nil},
		{"two distributions", "", worker(func(f *facts.Facts) { f.OS = facts.OS{ID: "rocky", Version: "9"} }), []string{"os-mix  info"}},
		{"a bundle of another version", "kubernetes: {version: v1.36.1}", func(*workflowtest.Fixture) {}, []string{"version  error"}},
		{"an architecture that the bundle lacks", "", worker(func(f *facts.Facts) { f.Arch = "arm64" }), []string{"bundle-architecture w-1 error", "os-mix  info"}},
		{"a clock that is off", "", worker(func(f *facts.Facts) { f.Skew = -31 * time.Second }), []string{"clock-skew w-1 error"}},
		{"a clock that is a little off", "", worker(func(f *facts.Facts) { f.Skew = -30 * time.Second }), nil},
		{"a clock that nothing keeps right", "", worker(func(f *facts.Facts) { f.ActiveUnits = nil }), []string{"clock-skew w-1 warning"}},
		{"the clock of a container", "", worker(func(f *facts.Facts) { f.ActiveUnits, f.Existing = nil, []facts.Path{"/run/systemd/container"} }), nil},
		{"clocks that are all off alike", "", both(func(f *facts.Facts) { f.Skew = time.Hour }), nil},
		{"cloned hosts", "", both(func(f *facts.Facts) {
			f.Hostname, f.MachineID, f.ProductUUID, f.MACs = "debian", "aa", "bb", []string{"cc"}
		}), []string{"duplicate-hostname  error", "duplicate-machine-id  error", "duplicate-uuid  error", "duplicate-mac  error"}},
		{"what is not known is no duplicate", "", both(func(f *facts.Facts) { f.Hostname, f.MachineID, f.ProductUUID, f.MACs = "", "", "", nil }), nil},
		{"a bridge with the MAC of its interface", "", worker(func(f *facts.Facts) { f.MACs = []string{"02:01", "02:01"} }), nil},

		{"a route within the pods' range", "", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.7.0/24"), Interface: "docker0"})
		}), []string{"cidr-overlap w-1 error"}},
		{"a route that holds both ranges", "", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.0.0.0/8"), Interface: "eth0"})
		}), []string{"cidr-overlap w-1 error", "cidr-overlap w-1 error"}},
		{"a name server within the services' range", "", worker(func(f *facts.Facts) { f.Resolvers = []netip.Addr{netip.MustParseAddr("10.96.0.10")} }), []string{"cidr-overlap w-1 error"}},
		{"a name server elsewhere", "", worker(func(f *facts.Facts) { f.Resolvers = []netip.Addr{netip.MustParseAddr("198.51.100.53")} }), nil},
		{"ranges of the inventory", "network: {podSubnet: 172.20.0.0/16}", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("172.20.3.0/24"), Interface: "eth1"})
		}), []string{"cidr-overlap w-1 error"}},
		{"routes through Calico's tunnels", "", worker(func(f *facts.Facts) {
			for _, name := range []string{"vxlan.calico", "tunl0", "wireguard.cali", "cali0f1e2d3c4b5"} {
				f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.80.192/26"), Interface: name})
			}
		}), nil},
		{"Calico's own routes without a tunnel", "network: {cni: {name: calico, backend: bgp}}", worker(func(f *facts.Facts) {
			journaled(f)
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.80.192/26"), Interface: "eth0"})
		}), nil},
		{"host-gw's own routes", "network: {cni: {backend: host-gw}}", worker(func(f *facts.Facts) {
			journaled(f)
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.1.0/24"), Interface: "eth0"})
		}), nil},
		{"routes like host-gw's before slipway was there", "network: {cni: {backend: host-gw}}", worker(func(f *facts.Facts) {
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.1.0/24"), Interface: "eth0"})
		}), []string{"cidr-overlap w-1 error"}},
		{"a route of another to all of host-gw's range", "network: {cni: {backend: host-gw}}", worker(func(f *facts.Facts) {
			journaled(f)
			f.Routes = append(f.Routes, facts.Route{Destination: prefix("10.244.0.0/16"), Interface: "eth0"})
		}), []string{"cidr-overlap w-1 error"}},
		{"volumes without nodes", "preflight: {expect: [{name: longhorn}], ignore: []}", both(func(f *facts.Facts) {
			f.Commands, f.ActiveUnits, f.Existing = append(f.Commands, "iscsiadm", "mount.nfs"), append(f.ActiveUnits, "iscsid.service"), []facts.Path{"/etc/iscsi/initiatorname.iscsi"}
			f.Modules = append(f.Modules, "iscsi_tcp")
		}), []string{"replicas  warning"}},
		{"an ingress that is retired", "preflight: {expect: [{name: ingress-nginx}]}", func(*workflowtest.Fixture) {}, []string{"ingress-nginx-retired  warning"}},
		{"a pool that is free", "preflight: {expect: [{name: load-balancer, addresses: [192.0.2.240/28]}]}", func(*workflowtest.Fixture) {}, nil},
		{"a pool that holds a host", "preflight: {expect: [{name: load-balancer, addresses: [192.0.2.20-192.0.2.30]}]}", func(*workflowtest.Fixture) {}, []string{"lb-pool w-1 error"}},
		{"a pool of another network", "preflight: {expect: [{name: load-balancer, addresses: [198.51.100.7]}]}", func(*workflowtest.Fixture) {}, []string{"lb-pool  warning"}},
		{"a pool within the services' range", "preflight: {expect: [{name: load-balancer, addresses: [10.96.7.0/24]}]}", func(*workflowtest.Fixture) {}, []string{"lb-pool  error"}},
		{"no node that announces", "preflight: {expect: [{name: load-balancer}]}", func(b *workflowtest.Fixture) {
			b.Cluster.Hosts = b.Cluster.Hosts[:1]
		}, []string{"exclude-lb  warning"}},
	}
}

const metrics = "addons: [{name: metrics-server}]"

// setAddress replaces w-1 in the inventory, and keeps its facts.
func setAddress(fixture *workflowtest.Fixture, h config.Host) {
	fixture.Cluster.Hosts[1], fixture.Hosts.All[1].Config = h, h
}

func TestChecksAcrossHosts(t *testing.T) {
	t.Parallel()
	for _, test := range hostsCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two+test.more+"\n")
			test.change(fixture)
			report := reportOf(fixture)
			if diff := cmp.Diff(test.want, told(report)); diff != "" {
				t.Error(diff)
			}
			complete(t, report)
		})
	}
}

func TestAFreeRangeIsProposed(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Facts("w-1").Routes = append(fixture.Facts("w-1").Routes,
		facts.Route{Destination: prefix("10.0.0.0/8"), Interface: "tun0"}, facts.Route{Destination: prefix("192.168.7.0/24"), Interface: "eth1"})
	fixes := map[string]bool{}
	for _, f := range reportOf(fixture).Findings(check.Error) {
		fixes[f.Fix] = true
	}
	want := map[string]bool{"set in the inventory: network.podSubnet: 172.28.0.0/16": true, "set in the inventory: network.serviceSubnet: 172.30.0.0/16": true}
	if diff := cmp.Diff(want, fixes); diff != "" {
		t.Error(diff)
	}
}

func TestThreeControlPlanesAreNoProblem(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, `
controlPlane: {endpoint: api.example}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
`)
	if diff := cmp.Diff([]string(nil), told(reportOf(fixture))); diff != "" {
		t.Error(diff)
	}
}

func TestClockSkewIsMeasuredAgainstTheMedianOfAllHosts(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two+"  - {name: w-2, address: 192.0.2.22}\n")
	fixture.Facts("cp-1").Skew = time.Hour
	if diff := cmp.Diff([]string{"clock-skew cp-1 error"}, told(reportOf(fixture))); diff != "" {
		t.Error(diff)
	}
}

func TestAnEvenNumberOfControlPlanesIsReportedAlthoughTheInventoryAllowsIt(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, `
controlPlane: {endpoint: api.example}
preflight: {ignore: [{check: even-etcd, reason: on the way to three}]}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
`)
	for _, c := range reportOf(fixture).Checks {
		if c.Name == "even-etcd" && (len(c.Findings) != 1 || c.Findings[0].Ignored != "on the way to three" || c.Status != check.OK) {
			t.Errorf("got %+v", c)
		}
	}
}

func TestAnEvenNumberOfControlPlanesIsAnErrorOfANewCluster(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		state *cluster.State
		want  []string
	}{
		{"before the cluster is read", nil, []string{"even-etcd  error"}},
		{"a new cluster", &cluster.State{}, []string{"even-etcd  error"}},
		{"a cluster that has lost one", &cluster.State{Exists: true}, []string{"even-etcd  warning"}},
	} {
		fixture := workflowtest.New(t, leavingInventory("present", "present", "lost"))
		fixture.Cluster.Preflight.Ignore = nil
		cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "none", state: test.state}
		if diff := cmp.Diff(test.want, told(cc.report(Selection{Only: []string{"even-etcd"}}))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestAHostWithoutAnAddressIsReportedEvenIfItIsUnreachable(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two+metrics)
	setAddress(fixture, config.Host{Name: "w-1", Address: "w-1.example"})
	fixture.Hosts.All[1].SetFacts(nil)
	found := reportOf(fixture).Findings(check.Error)
	if len(found) != 1 || found[0].Check != "serving-certificate" || found[0].Fix != "set nodeIP of w-1 in the inventory" {
		t.Errorf("got %+v", found)
	}
}

func TestABundleWithoutAnArchitectureNamesTheHostAndTheCommand(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Facts("w-1").Arch = "arm64"
	for _, c := range reportOf(fixture).Checks {
		if c.Name != "bundle-architecture" {
			continue
		}
		want := []check.Finding{{
			Check: c.Name, Host: "w-1", Severity: check.Error,
			Evidence: "the architecture is arm64, and the bundle has amd64 only",
			Fix:      "slipway bundle create DIR -i INVENTORY --arch amd64,arm64, and set artifacts.bundle: DIR",
		}}
		if diff := cmp.Diff(want, c.Findings); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
