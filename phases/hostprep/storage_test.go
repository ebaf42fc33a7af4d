package hostprep

import (
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const alone = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane, worker]}]\n"

// directory is whether the directory of volumes is there.
func directory(m *hosttest.Fake, path string, there bool) {
	test := m.ExpectQuery("test", "-d", path)
	if !there {
		test.Fails(1, "")
		m.ExpectRun("mkdir", "-p", path)
	}
}

func TestLocalPathGetsItsFolder(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{false, true} {
		fixture := workflowtest.New(t, alone+"addons: [{name: local-path, path: /data}]\n")
		directory(fixture.Host("cp-1"), "/data", there)
		fixture.MustApply(Storage())
		if changed := len(fixture.Changes()) > 0; changed == there {
			t.Errorf("there before: %v, changes %q", there, fixture.Changes())
		}
	}
}

// TestLonghornGetsWhatItNeeds: everything on a bare host, nothing on one
// that has it.
func TestLonghornGetsWhatItNeeds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		os       facts.OS
		packages []string
	}{
		"on Debian": {facts.OS{ID: "debian"}, []string{"open-iscsi", "nfs-common"}},
		"on Rocky":  {facts.OS{ID: "rocky", Like: []string{"rhel"}}, []string{"iscsi-initiator-utils", "nfs-utils"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, alone+"addons: [{name: longhorn}]\n")
			m := fixture.Host("cp-1")
			fixture.Facts("cp-1").OS = test.os
			fixture.Facts("cp-1").ActiveUnits = []string{"multipathd.service"}
			m.ExpectRunScript("packages.sh", test.packages...)
			m.ExpectRun("modprobe", "iscsi_tcp")
			m.ExpectRunScript("initiator-name.sh")
			m.ExpectService("iscsid").Returns("disabled\nstopped inactive\n")
			m.ExpectStart("start iscsid: it is inactive", "iscsid")
			m.ExpectRun("systemctl", "restart", "multipathd")
			directory(m, "/var/lib/longhorn", false)
			fixture.MustApply(Storage())
			for path, want := range map[string]string{
				iscsiModules:  "\niscsi_tcp\n",
				multipathConf: `devnode "^sd[a-z0-9]+"`,
			} {
				if file, ok := m.File(path); !ok || !strings.Contains(string(file.Content), want) {
					t.Errorf("%s: %q", path, file.Content)
				}
			}
		})
	}
	fixture := workflowtest.New(t, alone+"addons: [{name: longhorn}]\n")
	m, f := fixture.Host("cp-1"), fixture.Facts("cp-1")
	f.Commands = []string{"iscsiadm", "mount.nfs"}
	f.Modules = append(f.Modules, "iscsi_tcp")
	f.Existing = append(f.Existing, facts.InitiatorName)
	m.Put(iscsiModules, "# Written by slipway: what Longhorn needs of the kernel, at each boot.\niscsi_tcp\n")
	m.ExpectService("iscsid")
	directory(m, "/var/lib/longhorn", true)
	fixture.MustApply(Storage())
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changes %q", got)
	}
}

// TestAnInterruptedInstallationIsFinished: the programs of a package may be
// there before the package works.
func TestAnInterruptedInstallationIsFinished(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, alone+"addons: [{name: longhorn}]\n")
	m, f := fixture.Host("cp-1"), fixture.Facts("cp-1")
	f.OS = facts.OS{ID: "debian"}
	f.Commands = []string{"iscsiadm", "mount.nfs"}
	f.Modules = append(f.Modules, "iscsi_tcp")
	f.Existing = append(f.Existing, facts.InitiatorName)
	f.Software.Unfinished = []string{"nfs-common", "somebody-elses"}
	m.Put(iscsiModules, "# Written by slipway: what Longhorn needs of the kernel, at each boot.\niscsi_tcp\n")
	m.ExpectRunScript("packages.sh", "nfs-common")
	m.ExpectService("iscsid")
	directory(m, "/var/lib/longhorn", true)
	fixture.MustApply(Storage())
}

func TestAnUnknownDistributionIsRefused(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, alone+"addons: [{name: longhorn}]\n")
	fixture.Facts("cp-1").OS = facts.OS{ID: "alpine"}
	if err := fixture.Apply(Storage()); err == nil || !strings.Contains(err.Error(), `unsupported distribution "alpine"`) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyStorageAddonsPrepareStorage(t *testing.T) {
	t.Parallel()
	for addons, want := range map[string]bool{"[]": false, "[{name: traefik}]": false, "[{name: local-path}]": true} {
		fixture := workflowtest.New(t, alone+"addons: "+addons+"\n")
		if got := Storage().Enabled(fixture.Cluster); got != want {
			t.Errorf("%s: %v", addons, got)
		}
	}
	if !slices.Equal(Storage().Needs, []string{"kernel"}) || Storage().On.String() != workflow.Nodes.String() {
		t.Error("it does not wait for the kernel, or does not run everywhere")
	}
}
