package distro

import (
	"strings"
	"testing"

	"slipway.io/slipway/provision/facts"
	"slipway.io/slipway/templates"
)

func TestFamilies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		os   facts.OS
		want string
	}{
		"Debian":            {facts.OS{ID: "debian"}, "apt-get install -y open-iscsi nfs-common"},
		"Ubuntu":            {facts.OS{ID: "ubuntu", Like: []string{"debian"}}, "apt-get install -y open-iscsi nfs-common"},
		"one like Debian":   {facts.OS{ID: "linuxmint", Like: []string{"ubuntu", "debian"}}, "apt-get install -y open-iscsi nfs-common"},
		"Rocky":             {facts.OS{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}}, "dnf install -y iscsi-initiator-utils nfs-utils"},
		"one like Red Hat":  {facts.OS{ID: "ol", Like: []string{"fedora"}}, "dnf install -y iscsi-initiator-utils nfs-utils"},
		"Fedora by its own": {facts.OS{ID: "fedora"}, "dnf install -y iscsi-initiator-utils nfs-utils"},
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

func TestAnUnknownDistributionIsRefusedWithTheList(t *testing.T) {
	t.Parallel()
	_, err := Of(facts.OS{ID: "alpine"})
	if err == nil || !strings.Contains(err.Error(), `"alpine" is not known`) || !strings.Contains(err.Error(), "debian, ubuntu, rhel") {
		t.Errorf("got %v", err)
	}
}
