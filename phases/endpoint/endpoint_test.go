package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const (
	hosts = `
metadata: {name: lab}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`
	replaced = `
metadata: {name: lab}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane], state: absent}
  - {name: cp-4, address: 192.0.2.14, roles: [control-plane]}
`
	single     = "metadata: {name: lab}\nhosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"
	keepalived = "controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: keepalived}}\n"
	kubeVIP    = "controlPlane: {endpoint: 192.0.2.100, loadBalancer: {type: kube-vip}}\n"
	local      = "controlPlane: {endpoint: 'api.example:8443', loadBalancer: {type: local}}\n"
	external   = "controlPlane: {endpoint: api.example}\n"
)

// installed is a fixture whose hosts have the packages.
func installed(t *testing.T, inventory string) *workflowtest.Fixture {
	t.Helper()
	fixture := workflowtest.New(t, inventory)
	for _, h := range fixture.Hosts.All {
		h.Facts().Commands = append(h.Facts().Commands, "haproxy", "keepalived")
		hasHAProxy(fixture.Host(h.Config.Name), "HAProxy version 2.6.12-1+deb12u1 2023/12/16 - https://haproxy.org/\n")
	}
	return fixture
}

// hasHAProxy lets a host answer which version of haproxy it has.
func hasHAProxy(m *hosttest.Fake, version string) {
	m.ExpectQuery("haproxy", "-v").AnyTimes().Returns(version)
}

// starts expects the services to start on a host on which they do not run.
func starts(m *hosttest.Fake, services ...string) {
	files := map[string][]string{haproxyService: {haproxyConf, haproxyUnit}, keepalivedService: {keepalivedConf, keepalivedUnit}}
	for _, service := range services {
		m.ExpectService(service, files[service]...).Returns("stopped inactive\n")
		m.ExpectStart("start "+service+": it is inactive", service, files[service]...)
	}
}

// content returns a file of a host.
func content(t *testing.T, m *hosttest.Fake, path string) string {
	t.Helper()
	file, ok := m.File(path)
	if !ok {
		t.Fatalf("%s has no %s", m, path)
	}
	return string(file.Content)
}

