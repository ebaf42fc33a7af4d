package hostprep

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const two = `
metadata: {name: lab}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

func TestWithoutSwap(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, fstab, want string }{
		{"a swap line is commented out", "UUID=x / ext4 defaults 0 1\nUUID=y none swap sw 0 0\n", "UUID=x / ext4 defaults 0 1\n# slipway: swap off: UUID=y none swap sw 0 0\n"},
		{"tabs count, and a line without an end", "/swapfile\tswap\tswap\tdefaults", "# slipway: swap off: /swapfile\tswap\tswap\tdefaults"},
		{"comments stay, its own too", "# /swapfile none swap sw 0 0\n# slipway: swap off: a b swap\n#a b swap\n", "# /swapfile none swap sw 0 0\n# slipway: swap off: a b swap\n#a b swap\n"},
		{"what is only called swap stays", "/dev/swap /swap ext4 swap 0 0\nswap swap\n\n", "/dev/swap /swap ext4 swap 0 0\nswap swap\n\n"},
		{"nothing stays nothing", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := string(withoutSwap([]byte(test.fstab)))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if again := string(withoutSwap([]byte(got))); again != got {
				t.Errorf("a second run changes it to %q", again)
			}
		})
	}
}

func TestSwapOffUsesTheMechanismOfEachKind(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Facts("cp-1").Swap = facts.Swap{
		Active: []string{"/dev/sda2", "/dev/zram0"}, Fstab: []string{"UUID=y"}, Units: []string{"dev-sda2.swap"}, Zram: []string{"/usr/lib/systemd/zram-generator.conf"},
	}
	fake := fixture.Host("cp-1")
	fake.Put("/etc/fstab", "UUID=y none swap sw 0 0\n")
	fake.ExpectRun("swapoff", "/dev/sda2")
	fake.ExpectRun("swapoff", "/dev/zram0")
	fake.ExpectRun("systemctl", "daemon-reload")
	fake.ExpectQuery("systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=swap").AsUser().Returns(
		"dev-sda2.swap loaded active active /dev/sda2\nmasked.swap masked inactive dead masked.swap\nshort\n")
	fake.ExpectRun("systemctl", "mask", "--now", "dev-sda2.swap")
	fixture.MustApply(SwapOff())

	if fstab, _ := fake.File("/etc/fstab"); !strings.HasPrefix(string(fstab.Content), "# slipway: ") {
		t.Errorf("fstab is %q", fstab.Content)
	}
	if zram, ok := fake.File("/etc/systemd/zram-generator.conf"); !ok || strings.Contains(string(zram.Content), "\n[") {
		t.Errorf("zram-generator's configuration is %q, %v", zram.Content, ok)
	}
	want := []string{"swapon /dev/sda2", "swapon /dev/zram0", "systemctl unmask dev-sda2.swap"}
	if diff := cmp.Diff(want, fixture.Undo("cp-1")); diff != "" {
		t.Error(diff)
	}
}

func TestSwapStaysOnIfTheInventoryAllowsIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, more string
		swap       facts.Swap
	}{
		{"where there is none", "", facts.Swap{}},
		{"where kubelet may run with it", "kubernetes: {kubeletConfiguration: {failSwapOn: false}}\n", facts.Swap{Active: []string{"/dev/sda2"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, one+test.more)
			fixture.Facts("cp-1").Swap = test.swap
			fixture.MustApply(SwapOff())
			if asked := fixture.Host("cp-1").Transcript(); asked != "" {
				t.Errorf("the host received: %s", asked)
			}
		})
	}
}

func TestSwapIsTurnedOffIfTheInventorySetsFailSwapOn(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one+"kubernetes: {kubeletConfiguration: {failSwapOn: true}}\n")
	fixture.Facts("cp-1").Swap = facts.Swap{Active: []string{"/swapfile"}}
	fake := fixture.Host("cp-1")
	fake.ExpectRun("swapoff", "/swapfile")
	fake.ExpectRun("systemctl", "daemon-reload")
	fake.ExpectQuery("systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=swap").AsUser()
	fixture.MustApply(SwapOff())
}

func TestWithBlock(t *testing.T) {
	t.Parallel()
	const block = "# slipway lab begin: the nodes\n192.0.2.11 cp-1\n# slipway lab end\n"
	const before = "127.0.0.1 localhost\n"
	tests := []struct{ name, old, want string }{
		{"stands first", before, block + before},
		{"makes a file of nothing", "", block},
		{"takes the place of an earlier one", before + "# slipway lab begin: other words\n192.0.2.9 old\n# slipway lab end\n::1 localhost\n", block + before + "::1 localhost\n"},
		{"leaves the block of another cluster", "# slipway lab-2 begin: x\n192.0.2.9 other\n# slipway lab-2 end\n", block + "# slipway lab-2 begin: x\n192.0.2.9 other\n# slipway lab-2 end\n"},
		{"takes no more than its first line where its last is lost", "# slipway lab begin: x\n192.0.2.9 old\n" + before, block + "192.0.2.9 old\n" + before},
		{"keeps a last line without an end", before + "::1 localhost", block + before + "::1 localhost"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := string(withBlock([]byte(test.old), []byte(block)))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if again := string(withBlock([]byte(got), []byte(block))); again != got {
				t.Errorf("a second run changes it to %q", again)
			}
		})
	}
}

func TestEveryHostResolvesEveryNode(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	for _, name := range []string{"cp-1", "w-1"} {
		fixture.Host(name).Put("/etc/hosts", "127.0.1.1 "+name+"\n")
	}
	fixture.MustApply(HostsFile())
	for _, name := range []string{"cp-1", "w-1"} {
		got, _ := fixture.Host(name).File("/etc/hosts")
		want := "# slipway lab begin: the cluster's nodes; kept up to date by slipway\n" +
			"192.0.2.11 cp-1\n192.0.2.21 w-1\n# slipway lab end\n127.0.1.1 " + name + "\n"
		if diff := cmp.Diff(want, string(got.Content)); diff != "" {
			t.Error(diff)
		}
	}
	fixture.MustApply(HostsFile())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

// The haproxy of each host answers for the endpoint.
func TestTheEndpointOfALocalLoadBalancerIsTheHostItself(t *testing.T) {
	t.Parallel()
	for balancer, want := range map[string]bool{"local": true, "external": false} {
		fixture := workflowtest.New(t, two+"controlPlane: {endpoint: 'api.example:6443', loadBalancer: {type: "+balancer+"}}\n")
		for _, name := range []string{"cp-1", "w-1"} {
			fixture.Host(name).Put(hostsFile, "127.0.0.1 localhost\n")
		}
		fixture.MustApply(HostsFile())
		for _, name := range []string{"cp-1", "w-1"} {
			file, _ := fixture.Host(name).File(hostsFile)
			if got := strings.Contains(string(file.Content), "\n192.0.2.21 w-1\n127.0.0.1 api.example\n# slipway lab end\n"); got != want {
				t.Errorf("%s on %s:\n%s", balancer, name, file.Content)
			}
		}
	}
}

func TestAnUnreachableHostKeepsTheAddressOfItsNode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		state *cluster.State
		want  string
	}{
		"that has joined":     {&cluster.State{Nodes: []cluster.Node{{Name: "w-1", Addresses: []string{"192.0.2.99"}}}}, "192.0.2.11 cp-1\n192.0.2.99 w-1\n"},
		"that has not joined": {&cluster.State{}, "192.0.2.11 cp-1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			fixture.Host("cp-1").Put("/etc/hosts", "")
			fixture.Hosts.All[1].SetFacts(nil)
			fixture.Hosts.All[1].SetUnreachable(host.ErrUnreachable)
			fixture.Hosts.SetState(test.state)
			if err := fixture.Apply(HostsFile()); !errors.Is(err, host.ErrUnreachable) {
				t.Errorf("the run ends with %v", err)
			}
			if got, _ := fixture.Host("cp-1").File("/etc/hosts"); !strings.Contains(string(got.Content), "slipway\n"+test.want+"# slipway lab end") {
				t.Errorf("got %s", got.Content)
			}
		})
	}
}

func TestWantedSettingsKeepALimitThatIsHigher(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, key, have string
		want            int
	}{
		{"a limit that is lower is raised", "fs.inotify.max_user_watches", "8192", 524288},
		{"a limit that is higher stays", "fs.inotify.max_user_watches", "1048576", 1048576},
		{"a limit that is not known is set", "fs.inotify.max_user_instances", "", 8192},
		{"a switch is set whatever it is", "net.ipv4.ip_forward", "2", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, set := range wantedSettings(&facts.Facts{Sysctls: map[facts.Sysctl]string{facts.Sysctl(test.key): test.have}}) {
				if string(set.Key) == test.key && set.Value != test.want {
					t.Errorf("got %d, want %d", set.Value, test.want)
				}
			}
		})
	}
}

// kernelFixture has one host whose sysctls are those of a fresh Debian.
func kernelFixture(t *testing.T) *workflowtest.Fixture {
	t.Helper()
	fixture := workflowtest.New(t, one)
	f := fixture.Facts("cp-1")
	f.Existing = []facts.Path{"/lib/modules"}
	f.Modules = slices.DeleteFunc(f.Modules, func(m string) bool { return m == "br_netfilter" })
	f.Loadable = []string{"br_netfilter"}
	f.Sysctls = map[facts.Sysctl]string{
		"net.ipv4.ip_forward": "0", "fs.inotify.max_user_instances": "128", "fs.inotify.max_user_watches": "524288",
	}
	return fixture
}

var readBackArgv = []string{
	"sysctl", "-n", "net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables",
	"fs.inotify.max_user_instances", "fs.inotify.max_user_watches",
}

func TestKernelIsSetNowAndForTheNextBoot(t *testing.T) {
	t.Parallel()
	fixture := kernelFixture(t)
	fake := fixture.Host("cp-1")
	fake.ExpectRun("modprobe", "--all", "br_netfilter")
	fake.ExpectRun("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1",
		"net.bridge.bridge-nf-call-ip6tables=1", "fs.inotify.max_user_instances=8192")
	fake.ExpectQuery(readBackArgv...).Returns("1\n1\n1\n8192\n524288\n")
	fixture.MustApply(Kernel())

	conf, _ := fake.File("/etc/sysctl.d/90-slipway.conf")
	for _, line := range []string{"\nnet.ipv4.ip_forward = 1\n", "\nfs.inotify.max_user_watches = 524288\n"} {
		if !strings.Contains(string(conf.Content), line) {
			t.Errorf("the file lacks %q:\n%s", line, conf.Content)
		}
	}
	if modules, _ := fake.File("/etc/modules-load.d/slipway.conf"); !strings.HasSuffix(string(modules.Content), "\noverlay\nbr_netfilter\n") {
		t.Errorf("modules at boot: %q", modules.Content)
	}
	// What did not exist before has nothing to go back to.
	want := []string{"sysctl -q -w net.ipv4.ip_forward=0 fs.inotify.max_user_instances=128"}
	if diff := cmp.Diff(want, fixture.Undo("cp-1")); diff != "" {
		t.Error(diff)
	}
}

func TestKernelWithTheWantedSettingsIsNotChanged(t *testing.T) {
	t.Parallel()
	fixture := kernelFixture(t)
	f := fixture.Facts("cp-1")
	f.Modules = append(f.Modules, "br_netfilter")
	f.Sysctls = map[facts.Sysctl]string{
		"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1",
		"fs.inotify.max_user_instances": "8192", "fs.inotify.max_user_watches": "1048576",
	}
	fixture.MustApply(Kernel())
	if diff := cmp.Diff([]string{"write /etc/modules-load.d/slipway.conf", "write /etc/sysctl.d/90-slipway.conf"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
	fixture.MustApply(Kernel())
	if again := fixture.Changes(); len(again) > 0 {
		t.Errorf("a second run changes %v", again)
	}
}

func TestASettingThatDoesNotTakeEffectIsAnError(t *testing.T) {
	t.Parallel()
	fixture := kernelFixture(t)
	f := fixture.Facts("cp-1")
	f.Modules = append(f.Modules, "br_netfilter")
	f.Sysctls = map[facts.Sysctl]string{
		"net.ipv4.ip_forward": "0", "net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1",
		"fs.inotify.max_user_instances": "8192", "fs.inotify.max_user_watches": "524288",
	}
	fake := fixture.Host("cp-1")
	fake.ExpectRun("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	fake.ExpectQuery(readBackArgv...).Returns("0\n1\n1\n8192\n524288\n")
	err := fixture.Apply(Kernel())
	if err == nil || !strings.Contains(err.Error(), "net.ipv4.ip_forward") || workflow.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestAPlanOfTheKernelSetsNothing(t *testing.T) {
	t.Parallel()
	fixture := kernelFixture(t)
	fixture.Host("cp-1").StrictFiles()
	fixture.MustPlan(Kernel())
	want := []string{
		"write /etc/modules-load.d/slipway.conf", "write /etc/sysctl.d/90-slipway.conf", "run modprobe --all br_netfilter",
		"run sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 " +
			"net.bridge.bridge-nf-call-ip6tables=1 fs.inotify.max_user_instances=8192",
	}
	if diff := cmp.Diff(want, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestModulesFolderIsCreatedIfItIsMissing(t *testing.T) {
	t.Parallel()
	fixture := kernelFixture(t)
	fixture.Facts("cp-1").Existing = nil
	fixture.MustPlan(Kernel())
	if got := fixture.Changes(); !slices.Contains(got, "run mkdir -p /lib/modules") {
		t.Errorf("got %v", got)
	}
}
