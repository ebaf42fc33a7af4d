package distro

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/templates"
)

func TestFamilies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		os   facts.OS
		want string
	}{
		"Debian":                  {facts.OS{ID: "debian"}, "apt-get install -y open-iscsi nfs-common"},
		"Ubuntu":                  {facts.OS{ID: "ubuntu", Like: []string{"debian"}}, "apt-get install -y open-iscsi nfs-common"},
		"a derivative of Debian":  {facts.OS{ID: "linuxmint", Like: []string{"ubuntu", "debian"}}, "apt-get install -y open-iscsi nfs-common"},
		"Rocky":                   {facts.OS{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}}, "dnf install -y iscsi-initiator-utils nfs-utils"},
		"a derivative of Red Hat": {facts.OS{ID: "ol", Like: []string{"fedora"}}, "dnf install -y iscsi-initiator-utils nfs-utils"},
		"Fedora":                  {facts.OS{ID: "fedora"}, "dnf install -y iscsi-initiator-utils nfs-utils"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := Of(test.os)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Install(ISCSI, NFSClient); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if len(templates.Script(f.Script)) == 0 {
				t.Errorf("%s is empty", f.Script)
			}
		})
	}
}

func TestModulesThatTheDefaultPackagesLeaveOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ id, kernel, want string }{
		"of Rocky match the running kernel":  {"rocky", "6.12.0-55.12.1.el10_0.x86_64", "kernel-modules-extra-6.12.0-55.12.1.el10_0.x86_64"},
		"of a kernel with larger pages":      {"almalinux", "5.14.0-503.el9.aarch64+64k", "kernel-64k-modules-extra-5.14.0-503.el9.aarch64"},
		"of the real-time kernel":            {"rhel", "6.12.0-55.el10.x86_64+rt", "kernel-rt-modules-extra-6.12.0-55.el10.x86_64"},
		"are in no separate package, Debian": {"debian", "6.1.0-40-amd64", ""},
	} {
		family, err := Of(facts.OS{ID: test.id})
		if got := family.MoreModules(test.kernel); err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
}

func TestAnUnsupportedDistributionIsRefusedWithTheSupportedOnes(t *testing.T) {
	t.Parallel()
	_, err := Of(facts.OS{ID: "alpine"})
	if err == nil || !strings.Contains(err.Error(), `unsupported distribution "alpine"`) || !strings.Contains(err.Error(), "debian, ubuntu, rhel") {
		t.Errorf("got %v", err)
	}
}

func TestFirewallsOpenPorts(t *testing.T) {
	t.Parallel()
	ports := []Port{{"6443", "tcp"}, {"30000:32767", "udp"}}
	for name, want := range map[string]string{
		"ufw":       "ufw allow 6443/tcp && ufw allow 30000:32767/udp",
		"firewalld": "firewall-cmd --permanent --add-port=6443/tcp && firewall-cmd --permanent --add-port=30000-32767/udp && firewall-cmd --reload",
	} {
		f, known := FirewallOf(name)
		if got := f.Open(ports...); !known || got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if got := f.Open(); got != "" {
			t.Errorf("%s opens nothing with %q", name, got)
		}
	}
	if _, known := FirewallOf("iptables"); known {
		t.Error("iptables is the firewall of a family")
	}
}
