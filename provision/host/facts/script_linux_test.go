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
