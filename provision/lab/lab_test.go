package lab

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		spec Spec
		want []string // parts of the error; none: valid
	}{
		{"one control plane is a lab", Spec{Name: "a", ControlPlanes: 1}, nil},
		{"a name must be a DNS label", Spec{Name: "../x", ControlPlanes: 1}, []string{`"../x"`}},
		{"a name of 41 characters is too long", Spec{Name: strings.Repeat("a", 41), ControlPlanes: 1}, []string{"DNS label"}},
		{"a lab needs a machine", Spec{Name: "a"}, []string{"at least one machine"}},
		{"workers must fit between their first address and the broadcast one", Spec{Name: "a", Workers: 91}, []string{"91 workers"}},
		{"a subnet must be a /24", Spec{Name: "a", Workers: 1, Subnet: prefix("10.0.0.0/16")}, []string{"10.0.0.0/16"}},
		{"an endpoint needs a control plane", Spec{Name: "a", Workers: 1, HA: true}, []string{"a highly available lab needs a control plane"}},
		{"names must be known", Spec{Name: "a", Workers: 1, Names: "greek"}, []string{`names "greek": must be short or classic`}},
		{"all errors are reported at once", Spec{Name: "A", ControlPlanes: -1}, []string{`"A"`, "-1 control planes"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := tc.spec.Validate()
			if (err == nil) != (tc.want == nil) {
				t.Fatalf("validate: %v", err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
		})
	}
}

func TestSSHArgvUsesOnlyTheLabsKeys(t *testing.T) {
	t.Parallel()
	l := &Lab{Name: "x", Dir: "/labs/x", Machines: []Machine{{Name: "cp1", Address: netip.MustParseAddr("10.88.77.11"), User: "slipway", IdentityFile: "/labs/x/id_ed25519"}}}
	got, err := l.SSHArgv("cp1", "uptime", "-s")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ssh", "-F", "none", "-i", "/labs/x/id_ed25519", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=/labs/x/known_hosts", "-l", "slipway", "10.88.77.11", "--", "uptime", "-s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := l.SSHArgv("cp2"); err == nil || !strings.Contains(err.Error(), `"cp2"`) {
		t.Errorf("an unknown machine: %v", err)
	}
}