// has fails the test unless the text has all of these lines.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	have := strings.Split(text, "\n")
	for i := range have {
		have[i] = strings.TrimSpace(have[i])
	}
	for _, line := range lines {
		if !slices.Contains(have, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestPhasesAreEnabledByTheTypeOfTheLoadBalancer(t *testing.T) {
	t.Parallel()
	phases := []workflow.Phase{HAProxy(), Keepalived(), StartKeepalived(), KubeVIP(), Claimed(), KubeVIPPermissions()}
	for more, want := range map[string][]string{
		keepalived: {"haproxy", "keepalived", "keepalived-start", "endpoint"}, kubeVIP: {"kube-vip", "kube-vip-permissions"}, local: {"haproxy"}, external: nil, "": nil,
	} {
		c := workflowtest.New(t, single+more).Cluster
		var got []string
		for _, p := range phases {
			if p.Enabled(c) {
				got = append(got, p.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", more, got, want)
		}
	}
}

func TestHAProxyBalancesOverAllControlPlanes(t *testing.T) {
	t.Parallel()
	servers := []string{"server cp-1 192.0.2.11:6444", "server cp-2 192.0.2.12:6444", "server cp-3 192.0.2.13:6444"}
	for name, test := range map[string]struct {
		more string
		on   map[string]string
	}{
		"with keepalived on each control plane": {keepalived, map[string]string{"cp-1": "bind *:6443", "cp-2": "bind *:6443", "cp-3": "bind *:6443"}},
		"with local on each host":               {local, map[string]string{"cp-1": "bind *:8443", "cp-2": "bind *:8443", "cp-3": "bind *:8443", "w-1": "bind 127.0.0.1:8443"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, hosts+test.more)
			for on := range test.on {
				starts(fixture.Host(on), haproxyService)
			}
			fixture.MustApply(HAProxy())
			for _, h := range fixture.Hosts.All {
				m := fixture.Host(h.Config.Name)
				bind, balances := test.on[h.Config.Name]
				if !balances {
					if asked := m.Transcript(); asked != "" {
						t.Errorf("%s received %s", m, asked)
					}
					continue
				}
				has(t, content(t, m, haproxyConf), append(servers, bind)...)
				if want := []string{"systemctl disable --quiet --now haproxy.service"}; !slices.Equal(fixture.Undo(h.Config.Name), want) {
					t.Errorf("%s: undo %q", m, fixture.Undo(h.Config.Name))
				}
			}
		})
	}
}

// The old process does not check servers, and would keep connections to one that hangs.
func TestHAProxyEndsTheConnectionsBeforeAReload(t *testing.T) {
	t.Parallel()
	for _, more := range []string{keepalived, local} {
		fixture := installed(t, single+more)
		m := fixture.Host("cp-1")
		starts(m, haproxyService)
		fixture.MustApply(HAProxy())
		global, _, _ := strings.Cut(content(t, m, haproxyConf), "defaults")
		has(t, global, "hard-stop-after 10m")
	}
}

func TestHAProxyTellsKeepalivedItsState(t *testing.T) {
	t.Parallel()
	const kubelet = "server kubelet 127.0.0.1:%d check inter 2s fall 5 rise 1"
	for name, test := range map[string]struct {
		more    string
		kubelet int
	}{
		"with the port of kubelet":                     {"", 10248},
		"with another port of kubelet":                 {"kubernetes: {kubeletConfiguration: {healthzPort: 10000}}\n", 10000},
		"without kubelet if it has no port":            {"kubernetes: {kubeletConfiguration: {healthzPort: 0}}\n", 0},
		"without kubelet if it has a distant address":  {"kubernetes: {kubeletConfiguration: {healthzBindAddress: 192.0.2.11}}\n", 0},
		"with kubelet if it has the address of a host": {"kubernetes: {kubeletConfiguration: {healthzBindAddress: 0.0.0.0}}\n", 10248},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, single+keepalived+test.more)
			m := fixture.Host("cp-1")
			starts(m, haproxyService, keepalivedService)
			fixture.MustApply(HAProxy())
			fixture.MustApply(StartKeepalived())
			text := content(t, m, haproxyConf)
			has(t, text, "bind 127.0.0.1:10241", "http-request return status 200 if { path /api-server } { srv_is_up(api-servers/cp-1) }")
			asks := strings.Contains(content(t, m, keepalivedConf), "vrrp_script kubelet")
			if test.kubelet == 0 && (strings.Contains(text, "kubelet") || asks) {
				t.Errorf("kubelet is checked:\n%s", text)
			}
			if test.kubelet != 0 {
				has(t, text, fmt.Sprintf(kubelet, test.kubelet))
				if !asks {
					t.Error("keepalived does not check kubelet")
				}
			}
		})
	}
}

func TestMissingPackagesAreInstalledOnce(t *testing.T) {
	t.Parallel()
	debian, rocky := facts.OS{ID: "debian"}, facts.OS{ID: "rocky", Like: []string{"rhel"}}
	for name, test := range map[string]struct {
		more       string
		os         facts.OS
		commands   []string
		unfinished []string
		want       []string
	}{
		"both in one call":                        {keepalived, debian, nil, nil, []string{"haproxy", "keepalived"}},
		"on Rocky":                                {keepalived, rocky, nil, nil, []string{"haproxy", "keepalived"}},
		"haproxy alone with local":                {local, debian, nil, nil, []string{"haproxy"}},
		"the one that is missing":                 {keepalived, debian, []string{"haproxy"}, nil, []string{"keepalived"}},
		"the one whose installation was cut off":  {keepalived, debian, []string{"haproxy", "keepalived"}, []string{"haproxy", "nginx"}, []string{"haproxy"}},
		"none if both are there":                  {keepalived, debian, []string{"haproxy", "keepalived"}, nil, nil},
		"none on a distribution that has both":    {keepalived, facts.OS{ID: "alpine"}, []string{"haproxy", "keepalived"}, nil, nil},
		"none on a distribution that has haproxy": {local, facts.OS{ID: "alpine"}, []string{"haproxy"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, single+test.more)
			m, f := fixture.Host("cp-1"), fixture.Facts("cp-1")
			f.OS, f.Commands, f.Software.Unfinished = test.os, test.commands, test.unfinished
			if test.want != nil {
				m.ExpectRunScript("packages.sh", test.want...)
			}
			hasHAProxy(m, "")
			starts(m, haproxyService)
			fixture.MustApply(HAProxy())
		})
	}
}

