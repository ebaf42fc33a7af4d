package host_test

import (
	"testing"

	"slipway.io/slipway/provision/host"
)

func TestCmdString(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cmd  host.Cmd
		want string
	}{
		{"a command is its argv", host.Cmd{Argv: []string{"swapoff", "/dev/sda"}}, "swapoff /dev/sda"},
		{"words stay separate", host.Cmd{Argv: []string{"echo", "a b", ""}}, "echo 'a b' ''"},
		{"a script is its name and arguments", host.Script("undo.sh", nil, "a", "b c"), "undo.sh a 'b c'"},
		{"a script without arguments is its name", host.Script("undo.sh", nil), "undo.sh"},
		{"a command with a name is that name", host.Cmd{Name: "import", Argv: []string{"ctr", "import", "-"}}, "import"},
		{"secrets are replaced, the longer first", host.Cmd{Argv: []string{"join", "abc.def", "abc"}, Secret: []string{"abc", "abc.def"}}, "join <secret> <secret>"},
		{"a secret that needs quotes is replaced", host.Cmd{Argv: []string{"join", "it's"}, Secret: []string{"it's"}}, "join <secret>"},
		{"a secret in the name is replaced", host.Cmd{Name: "join abc", Argv: []string{"x"}, Secret: []string{"abc"}}, "join <secret>"},
		{"an empty secret is ignored", host.Cmd{Argv: []string{"join"}, Secret: []string{""}}, "join"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.cmd.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
