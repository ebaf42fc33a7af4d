package facts

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/templates"
)

func TestTheScriptReadsTheFactsOfLocalhost(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sh", "-s", "--", "kernel.ostype", "no.such.sysctl", "--", "/proc/self", "/no/such/file", "--", "/proc/self", "/var/lib/no/such/folder")
	cmd.Stdin = bytes.NewReader(templates.Script("facts/facts.sh"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	before := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	f, err := Parse(out, before, time.Now())
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if f.Hostname == "" || f.Init == "" || f.CPUs < 1 || f.MemoryMiB < 64 || f.OS.ID == "" || f.CgroupVersion == 0 {
		t.Errorf("incomplete: %+v\n%s", f, stderr.String())
	}
	if f.Skew.Abs() > time.Minute {
		t.Errorf("localhost's clock has a skew of %s against itself", f.Skew)
	}
	if len(f.Disks) != 2 || f.Disks[1].Path != "/var/lib/no/such/folder" || f.Disks[1].SizeMiB == 0 || !strings.HasPrefix(f.Disks[1].MountPoint, "/") {
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
	for line := range strings.Lines(string(out)) {
		if key, value, _ := strings.Cut(line, "\t"); strings.TrimSpace(value) == "" {
			t.Errorf("%s has no value", key)
		}
	}
}