func TestPackagesThatCannotBeInstalledAreNamed(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, single+keepalived)
	fixture.Host("cp-1").ExpectRunScript("packages.sh", "haproxy", "keepalived").Fails(100, "E: Unable to locate package haproxy")
	err := fixture.Apply(HAProxy())
	if want := "give the host access to its package mirror, or install the packages yourself: apt-get install -y haproxy keepalived"; workflow.Hint(err) != want {
		t.Errorf("hint %q", workflow.Hint(err))
	}
	fixture.Facts("cp-1").OS = facts.OS{ID: "alpine"}
	if err := fixture.Apply(HAProxy()); err == nil || !strings.Contains(err.Error(), `unsupported distribution "alpine"`) {
		t.Errorf("got %v", err)
	}
}

func TestKeepalivedKnowsTheOtherControlPlanes(t *testing.T) {
	t.Parallel()
	fixture := installed(t, hosts+strings.Replace(keepalived, "type: keepalived", "type: keepalived, virtualRouterID: 77", 1))
	for _, name := range []string{"cp-1", "cp-2", "cp-3"} {
		starts(fixture.Host(name), keepalivedService)
	}
	fixture.MustApply(StartKeepalived())
	for name, lines := range map[string][]string{
		"cp-1": {"unicast_src_ip 192.0.2.11", "192.0.2.12", "192.0.2.13", "priority 100"},
		"cp-2": {"unicast_src_ip 192.0.2.12", "192.0.2.11", "192.0.2.13", "priority 99"},
		"cp-3": {"unicast_src_ip 192.0.2.13", "192.0.2.11", "192.0.2.12", "priority 98"},
	} {
		text := content(t, fixture.Host(name), keepalivedConf)
		has(t, text, append(lines, "interface eth0", "192.0.2.100/32", "virtual_router_id 77", "state BACKUP")...)
		if strings.Contains(text, "alone") || strings.Contains(text, "127.0.0.1") {
			t.Errorf("%s:\n%s", name, text)
		}
		for _, path := range []string{keepalivedCheck, keepalivedNotify} {
			if script, _ := fixture.Host(name).File(path); script.Mode != 0o755 {
				t.Errorf("%s: %s has mode %o", name, path, script.Mode)
			}
		}
		has(t, text, `notify "`+keepalivedNotify+` 192.0.2.100"`)
		has(t, content(t, fixture.Host(name), keepalivedUnit), "ExecStopPost=-"+keepalivedNotify+" 192.0.2.100")
	}
}

