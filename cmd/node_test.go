package cmd

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"
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

func TestNodeNamesAreCompleted(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", strings.Replace(three, "{name: w-2,", "{name: w-2, state: lost,", 1))
	out, _, code := slipway(t, "__complete", "node", "remove", "")
	if code != 0 || !strings.HasPrefix(out, "cp-1\nw-1\nw-2\n") {
		t.Errorf("exit code %d, %q", code, out)
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
