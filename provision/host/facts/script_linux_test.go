package facts

import (
	"slices"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host/hosttest"
)

func TestTheScriptReadsTheFactsOfLocalhost(t *testing.T) {
	t.Parallel()
	before := time.Now()
	out, stderr, code := hosttest.Local{}.Script(t, "facts/facts.sh",
		"kernel.ostype", "no.such.sysctl", "--", "/proc/self", "/no/such/file", "--", "/proc/self", "/var/lib/no/such/directory")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	f, err := Parse([]byte(out), before, time.Now())
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if f.Hostname == "" || f.Init == "" || f.CPUs < 1 || f.MemoryMiB < 64 || f.OS.ID == "" || f.CgroupVersion == 0 {
		t.Errorf("incomplete: %+v\n%s", f, stderr)
	}
	if len(f.Controllers) == 0 {
		t.Error("no controllers of cgroups")
	}
	if f.Skew.Abs() > time.Minute {
		t.Errorf("localhost's clock has a skew of %s against itself", f.Skew)
	}
	if len(f.Disks) != 2 || f.Disks[1].Path != "/var/lib/no/such/directory" || f.Disks[1].SizeMiB == 0 || !strings.HasPrefix(f.Disks[1].MountPoint, "/") {
		t.Errorf("disks %+v", f.Disks)
	}
	if !slices.Equal(f.Existing, []Path{"/proc/self"}) {
		t.Errorf("existing paths %q", f.Existing)
	}
	if !f.Command("tail") {
		t.Errorf("tail is missing among %v", f.Commands)
	}
	if _, exists := f.Sysctls["no.such.sysctl"]; exists {
		t.Errorf("a sysctl that does not exist has a value: %v", f.Sysctls)
	}
	for line := range strings.Lines(out) {
		if key, value, _ := strings.Cut(line, "\t"); strings.TrimSpace(value) == "" {
			t.Errorf("%s has no value", key)
		}
	}
}

// The kernel of the test has modules that this one does not have.
func TestTheModulesOfAKernelThatCannotBeReadAreUnknown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config, modprobe string
		want             Facts
	}{
		"built in":            {"echo CONFIG_IP_VS=y; echo CONFIG_IP_VS_RR=m", "exit 1", Facts{Modules: []string{"ip_vs"}}},
		"loadable":            {"echo CONFIG_IP_VS=m", `[ "$3" = ip_vs ]`, Facts{Loadable: []string{"ip_vs"}}},
		"nothing can be read": {"exit 1", "exit 1", Facts{ModulesUnreadable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uname := "case $1 in -r) echo 1.2.3-none ;; -m) echo x86_64 ;; *) echo n1 ;; esac"
			local := hosttest.Local{Env: []string{hosttest.Programs(t, map[string]string{"uname": uname, "zcat": test.config, "modprobe": test.modprobe})}}
			out, _, _ := local.Script(t, "facts/facts.sh", "--", "--")
			f, err := Parse([]byte(out), time.Now(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if f.ModulesUnreadable != test.want.ModulesUnreadable || f.Module("ip_vs") != test.want.Module("ip_vs") ||
				slices.Contains(f.Loadable, "ip_vs") != test.want.Loads("ip_vs") && !f.Module("ip_vs") {
				t.Errorf("got %v, loadable %v, unreadable %v", f.Modules, f.Loadable, f.ModulesUnreadable)
			}
			if f.Loads("ip_vs_rr") {
				t.Error("ip_vs_rr is neither built in nor loadable")
			}
		})
	}
}