// A reload keeps the address and the connections.
func TestAChangedConfigurationIsReloaded(t *testing.T) {
	t.Parallel()
	fixture := installed(t, single+keepalived)
	m := fixture.Host("cp-1")
	starts(m, haproxyService, keepalivedService)
	fixture.MustApply(HAProxy())
	fixture.MustApply(StartKeepalived())

	fixture.Cluster.ControlPlane.LoadBalancer.VirtualRouterID++
	fixture.Cluster.Metadata.Name = "other"
	m.ExpectService(haproxyService, haproxyConf, haproxyUnit)
	m.ExpectReload("reload haproxy.service: "+haproxyConf+" changed", haproxyService, haproxyConf, haproxyUnit)
	m.ExpectService(keepalivedService, keepalivedConf, keepalivedUnit)
	m.ExpectReload("reload keepalived.service: "+keepalivedConf+" changed", keepalivedService, keepalivedConf, keepalivedUnit)
	fixture.MustApply(HAProxy())
	fixture.MustApply(StartKeepalived())

	// And nothing changes the next time.
	m.ExpectService(haproxyService, haproxyConf, haproxyUnit)
	m.ExpectService(keepalivedService, keepalivedConf, keepalivedUnit)
	fixture.MustApply(HAProxy())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changes %q", got)
	}
	fixture.MustApply(StartKeepalived())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changes %q", got)
	}
}

func TestAnHAProxyThatIsTooOldIsRefusedBeforeItsFilesAreWritten(t *testing.T) {
	t.Parallel()
	for version, refused := range map[string]string{
		"HA-Proxy version 1.8.27-493ce0b 2020/11/06\nCopyright 2000-2020\n": "haproxy 1.8 is too old: the configuration needs 2.2 or later",
		"HA-Proxy version 2.1.12 2021/03/18\n":                              "haproxy 2.1 is too old",
		"HA-Proxy version 2.2.9-2+deb11u6 2023/12/11\n":                     "",
		"HAProxy version 2.10.1 2026/01/01\n":                               "",
		"HAProxy version 3.0.5-8e879a5 2024/09/19\n":                        "",
		"a build of yours\n":                                                "",
	} {
		fixture := workflowtest.New(t, single+keepalived)
		fixture.Facts("cp-1").Commands = []string{"haproxy", "keepalived"}
		m := fixture.Host("cp-1")
		m.ExpectQuery("haproxy", "-v").Returns(version)
		if refused == "" {
			starts(m, haproxyService)
		}
		err := fixture.Apply(HAProxy())
		if (err == nil) != (refused == "") || err != nil && !strings.Contains(err.Error(), refused) {
			t.Errorf("%s: got %v", version, err)
		}
		if _, written := m.File(haproxyConf); written != (refused == "") {
			t.Errorf("%s: written: %v", version, written)
		}
		if err != nil && !strings.Contains(workflow.Hint(err), "install a newer haproxy") {
			t.Errorf("hint %q", workflow.Hint(err))
		}
		if err == nil { // the version is not asked again
			m.ExpectService(haproxyService, haproxyConf, haproxyUnit)
			fixture.MustApply(HAProxy())
		}
	}
}

// Red Hat's unit neither restarts haproxy nor reads slipway's configuration alone.
func TestSystemdRestartsHAProxyWithTheConfigurationOfSlipwayAlone(t *testing.T) {
	t.Parallel()
	fixture := installed(t, single+keepalived)
	m := fixture.Host("cp-1")
	starts(m, haproxyService)
	fixture.MustApply(HAProxy())
	has(t, content(t, m, haproxyUnit), "[Service]", "Restart=always", "Environment=CFGDIR=/dev/null")

	// A host that an earlier release has set up.
	m.Remove(haproxyUnit)
	m.ExpectService(haproxyService, haproxyConf, haproxyUnit)
	m.ExpectStart("restart haproxy.service: "+haproxyUnit+" changed", haproxyService, haproxyConf, haproxyUnit)
	fixture.MustApply(HAProxy())
}

func TestAPlanChangesNothing(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, single+keepalived)
	fixture.Host("cp-1").ExpectService(haproxyService, haproxyConf, haproxyUnit).Returns("disabled\nstopped inactive\n")
	fixture.MustPlan(HAProxy())
	want := []string{"run packages.sh haproxy keepalived", "write " + haproxyUnit, "write " + haproxyConf, "run start haproxy.service: it is inactive"}
	if got := fixture.Changes(); !slices.Equal(got, want) {
		t.Errorf("changes %q", got)
	}
	fixture.MustPlan(Claimed())
}

