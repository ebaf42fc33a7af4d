package hostprep

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const (
	ha = `
controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: keepalived}}
addons: [{name: traefik}, {name: metallb, addresses: [192.0.2.200/30]}]
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`
	etcd = `
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: e-1, address: 192.0.2.31, roles: [etcd]}
`
	ufwScript = "/var/lib/slipway/firewall/ufw.sh"
	ufwState  = "/var/lib/slipway/firewall/ufw"
)

func TestFirewallsAreOpenedByRole(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, inventory, host string
		leaves                bool
		want                  []string
	}{
		{"a control plane that everybody uses", two, "cp-1", false, []string{"pods 10.244.0.0/16", "services 10.96.0.0/12", "192.0.2.21 udp 8472", "any tcp 6443,30000:32767", "any udp 30000:32767"}},
		{"a worker", two, "w-1", false, []string{"pods 10.244.0.0/16", "services 10.96.0.0/12", "192.0.2.11 tcp 10250", "192.0.2.11 udp 8472", "any tcp 30000:32767", "any udp 30000:32767"}},
		{"a control plane with keepalived and etcd", ha, "cp-2", false, []string{
			"pods 10.244.0.0/16", "services 10.96.0.0/12",
			"192.0.2.11 tcp 2379,2380,6444,7946,10250", "192.0.2.11 udp 7946,8472", "192.0.2.11 vrrp -",
			"192.0.2.13 tcp 2379,2380,6444,7946,10250", "192.0.2.13 udp 7946,8472", "192.0.2.13 vrrp -",
			"192.0.2.21 tcp 6444,7946", "192.0.2.21 udp 7946,8472",
			"any tcp 80,443,6443,30000:32767", "any udp 30000:32767",
		}},
		{"a host of etcd", etcd, "e-1", false, []string{"192.0.2.11 tcp 2379"}},
		{"Calico with IPIP", strings.Replace(two, "hosts:", "network: {cni: {name: calico, backend: ipip}}\nhosts:", 1), "w-1", false, []string{
			"pods 10.244.0.0/16", "services 10.96.0.0/12",
			"192.0.2.11 ipip -", "192.0.2.11 tcp 179,10250", "any tcp 30000:32767", "any udp 30000:32767",
		}},
		{"beside a host that leaves", strings.Replace(two, "192.0.2.21}", "192.0.2.21, state: absent}", 1), "cp-1", true, []string{
			"pods 10.244.0.0/16", "services 10.96.0.0/12", "192.0.2.21 udp 8472", "any tcp 6443,30000:32767", "any udp 30000:32767",
		}},
		{"beside a host that has left", strings.Replace(two, "192.0.2.21}", "192.0.2.21, state: absent}", 1), "cp-1", false, []string{
			"pods 10.244.0.0/16", "services 10.96.0.0/12", "any tcp 6443,30000:32767", "any udp 30000:32767",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, test.inventory)
			fixture.Facts(test.host).Firewalls = []string{"ufw"}
			if test.leaves {
				fixture.Facts("w-1").Existing = []facts.Path{facts.Journal}
			}
			at := []string{ufwState, "eth0", fixture.Facts(test.host).Addresses[0].Prefix.Addr().String()}
			args := append(at, test.want...)
			fake := fixture.Host(test.host)
			fake.ExpectQueryScript("firewall-ufw.sh", append([]string{"check"}, args...)...).Returns("open allow 6443/tcp\nclose allow 6444/tcp\n")
			fake.ExpectRun(append([]string{"sh", ufwScript, "apply"}, args...)...)
			fixture.MustApply(Firewall())
			want := []string{"write " + ufwScript, "run ufw: open allow 6443/tcp; close allow 6444/tcp"}
			if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"sh " + ufwScript + " remove " + ufwState}, fixture.Undo(test.host)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFirewallsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	active := func(f *facts.Facts) { f.ActiveUnits = []string{"firewalld.service"} }
	tests := []struct {
		name, inventory string
		change          func(*facts.Facts)
	}{
		{"without a firewall", two, func(*facts.Facts) {}},
		{"with one that nobody manages", two, func(f *facts.Facts) { f.Firewalls = []string{"nftables inet filter input"} }},
		{"where the inventory leaves them alone", two + "firewall: leave\n", active},
		{"where the inventory leaves that of one host alone", strings.Replace(two, "192.0.2.21", "192.0.2.21, firewall: leave", 1), active},
		{"on a host that has left", strings.Replace(two, "192.0.2.21", "192.0.2.21, state: absent", 1), active},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, test.inventory)
			test.change(fixture.Facts("w-1"))
			fixture.MustApply(Firewall())
			if asked := fixture.Host("w-1").Transcript(); asked != "" {
				t.Errorf("the host received: %s", asked)
			}
		})
	}
}

func TestAnOpenFirewallIsNotChanged(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Facts("cp-1").ActiveUnits = []string{"firewalld.service"}
	fixture.Host("cp-1").ExpectQueryScript("firewall-firewalld.sh", "check", "/var/lib/slipway/firewall/firewalld", "eth0", "192.0.2.11",
		"pods 10.244.0.0/16", "services 10.96.0.0/12", "any tcp 6443,30000:32767", "any udp 30000:32767")
	fixture.MustApply(Firewall())
	if changes := fixture.Changes(); changes != nil {
		t.Errorf("got %q", changes)
	}
}

func TestPacketsMustPassOpenedFirewalls(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, more string
		ufw        bool
		joined     bool
		status     netprobe.Status
		probes     bool
		want       string
	}{
		{"they pass", "", true, false, netprobe.Reached, true, ""},
		{"a port is in use", "", true, false, netprobe.Occupied, true, ""},
		{"another firewall drops them", "", true, false, netprobe.TimedOut, true, "udp 8472 on w-1 from cp-1: timed out"},
		{"a rule rejects them", "", true, false, netprobe.Refused, true, "udp 8472 on w-1 from cp-1: refused"},
		{"no firewall was opened", "", false, false, netprobe.TimedOut, false, ""},
		{"slipway leaves the firewall alone", "firewall: leave\n", true, false, netprobe.TimedOut, false, ""},
		{"all hosts are nodes already", "", true, true, netprobe.TimedOut, false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two+test.more)
			if test.ufw {
				fixture.Facts("w-1").Firewalls = []string{"ufw"}
			}
			if test.joined {
				for _, name := range []string{"cp-1", "w-1"} {
					fixture.Facts(name).Existing = []facts.Path{facts.KubeletConf}
				}
			}
			probed := false
			phase := firewallCheck(func(_ context.Context, nodes []netprobe.Node, needs []netprobe.Need, _ netprobe.Options) (*netprobe.Matrix, error) {
				probed = true
				for _, need := range needs {
					for _, to := range need.To {
						if to != "w-1" {
							return nil, errors.New("it measures " + to)
						}
					}
				}
				return &netprobe.Matrix{Links: []netprobe.Link{{From: "cp-1", To: "w-1", Protocol: netprobe.UDP, Port: 8472, Status: test.status}}}, nil
			})
			err := fixture.Apply(phase)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if probed != test.probes {
				t.Errorf("it has measured: %v", probed)
			}
		})
	}
}
