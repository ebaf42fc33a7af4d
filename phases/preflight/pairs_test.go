package preflight

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// measuredOf is a matrix without faults, for the needs of a check context.
func measuredOf(cc *checkContext) *netprobe.Matrix {
	m := &netprobe.Matrix{Needs: cc.needs(), Absent: map[string]string{}}
	for _, need := range m.Needs {
		for _, from := range need.From {
			for _, to := range need.To {
				if from != to {
					m.Links = append(m.Links, netprobe.Link{From: from, To: to, Protocol: need.Protocol, Port: need.Port, Status: netprobe.Reached})
				}
			}
		}
	}
	for _, from := range cc.hosts.Names() {
		for _, to := range cc.hosts.Names() {
			if from != to {
				m.Paths = append(m.Paths, netprobe.Path{From: from, To: to, MTU: 1500, Wanted: 1500, RoundTrip: time.Millisecond})
			}
		}
	}
	m.Disks = []netprobe.Disk{{Node: "cp-1", Path: "/var/lib", P99: 2 * time.Millisecond, Writes: 200}}
	return m
}

// link is the one of that port between two hosts.
func link(m *netprobe.Matrix, from, to string, port int) *netprobe.Link {
	for i, link := range m.Links {
		if link.From == from && link.To == to && link.Port == port {
			return &m.Links[i]
		}
	}
	return nil
}

// pairCase is a fault in what was measured.
type pairCase struct {
	name, more    string
	change        func(*netprobe.Matrix)
	want          []string
	evidence, fix string
}

func pairCases() []pairCase {
	const endpoint = "controlPlane: {endpoint: 192.0.2.100}\n"
	vip := netip.MustParseAddr("192.0.2.100")
	return []pairCase{
		{"all is well", "", func(*netprobe.Matrix) {}, nil, "", ""},
		{"a port that a firewall drops", "", func(m *netprobe.Matrix) { link(m, "w-1", "cp-1", 6443).Status = netprobe.TimedOut }, []string{"reachability cp-1 error"}, "tcp 6443 (API server) is unreachable from w-1: timed out", "ufw allow 6443/tcp"},
		{"a port that a firewall refuses", "", func(m *netprobe.Matrix) { link(m, "cp-1", "w-1", 8472).Status = netprobe.Refused }, []string{"reachability w-1 error"}, "udp 8472 (VXLAN of Flannel) is unreachable from cp-1: refused", "firewall-cmd --permanent --add-port=8472/udp"},
		{"another host answers", "", func(m *netprobe.Matrix) {
			*link(m, "cp-1", "w-1", 10250) = netprobe.Link{From: "cp-1", To: "w-1", Protocol: netprobe.TCP, Port: 10250, Status: netprobe.Elsewhere, Detail: "w-9"}
		}, []string{"reachability w-1 error"}, "another host answers cp-1: w-9", "ip -4 addr"},
		{"a port in use", "", func(m *netprobe.Matrix) { link(m, "cp-1", "w-1", 8472).Status = netprobe.Occupied }, []string{"reachability w-1 unknown"}, "could not be tested", "ss -lnp 'sport = :8472'"},
		{"a host without the probe", "", func(m *netprobe.Matrix) { m.Absent["w-1"] = "noexec" }, []string{"reachability w-1 unknown"}, "noexec", "/var/tmp"},
		{"a path that loses large packets", "", func(m *netprobe.Matrix) { m.Paths[0].MTU = 1450 }, []string{"mtu w-1 error"}, "packets of 1500 bytes are lost; up to 1450 bytes pass", "network.cni.mtu: 1400"},
		{"a path that is small enough for the pods", "network: {cni: {mtu: 1400}}\n", func(m *netprobe.Matrix) { m.Paths[0].MTU = 1450 }, nil, "", ""},
		{"a path that is too small for the pods all the same", "network: {cni: {mtu: 1401}}\n", func(m *netprobe.Matrix) { m.Paths[0].MTU = 1450 }, []string{"mtu w-1 error"}, "up to 1450", "network.cni.mtu: 1400"},
		{"a path that was not measured", "", func(m *netprobe.Matrix) { m.Paths[0].MTU = 0 }, nil, "", ""},
		{"hosts far apart", "", func(m *netprobe.Matrix) { m.Paths[0].RoundTrip = 51 * time.Millisecond }, []string{"latency w-1 warning"}, "takes 51ms", "closer"},
		{"a control plane and a worker not so far apart", "", func(m *netprobe.Matrix) { m.Paths[0].RoundTrip = 50 * time.Millisecond }, nil, "", ""},
		{"addresses that are translated", "", func(m *netprobe.Matrix) { link(m, "w-1", "cp-1", 6443).SeenAs = netip.MustParseAddr("192.0.2.1") }, []string{"translated-address cp-1 warning"}, "sees w-1 as 192.0.2.1, not as 192.0.2.21", "nodeIP"},
		{"an endpoint that is not in use", endpoint, func(*netprobe.Matrix) {}, nil, "", ""},
		{"an endpoint in use", endpoint, func(m *netprobe.Matrix) {
			m.Neighbours = []netprobe.Neighbour{{Node: "w-1", Address: vip, MAC: "02:00:00:00:00:99"}}
		}, []string{"vip-taken w-1 warning"}, "02:00:00:00:00:99 already answers for 192.0.2.100", "choose an unused controlPlane.endpoint"},
		{"a slow disk", "", func(m *netprobe.Matrix) { m.Disks[0].P99 = 11 * time.Millisecond }, []string{"disk-latency cp-1 warning"}, "takes up to 11ms", "SSD"},
		{"a disk that is too slow", "", func(m *netprobe.Matrix) { m.Disks[0].P99 = 101 * time.Millisecond }, []string{"disk-latency cp-1 error"}, "101ms", "SSD"},
		{"a disk that could not be measured", "", func(m *netprobe.Matrix) { m.Disks[0].Error = "no space" }, []string{"disk-latency cp-1 unknown"}, "no space", "SSD"},
		{"a pool with an address in use", "preflight: {expect: [{name: load-balancer, addresses: [192.0.2.240/28]}]}\n", func(m *netprobe.Matrix) {
			m.Neighbours = []netprobe.Neighbour{{Node: "w-1", Address: netip.MustParseAddr("192.0.2.241"), MAC: "02:00:00:00:00:99"}}
		}, []string{"lb-pool w-1 error"}, "02:00:00:00:00:99 already answers for 192.0.2.241", "choose other addresses"},
	}
}