// The control plane that replaces it joins through the endpoint.
func TestAControlPlaneThatLeavesIsServedWhileItRuns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		running bool
		servers []string
	}{
		{"it has an API server", true, []string{"server cp-4 192.0.2.14:6444", "server cp-1 192.0.2.11:6444"}},
		{"it was reset", false, []string{"server cp-4 192.0.2.14:6444"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, replaced+keepalived)
			leaving := fixture.Hosts.Leaving[0]
			leaving.SetFacts(workflowtest.Facts(leaving.Config, 8))
			if test.running {
				leaving.Facts().Existing = []facts.Path{facts.APIServerManifest}
			}
			m := fixture.Host("cp-4")
			starts(m, haproxyService, keepalivedService)
			fixture.MustApply(HAProxy())
			fixture.MustApply(StartKeepalived())
			text := content(t, m, haproxyConf)
			has(t, text, test.servers...)
			peer := strings.Contains(content(t, m, keepalivedConf), "192.0.2.11")
			if strings.Count(text, "server cp-") != len(test.servers) || peer != test.running {
				t.Errorf("peer %v, and the configuration\n%s", peer, text)
			}
		})
	}
}

// It may live and hold the address. Without a peer, the new one would take it too.
func TestAControlPlaneThatLeavesAndIsUnreachableStaysAPeer(t *testing.T) {
	t.Parallel()
	node := []cluster.Node{{Name: "cp-1", Addresses: []string{"192.0.2.99"}}}
	for name, test := range map[string]struct {
		state *cluster.State
		peer  string
	}{
		"with the address of its Node":         {&cluster.State{Exists: true, Nodes: node}, "192.0.2.99"},
		"with a member of etcd and no Node":    {&cluster.State{Exists: true, Members: []kube.EtcdMember{{Name: "cp-1"}}}, "192.0.2.11"},
		"while the API server does not answer": {&cluster.State{Exists: true, Silent: errors.New("silent")}, "192.0.2.11"},
		"but not after it was removed":         {&cluster.State{Exists: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, replaced+keepalived)
			fixture.Hosts.Leaving[0].SetFacts(nil)
			fixture.Hosts.SetState(test.state)
			m := fixture.Host("cp-4")
			fixture.Facts("cp-4").Existing = []facts.Path{facts.APIServerManifest}
			m.Put(keepalivedConf, conf(51, test.peer))
			starts(m, haproxyService, keepalivedService)
			fixture.MustApply(HAProxy())
			fixture.MustApply(Keepalived())
			text := content(t, m, keepalivedConf)
			if test.peer == "" {
				has(t, text, "127.0.0.1")
				return
			}
			has(t, text, test.peer)
			has(t, content(t, m, haproxyConf), "server cp-1 "+test.peer+":6444")
			if strings.Contains(text, "alone") {
				t.Errorf("cp-4 holds the address in any case:\n%s", text)
			}
		})
	}
}

