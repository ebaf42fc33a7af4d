package container

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// testSession is a session on an empty lab below a temporary directory.
func testSession(t *testing.T) *session {
	t.Helper()
	s, err := Containers{Dir: t.TempDir()}.session("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStateIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	s := testSession(t)
	want := state{
		Version: stateVersion,
		Subnet:  prefix("10.88.77.0/24"),
		Bridge:  "slw01234567",
		Machines: []*machine{{
			Name: "cp1", Roles: []config.Role{config.RoleControlPlane}, Address: addr("10.88.77.11"),
			Process: &process{PID: 7, Start: 8, BootID: "b"}, Cgroups: []string{"/sys/fs/cgroup/x"}, Ready: true,
		}},
	}
	if err := s.record(func() { s.state = want }); err != nil {
		t.Fatal(err)
	}
	again := session{name: s.name, dir: s.dir}
	if err := again.load(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again.state, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".*")); len(left) > 0 {
		t.Errorf("temporary files stay: %v", left)
	}
}

func TestLoadRejectsAnUnknownStateFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, content, want string }{
		{"a newer version", `{"version": 99}`, "version 99"},
		{"a truncated file", `{"version": 1`, "unexpected end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := testSession(t)
			if err := os.WriteFile(s.statePath(), []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.load(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("load: %v, want %q", err, tc.want)
			}
		})
	}
	if err := testSession(t).load(); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("load without a state file: %v, want ErrNotFound", err)
	}
}

func TestMergeKeepsExistingMachinesAndAddsNewOnes(t *testing.T) {
	t.Parallel()
	subnet := prefix("10.88.77.0/24")
	asked := func(spec lab.Spec) []lab.Machine {
		return lab.MachinesOf(spec, subnet, layout)
	}
	have, err := merge(nil, asked(lab.Spec{ControlPlanes: 1}))
	if err != nil {
		t.Fatal(err)
	}
	have[0].Process = &process{PID: 7}

	got, err := merge(have, asked(lab.Spec{ControlPlanes: 1, Workers: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Process == nil || got[0].Process.PID != 7 || got[1].Name != "w1" {
		t.Errorf("merge lost a record: %+v", got)
	}
	if len(got[0].Roles) != 1 {
		t.Errorf("cp1 is still a worker: %v", got[0].Roles)
	}

	_, err = merge(got, asked(lab.Spec{ControlPlanes: 1}))
	if err == nil || !strings.Contains(err.Error(), "w1") {
		t.Errorf("a smaller lab: %v, want an error that names w1", err)
	}
}

func TestCallsForALabThatDoesNotExist(t *testing.T) {
	t.Parallel()
	c := Containers{Dir: t.TempDir()}
	if _, err := c.Status(t.Context(), "nothing"); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("Status: %v, want ErrNotFound", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("Down needs root")
	}
	if err := c.Down(t.Context(), "nothing"); err != nil {
		t.Errorf("Down: %v", err)
	}
	if _, err := c.Boot(t.Context(), "nothing"); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("Boot: %v, want ErrNotFound", err)
	}
}