func TestWhatSlipwayOpensIsNoFault(t *testing.T) {
	t.Parallel()
	for more, want := range map[string][]string{"": {"reachability w-1 info"}, "firewall: leave\n": {"reachability w-1 error"}} {
		fixture := workflowtest.New(t, two+more)
		fixture.Facts("w-1").Firewalls = []string{"ufw"}
		cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, version: workflowtest.Kubernetes}
		cc.matrix = measuredOf(cc)
		link(cc.matrix, "cp-1", "w-1", 10250).Status = netprobe.TimedOut
		if diff := cmp.Diff(want, told(cc.report(Selection{Only: []string{"reachability"}}))); diff != "" {
			t.Errorf("%q: %s", more, diff)
		}
	}
}

func TestChecksOfPairs(t *testing.T) {
	t.Parallel()
	for _, test := range pairCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two+test.more)
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, version: workflowtest.Kubernetes}
			cc.matrix = measuredOf(cc)
			test.change(cc.matrix)
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

func TestFailedMeasurementsAreUnknownAndOmittedOnesSkipped(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want check.Severity
	}{
		"left out":            {nil, check.Skipped},
		"it could not be had": {errors.New("no probe"), check.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, unmeasured: "the reason", measureErr: test.err}
			for _, c := range cc.report(Selection{}).Checks {
				if c.Name != "reachability" {
					continue
				}
				told := c.Reason
				if test.want == check.Unknown {
					told = c.Findings[0].Evidence
				}
				if c.Status != test.want || told != "the reason" {
					t.Errorf("got %+v", c)
				}
			}
		})
	}
}