// Otherwise, it would keep the address when the new one takes it.
func TestAControlPlaneThatLeavesKnowsThoseThatJoin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conf    string
		exists  []facts.Path
		changed bool
	}{
		"the only one":                  {"may-hold alone", []facts.Path{facts.APIServerManifest}, true},
		"one that never ran keepalived": {"", []facts.Path{facts.APIServerManifest}, false},
		"one that was reset":            {"may-hold alone", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, replaced+keepalived)
			fixture.Facts("cp-1").Existing = test.exists
			leaving, joining := fixture.Host("cp-1"), fixture.Host("cp-4")
			if test.conf != "" {
				leaving.Put(keepalivedConf, test.conf)
			}
			if test.changed {
				leaving.ExpectService(keepalivedService, keepalivedConf, keepalivedUnit).Returns("changed " + keepalivedConf + "\n")
				leaving.ExpectStart("restart keepalived.service: "+keepalivedConf+", "+keepalivedUnit+" changed", keepalivedService, keepalivedConf, keepalivedUnit)
			}
			fixture.MustApply(Keepalived())
			if asked := joining.Transcript(); asked != "" {
				t.Errorf("cp-4 starts before cp-1 knows it: %s", asked)
			}
			if !test.changed {
				return
			}
			text := content(t, leaving, keepalivedConf)
			// The one that stays has more, so that each has another one.
			has(t, text, "192.0.2.14", "priority 99")
			if strings.Contains(text, "alone") || strings.Contains(text, "127.0.0.1") {
				t.Errorf("it still is alone:\n%s", text)
			}
			starts(joining, keepalivedService)
			fixture.MustApply(StartKeepalived())
			has(t, content(t, joining, keepalivedConf), "192.0.2.11", "priority 100")
			if fixture.Hosts.Leaving[0].Facts().Existing = nil; len(Keepalived().On.Hosts(fixture.Hosts)) > 0 {
				t.Error("it is changed after its reset")
			}
		})
	}
}

// A kill between two steps leaves the new one stopped, or known to all others.
func TestNothingJoinsBeforeTheOthersKnowIt(t *testing.T) {
	t.Parallel()
	if start := StartKeepalived(); !slices.Contains(start.NeedsAll, "keepalived") {
		t.Errorf("keepalived starts after %q", start.NeedsAll)
	}
	if claimed := Claimed(); !slices.Contains(claimed.NeedsAll, "keepalived") {
		t.Errorf("hosts join after %q", claimed.NeedsAll)
	}
}

func TestAnUnreachableControlPlaneHasTheAddressOfItsNode(t *testing.T) {
	t.Parallel()
	fixture := installed(t, hosts+keepalived)
	for _, h := range fixture.Hosts.All[1:3] {
		h.SetFacts(nil)
		h.SetUnreachable(fmt.Errorf("connect: %w", host.ErrUnreachable))
	}
	fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: []cluster.Node{{Name: "cp-2", Addresses: []string{"192.0.2.12"}}}})
	m := fixture.Host("cp-1")
	fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest}
	m.Put(keepalivedConf, "virtual_router_id 51\nunicast_peer {\n 192.0.2.12\n 192.0.2.13\n}\n")
	starts(m, keepalivedService)
	if err := fixture.Apply(Keepalived()); !errors.Is(err, host.ErrUnreachable) {
		t.Fatal(err)
	}
	text := content(t, m, keepalivedConf)
	has(t, text, "192.0.2.12")
	if strings.Contains(text, "192.0.2.13") {
		t.Error("a host that never joined is a peer")
	}
}

// conf is a configuration of keepalived, as far as it is read.
func conf(id int, peers ...string) string {
	return fmt.Sprintf("virtual_router_id %d\nunicast_peer {\n %s\n}\n", id, strings.Join(peers, "\n "))
}

// It would send the new one no advertisements, and both would hold the address.
func TestAControlPlaneIsNotAddedBehindTheBackOfAnother(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		other, refused string
	}{
		"one that does not know it":            {conf(51, "192.0.2.120"), "keepalived on cp-1 does not know this control plane"},
		"one that knows it with another ID":    {conf(52, "192.0.2.12", "192.0.2.13"), "keepalived on cp-1 has another virtual router ID"},
		"one that knows it":                    {conf(51, "192.0.2.12", "192.0.2.13"), ""},
		"one that does not run keepalived yet": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, hosts+keepalived)
			fixture.Selection = workflow.Selection{Hosts: []string{"cp-2", "cp-3"}}
			if test.other != "" {
				fixture.Host("cp-1").Put(keepalivedConf, test.other)
			}
			for _, on := range []string{"cp-2", "cp-3"} {
				if test.refused == "" {
					starts(fixture.Host(on), keepalivedService)
				}
			}
			err := fixture.Apply(StartKeepalived())
			if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// It may live and hold the address.
