package cmd

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"slipway.io/slipway/provision/config"
)

const three = `apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - {name: cp-1, address: 127.0.0.1, roles: [control-plane]}
  - name: w-1 # the old one
    address: 127.0.0.2
  - {name: w-2, address: 127.0.0.3}
`

func TestNodeSetsTheStateOfAHost(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		answer string
		code   int
		// want is in the inventory afterwards, "" if it stays. said is printed.
		want, said string
	}{
		{"a host that is confirmed", []string{"remove", "w-1"}, "y\n", exitOK, "  - name: w-1 # the old one\n    state: absent\n", "+    state: absent"},
		{"a host with --yes", []string{"lost", "w-2", "--yes"}, "", exitOK, "{name: w-2, state: lost, address: 127.0.0.3}", "inventory.yaml updated"},
		{"a host that is not confirmed", []string{"remove", "w-1"}, "n\n", exitUsage, "", "rerun with --yes"},
		{"without an answer", []string{"lost", "w-1"}, "", exitUsage, "", "Remove node w-1 from cluster \"kubernetes\"? [y/N]"},
		{"a host that does not exist", []string{"remove", "w-9", "--yes"}, "", exitUsage, "", `unknown host "w-9"; the hosts of the inventory are cp-1, w-1, w-2`},
		{"two hosts", []string{"remove", "w-1", "w-2"}, "y\n", exitOK, "{name: w-2, state: absent,", "Remove nodes w-1, w-2 from cluster"},
		{"two hosts, of which one does not exist", []string{"remove", "w-1", "w-9", "--yes"}, "", exitUsage, "", `unknown host "w-9"`},
		{"the last control plane", []string{"remove", "cp-1", "--yes"}, "", exitInventory, "", "no host is a control plane"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home := alone(t)
			write(t, home+"/inventory.yaml", three)
			var out, said bytes.Buffer
			code := Main(append([]string{"node"}, append(test.args, "--no-apply")...), strings.NewReader(test.answer), &out, &said)
			if code != test.code || !strings.Contains(said.String(), test.said) || out.Len() > 0 {
				t.Errorf("exit code %d, printed %q, said %q", code, out.String(), said.String())
			}
			after, err := os.ReadFile(home + "/inventory.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" && string(after) != three || !strings.Contains(string(after), test.want) {
				t.Errorf("the inventory is\n%s", after)
			}
		})
	}
}

// ofControlPlanes is an inventory with n control planes and a worker; states are those of
// the last ones.
func ofControlPlanes(n int, states ...string) string {
	text := "apiVersion: slipway.io/v1alpha1\nkind: Cluster\ncontrolPlane: {endpoint: api.example}\nhosts:\n"
	for i := range n {
		state := ""
		if from := n - len(states); i >= from {
			state = ", state: " + states[i-from]
		}
		text += fmt.Sprintf("  - {name: cp-%d, address: 192.0.2.1%d, roles: [control-plane]%s}\n", i+1, i+1, state)
	}
	return text + "  - {name: w-1, address: 192.0.2.21}\n"
}

