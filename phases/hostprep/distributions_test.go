package hostprep

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const extra = "kernel-modules-extra-6.12.0-55.el10.x86_64"

// rocky is a host like a cloud image of Rocky 10: the kernel lacks modules.
func rocky(t *testing.T, missing ...string) *workflowtest.Fixture {
	t.Helper()
	fixture := workflowtest.New(t, alone)
	f := fixture.Facts("cp-1")
	f.OS, f.Kernel = facts.OS{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}}, "6.12.0-55.el10.x86_64"
	f.Existing = []facts.Path{facts.KernelModules}
	f.Modules = slices.DeleteFunc(f.Modules, func(m string) bool { return slices.Contains(missing, m) })
	f.Sysctls = map[facts.Sysctl]string{
		"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1",
		"fs.inotify.max_user_instances": "8192", "fs.inotify.max_user_watches": "524288",
	}
	return fixture
}

func TestMissingModulesComeWithThePackageOfTheRunningKernel(t *testing.T) {
	t.Parallel()
	fixture := rocky(t, "br_netfilter", "xt_comment")
	m := fixture.Host("cp-1")
	m.ExpectRunScript("packages.sh", extra)
	m.ExpectQuery("modprobe", "--dry-run", "--all", "br_netfilter", "xt_comment")
	m.ExpectRun("modprobe", "--all", "br_netfilter")
	fixture.MustApply(Kernel())
}

func TestMissingModulesThatNoPackageHasAreAnError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		expect func(*workflowtest.Fixture)
		want   string
	}{
		"a mirror with a newer kernel": {func(b *workflowtest.Fixture) {
			b.Host("cp-1").ExpectRunScript("packages.sh", extra).Fails(1, "Error: Unable to find a match: "+extra)
		}, "a reboot is needed: dnf upgrade -y 'kernel*'"},
		"a package without the module": {func(b *workflowtest.Fixture) {
			b.Host("cp-1").ExpectRunScript("packages.sh", extra)
			b.Host("cp-1").ExpectQuery("modprobe", "--dry-run", "--all", "xt_comment").Fails(1, "modprobe: FATAL: Module xt_comment not found")
		}, "install a kernel with xt_comment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := rocky(t, "xt_comment")
			test.expect(fixture)
			err := fixture.Apply(Kernel())
			if err == nil || !strings.Contains(workflow.Hint(err), test.want) {
				t.Errorf("got %v, hint %q", err, workflow.Hint(err))
			}
		})
	}
}

func TestNoPackageBringsModulesToOtherHosts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*facts.Facts){
		"a container":                  func(f *facts.Facts) { f.Existing = append(f.Existing, facts.SystemdInContainer) },
		"a Debian":                     func(f *facts.Facts) { f.OS = facts.OS{ID: "debian"} },
		"a kernel that cannot be read": func(f *facts.Facts) { f.ModulesUnreadable = true },
		"a kernel that can load all":   func(f *facts.Facts) { f.Loadable = []string{"xt_comment"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := rocky(t, "xt_comment")
			change(fixture.Facts("cp-1"))
			fixture.MustApply(Kernel())
			for _, change := range fixture.Changes() {
				if !strings.HasPrefix(change, "write ") {
					t.Errorf("the host is changed: %s", change)
				}
			}
		})
	}
}

func TestNetworkManagerLeavesTheInterfacesOfPodsAlone(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	m := fixture.Host("cp-1")
	fixture.Facts("cp-1").ActiveUnits = []string{"NetworkManager.service"}
	m.ExpectRun("mkdir", "-p", "/etc/NetworkManager/conf.d")
	m.ExpectRun("systemctl", "reload", "NetworkManager")
	fixture.MustApply(NetworkManager())
	conf, _ := m.File("/etc/NetworkManager/conf.d/slipway.conf")
	// "+=" keeps the lists of others.
	if !strings.Contains(string(conf.Content), "\n[keyfile]\nunmanaged-devices+=interface-name:cali*;interface-name:tunl*;interface-name:vxlan.calico;") {
		t.Errorf("got %s", conf.Content)
	}
	if diff := cmp.Diff([]string{"systemctl reload NetworkManager"}, fixture.Undo("cp-1")); diff != "" {
		t.Error(diff)
	}
	fixture.MustApply(NetworkManager())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

func TestHostsWithoutNetworkManagerAreNotChanged(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.MustApply(NetworkManager())
	if asked := fixture.Host("cp-1").Transcript(); asked != "" {
		t.Errorf("the host received: %s", asked)
	}
}

func TestHAProxyMayUseItsPortsWithSELinux(t *testing.T) {
	t.Parallel()
	const local = two + "controlPlane: {endpoint: 'api.example:6443', loadBalancer: {type: local}}\n"
	for name, test := range map[string]struct {
		booleans map[string]bool
		want     []string
	}{
		"the policy confines it":      {map[string]bool{"haproxy_connect_any": false}, []string{"setsebool -P haproxy_connect_any off"}},
		"the policy permits it":       {map[string]bool{"haproxy_connect_any": true}, nil},
		"the host has no such policy": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, local)
			fixture.Facts("w-1").SELinuxBooleans = test.booleans
			if test.want != nil {
				fixture.Host("w-1").ExpectRun("setsebool", "-P", "haproxy_connect_any", "on")
			}
			fixture.MustApply(SELinux())
			if diff := cmp.Diff(test.want, fixture.Undo("w-1")); diff != "" {
				t.Error(diff)
			}
		})
	}
	if SELinux().Enabled(workflowtest.New(t, two).Cluster) {
		t.Error("a cluster without haproxy has the phase")
	}
}