func TestAControlPlaneThatCannotBeReachedKeepsItsPeersAndItsID(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		own, refused string
		nodes        []cluster.Node
	}{
		"nothing changes":              {conf(51, "192.0.2.12", "192.0.2.13"), "", []cluster.Node{{Name: "cp-2", Addresses: []string{"192.0.2.12"}}}},
		"the ID changes":               {conf(50, "192.0.2.12", "192.0.2.13"), "keepalived on cp-2 has another virtual router ID", []cluster.Node{{Name: "cp-2", Addresses: []string{"192.0.2.12"}}}},
		"a control plane is new":       {"", "keepalived on cp-2 does not know this control plane", []cluster.Node{{Name: "cp-2", Addresses: []string{"192.0.2.12"}}}},
		"a host that has never joined": {conf(50, "192.0.2.13"), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := installed(t, hosts+keepalived)
			fixture.Hosts.All[1].SetFacts(nil)
			fixture.Hosts.All[1].SetUnreachable(fmt.Errorf("connect: %w", host.ErrUnreachable))
			fixture.Hosts.SetState(&cluster.State{Exists: true, Nodes: test.nodes})
			for _, on := range []string{"cp-1", "cp-3"} {
				if test.own != "" {
					fixture.Host(on).Put(keepalivedConf, test.own)
				}
				if test.refused == "" {
					starts(fixture.Host(on), keepalivedService)
				}
			}
			err := fixture.Apply(StartKeepalived())
			if !errors.Is(err, host.ErrUnreachable) || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("got %v", err)
			}
			if _, written := fixture.Host("cp-1").File(keepalivedCheck); written != (test.refused == "") {
				t.Errorf("written: %v", written)
			}
		})
	}
}

func TestAControlPlaneIsNotAddedBehindTheBackOfOneThatLeaves(t *testing.T) {
	t.Parallel()
	fixture := installed(t, replaced+keepalived)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest}
	fixture.Host("cp-1").Put(keepalivedConf, "may-hold alone")
	fixture.Selection = workflow.Selection{Hosts: []string{"cp-4"}}
	err := fixture.Apply(StartKeepalived())
	if err == nil || !strings.Contains(err.Error(), "keepalived on cp-1 does not know this control plane") {
		t.Errorf("got %v", err)
	}
}

func TestTheFirstJoinsWaitForTheAddress(t *testing.T) {
	t.Parallel()
	fixture := installed(t, hosts+keepalived)
	ask := []string{"ip", "-4", "-o", "address", "show", "to", "192.0.2.100"}
	for range 2 {
		fixture.Host("cp-1").ExpectQuery(ask...).AsUser()
	}
	fixture.Host("cp-2").ExpectQuery(ask...).AsUser()
	fixture.Host("cp-3").ExpectQuery(ask...).AsUser()
	fixture.Host("cp-2").ExpectQuery(ask...).AsUser().Returns("2: eth0    inet 192.0.2.100/32 scope global eth0\n")
	fixture.MustApply(Claimed())
}

// A control plane that cannot be reached may hold it.
func TestNothingWaitsForTheAddressOfAClusterThatExists(t *testing.T) {
	t.Parallel()
	fixture := installed(t, hosts+keepalived)
	finalized(fixture)
	fixture.MustApply(Claimed())
}

// finalized gives the first control plane what kubeadm init has created.
func finalized(fixture *workflowtest.Fixture) {
	f := fixture.Facts("cp-1")
	f.Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.APIServerManifest}
	f.Kubernetes.Finalized = true
}