func TestControlPlanesLeaveAnyNumberOfThem(t *testing.T) {
	const one, several = "etcd needs 2 of 2 control planes: the cluster tolerates no further failure", "etcd needs 3 of 4 control planes: the cluster tolerates no more failures than with 3"
	tests := []struct {
		name      string
		inventory string
		args      []string
		code      int
		// said is printed; "" means that nothing warns.
		said string
	}{
		{"one of three is lost", ofControlPlanes(3), []string{"lost", "cp-2"}, exitOK, one},
		{"one of three is removed", ofControlPlanes(3), []string{"remove", "cp-1"}, exitOK, one},
		{"one of five is lost", ofControlPlanes(5), []string{"lost", "cp-2"}, exitOK, several},
		{"two of five are lost", ofControlPlanes(5), []string{"lost", "cp-2", "cp-3"}, exitOK, ""},
		{"two of three are removed", ofControlPlanes(3), []string{"remove", "cp-2", "cp-3"}, exitOK, ""},
		{"one of three is lost, and its successor is in the inventory", ofControlPlanes(4), []string{"lost", "cp-2"}, exitOK, ""},
		{"one of the two that are left", ofControlPlanes(3, "lost"), []string{"remove", "cp-2"}, exitOK, ""},
		{"one of two, after the lost one was deleted from the inventory", ofControlPlanes(2), []string{"remove", "cp-2"}, exitOK, ""},
		{"one of four, of which one has left", ofControlPlanes(5, "absent"), []string{"lost", "cp-1"}, exitOK, ""},
		{"a worker beside two that are left", ofControlPlanes(3, "lost"), []string{"remove", "w-1"}, exitOK, one},
		{"all of three", ofControlPlanes(3), []string{"remove", "cp-1", "cp-2", "cp-3"}, exitInventory, "no host is a control plane"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home := alone(t)
			write(t, home+"/inventory.yaml", test.inventory)
			_, said, code := slipway(t, append([]string{"node"}, append(test.args, "--yes", "--no-apply")...)...)
			if code != test.code || !strings.Contains(said, test.said) || test.said == "" && strings.Contains(said, "warning") {
				t.Errorf("exit code %d, said %q", code, said)
			}
			// Other commands accept the inventory.
			if _, err := config.Load(home + "/inventory.yaml"); code == exitOK && err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnInventoryThatIsNoYAMLIsReportedWithItsLine(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", "hosts:\n  - {name: cp-1\n")
	if _, said, code := slipway(t, "node", "lost", "cp-1", "--yes"); code != exitInventory || !strings.Contains(said, "inventory.yaml:") {
		t.Errorf("exit code %d, said %q", code, said)
	}
}

func TestNodeDrainAndUncordonRefuseNamesThatDoNotExist(t *testing.T) {
	for _, verb := range []string{"drain", "uncordon"} {
		home := alone(t)
		write(t, home+"/inventory.yaml", three)
		if _, said, code := slipway(t, "node", verb, "w-9"); code != exitUsage || !strings.Contains(said, `unknown host "w-9"; the hosts of the inventory are cp-1, w-1, w-2`) {
			t.Errorf("%s: exit code %d, said %q", verb, code, said)
		}
		if _, said, code := slipway(t, "node", verb); code != exitUsage || !strings.Contains(said, "requires at least 1 arg") {
			t.Errorf("%s: exit code %d, said %q", verb, code, said)
		}
	}
}

func TestNodeNamesAreCompleted(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", strings.Replace(three, "{name: w-2,", "{name: w-2, state: lost,", 1))
	out, _, code := slipway(t, "__complete", "node", "remove", "")
	if code != 0 || !strings.HasPrefix(out, "cp-1\nw-1\nw-2\n") {
		t.Errorf("exit code %d, %q", code, out)
	}
	if out, _, _ := slipway(t, "__complete", "node", "remove", "w-1", ""); !strings.HasPrefix(out, "cp-1\nw-2\n") {
		t.Errorf("after a name: %q", out)
	}
}

func TestNothingLogsInToLostHosts(t *testing.T) {
	home := alone(t)
	inventory := strings.Replace(three, "{name: w-2,", "{name: w-2, state: lost,", 1)
	write(t, home+"/inventory.yaml", strings.Replace(inventory, "    address: 127.0.0.2\n", "    address: 127.0.0.2\n    state: absent\n", 1))
	settings := viper.New()
	settings.Set("inventory", home+"/inventory.yaml")
	s, err := (&app{settings: settings}).open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got := s.hosts.Names(); !slices.Equal(got, []string{"cp-1"}) {
		t.Errorf("works on %q", got)
	}
	if got := s.hosts.WithLeaving().Names(); !slices.Equal(got, []string{"cp-1", "w-1"}) {
		t.Errorf("connects to %q", got)
	}
	if len(s.hosts.Lost) != 1 || s.hosts.Lost[0].Config.Name != "w-2" {
		t.Errorf("%d hosts are lost", len(s.hosts.Lost))
	}
}