// No control plane holds the address before the API server is ready.
func TestTheAddressIsAwaitedAfterInit(t *testing.T) {
	t.Parallel()
	if needs := Claimed().Needs; !slices.Contains(needs, "kubeadm-init") {
		t.Errorf("it needs %q", needs)
	}
	// An init that was killed and is repeated.
	fixture := installed(t, hosts+keepalived)
	finalized(fixture)
	fixture.Facts("cp-1").Kubernetes.Finalized = false
	fixture.Hosts.SetState(&cluster.State{Exists: true})
	fixture.Host("cp-1").ExpectQuery("ip", "-4", "-o", "address", "show", "to", "192.0.2.100").AsUser().Returns("2: eth0\n")
	fixture.MustApply(Claimed())
}

func TestOnlyTheFirstInitGivesKubeVIPTheSuperAdministrator(t *testing.T) {
	t.Parallel()
	kubeconfig := func(fixture *workflowtest.Fixture, name string) string {
		text := content(t, fixture.Host(name), kubeVIPManifest)
		_, path, _ := strings.Cut(text, "path: ")
		path, _, _ = strings.Cut(path, "\n")
		return path
	}
	fixture := workflowtest.New(t, hosts+kubeVIP)
	fixture.MustApply(KubeVIP())
	for name, want := range map[string]string{"cp-1": `"/etc/kubernetes/super-admin.conf"`, "cp-2": `"/etc/kubernetes/admin.conf"`} {
		if got := kubeconfig(fixture, name); got != want {
			t.Errorf("%s: %s", name, got)
		}
		// The API server of its own host: nobody has the address yet.
		own := map[string]string{"cp-1": "192.0.2.11", "cp-2": "192.0.2.12"}[name]
		has(t, content(t, fixture.Host(name), kubeVIPManifest), `- name: kubernetes_addr`, fmt.Sprintf("value: %q", own+":6443"))
	}
	fixture.MustApply(KubeVIPPermissions())
	if got := kubeconfig(fixture, "cp-1"); got != `"/etc/kubernetes/admin.conf"` {
		t.Errorf("after init: %s", got)
	}
	// The next run finds the cluster, which may not answer, and changes nothing.
	finalized(fixture)
	for _, state := range []*cluster.State{{Exists: true}, {Exists: true, Silent: errors.New("silent")}} {
		fixture.Hosts.SetState(state)
		for _, phase := range []workflow.Phase{KubeVIP(), KubeVIPPermissions()} {
			fixture.MustApply(phase)
			if got := fixture.Changes(); len(got) > 0 {
				t.Errorf("%s: changes %q", phase.Name, got)
			}
		}
	}
	// An init that was killed is repeated, although its API server answers.
	fixture.Hosts.SetState(&cluster.State{Exists: true})
	fixture.Facts("cp-1").Kubernetes.Finalized = false
	fixture.MustApply(KubeVIP())
	if got := kubeconfig(fixture, "cp-1"); got != `"/etc/kubernetes/super-admin.conf"` {
		t.Errorf("while init is repeated: %s", got)
	}
}

func TestAnAddressWithoutAnInterfaceIsAnError(t *testing.T) {
	t.Parallel()
	for more, phase := range map[string]workflow.Phase{keepalived: StartKeepalived(), kubeVIP: KubeVIP()} {
		fixture := installed(t, single+more)
		fixture.Hosts.All[0].Config.NodeIP = "192.0.2.99"
		fixture.Facts("cp-1").Addresses = []facts.Address{{Interface: "eth0", Prefix: netip.MustParsePrefix("192.0.2.11/24")}}
		if err := fixture.Apply(phase); err == nil || !strings.Contains(err.Error(), "no interface has the address 192.0.2.99") {
			t.Errorf("%s: %v", phase.Name, err)
		}
	}
}

func TestKubeVIPUsesTheBindPort(t *testing.T) {
	t.Parallel()
	c := workflowtest.New(t, single+kubeVIP).Cluster
	if port, err := port(c); err != nil || port != "6443" || c.ControlPlane.BindPort != 6443 || c.ControlPlane.LoadBalancer.Type != config.LoadBalancerKubeVIP {
		t.Errorf("port %s, %v", port, err)
	}
}
