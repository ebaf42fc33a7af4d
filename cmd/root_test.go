package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/config"
)

// slipway runs a command line and returns its output and exit code.
func slipway(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = Main(args, strings.NewReader(""), &out, &errOut)
	return out.String(), errOut.String(), code
}

// alone gives the test a home without settings, caches or kubeconfigs, and an
// environment without slipway's variables.
func alone(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(name, filepath.Join(home, strings.ToLower(name)))
	}
	t.Setenv("KUBECONFIG", "")
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "SLIPWAY_") {
			t.Setenv(name, "")
		}
	}
	t.Chdir(home)
	return home
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// commands lists all commands except those that cobra adds.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		all = append(all, c)
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(newRoot(&app{settings: viper.New()}))
	if len(all) < 15 {
		t.Fatalf("only %d commands", len(all))
	}
	return all
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	for _, c := range commands(t) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || strings.ToUpper(c.Short[:1]) != c.Short[:1] {
			t.Errorf("%s: the short text is %q", c.CommandPath(), c.Short)
		}
		if !strings.HasPrefix(c.Example, "  slipway ") {
			t.Errorf("%s: the example is %q", c.CommandPath(), c.Example)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(line, c.CommandPath()) && c.HasParent() {
				t.Errorf("%s: %q is not an example of it", c.CommandPath(), line)
			}
		}
	}
}

// Each line of an example is understood by the command that it names.
func TestExamplesParse(t *testing.T) {
	t.Parallel()
	for _, c := range commands(t) {
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(line, " > ")
			line, _, _ = strings.Cut(line, " && ")
			words := strings.Fields(line)[1:]
			root := newRoot(&app{settings: viper.New()})
			found, rest, err := root.Find(words)
			if err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if found.HasAvailableSubCommands() {
				t.Errorf("%q does nothing", line)
			}
		}
	}
}

func TestHelpIsPrintedByEveryCommand(t *testing.T) {
	alone(t)
	for _, c := range commands(t) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		out, complaints, code := slipway(t, args...)
		if code != 0 || complaints != "" || !strings.Contains(out, "Examples:") || !strings.Contains(out, "Usage:") {
			t.Errorf("slipway %v: exit code %d, %q\n%s", args, code, complaints, out)
		}
	}
}

func TestAGroupOfCommandsPrintsItsHelp(t *testing.T) {
	alone(t)
	for _, args := range [][]string{nil, {"bundle"}, {"phase"}, {"lab"}} {
		out, complaints, code := slipway(t, args...)
		if code != 0 || complaints != "" || !strings.Contains(out, "Available Commands:") && !strings.Contains(out, "Cluster Commands:") {
			t.Errorf("slipway %v: exit code %d, %q\n%s", args, code, complaints, out)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", single)
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"an unknown command", []string{"frobnicate"}, "unknown command \"frobnicate\" for \"slipway\"\nnext: run `slipway --help` for usage\n"},
		{"a misspelt command", []string{"aply"}, "unknown command \"aply\" for \"slipway\"\n\nDid you mean this?\n\tapply\n"},
		{"a misspelt command of a command", []string{"bundle", "verfy"}, "unknown command \"verfy\" for \"slipway bundle\"\n\nDid you mean this?\n\tverify\n"},
		{"an unknown flag", []string{"apply", "--frobnicate"}, "unknown flag: --frobnicate\nnext: run `slipway apply --help` for usage\n"},
		{"a flag without its value", []string{"apply", "--hosts"}, "flag needs an argument: --hosts"},
		{"a value that is not a number", []string{"apply", "--parallel", "many"}, "invalid argument"},
		{"a batch without hosts", []string{"apply", "--batch", "0"}, "--batch 0: use a number such as 2, or a percentage such as 10%"},
		{"a batch that is no number", []string{"plan", "--batch", "half"}, "--batch half: use a number such as 2, or a percentage such as 10%"},
		{"a batch of more than all", []string{"plan", "--batch", "200%"}, "--batch 200%: use a number such as 2, or a percentage such as 10%"},
		{"too many arguments", []string{"plan", "now"}, `unknown command "now" for "slipway plan"`},
		{"too few arguments", []string{"bundle", "verify"}, "accepts 1 arg(s), received 0\nnext: run `slipway bundle verify --help` for usage\n"},
		{"no phase to run", []string{"phase", "run"}, "requires at least 1 arg(s), only received 0\nnext: run `slipway phase list`"},
		{"no machine to log in to", []string{"lab", "ssh"}, "requires at least 1 arg(s), only received 0\nnext: run `slipway lab status`"},
		{"machines of an unknown provider", []string{"lab", "up", "--provider", "podman"}, `--provider "podman": must be vagrant or container`},
		{"an unknown naming", []string{"lab", "up", "--names", "greek"}, `names "greek": must be short or classic`},
		{"a cluster without a control plane", []string{"lab", "up", "--control-planes", "0"}, "pass --machines-only"},
		{"an address that is shared by nobody", []string{"lab", "up", "--ha", "--control-planes", "0", "--machines-only"}, "a highly available lab needs a control plane"},
		{"a network that is not valid", []string{"lab", "up", "--range", "172.16.16"}, `--range "172.16.16": must be an IPv4 network`},
		{"a network of another size", []string{"lab", "up", "--range", "10.0.0.0/8"}, "must be an IPv4 /24"},
		{"a snapshot without a name", []string{"lab", "snapshot", "save"}, "accepts 1 arg(s), received 0"},
		{"an unknown output format", []string{"version", "-o", "xml"}, `--output "xml": must be text or json`},
		{"an inventory that does not exist", []string{"apply", "-i", "none.yaml"}, "inventory none.yaml: no such file or directory\nnext: pass the inventory with -i"},
		{"a host that init cannot read", []string{"init", "--host", "cp-1"}, `host "cp-1": write name=address`},
		{"an unknown role", []string{"init", "--host", "cp-1=192.0.2.1,master"}, `unknown role "master"`},
		{"hosts without a control plane", []string{"init", "--host", "w-1=192.0.2.1"}, "control-plane"},
		{"a reset without confirmation", []string{"reset"}, "on all hosts of inventory.yaml (1)\nnext: rerun with --yes to confirm"},
		{"a password file that does not exist", []string{"apply", "--sudo-password-file", "none"}, "--sudo-password-file: "},
		{"a password prompt without a terminal", []string{"apply", "--ask-sudo-password"}, "standard input is not a terminal"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, complaints, code := slipway(t, test.args...)
			if code != exitUsage || out != "" || !strings.HasPrefix(complaints, "slipway: ") || !strings.Contains(complaints, test.want) {
				t.Errorf("exit code %d, printed %q, said %q, want %q", code, out, complaints, test.want)
			}
		})
	}
}

// single is the shortest inventory.
const single = `apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
  - {name: cp-1, address: 127.0.0.1, roles: [control-plane]}
`

func TestAnInvalidInventoryIsRefused(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", strings.Replace(single, "address", "adress", 1))
	_, complaints, code := slipway(t, "apply")
	if code != exitInventory || !strings.Contains(complaints, "inventory.yaml:4: ") {
		t.Errorf("exit code %d, %q", code, complaints)
	}
}

func TestPhaseList(t *testing.T) {
	alone(t)
	out, _, code := slipway(t, "phase", "list", "-o", "json")
	var infos []phaseInfo
	if err := json.Unmarshal([]byte(out), &infos); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
		if info.Title == "" || info.Why == "" || info.Where == "" || info.Needs == nil || info.NeedsAll == nil {
			t.Errorf("%+v lacks something", info)
		}
	}
	if diff := cmp.Diff(phaseNames(phases.Apply()), names); diff != "" {
		t.Error(diff)
	}
	text, _, code := slipway(t, "phase", "list")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range names {
		if !strings.Contains(text, name) {
			t.Errorf("the table lacks %s:\n%s", name, text)
		}
	}
}

func TestInitWritesAnInventory(t *testing.T) {
	alone(t)
	tests := []struct {
		name  string
		args  []string
		title string
		want  []config.Host
	}{
		{
			"of hosts that are named",
			[]string{"--name", "lab", "--host", "cp-1=192.0.2.10,control-plane,worker", "--host", "w-1=192.0.2.11"},
			"lab",
			[]config.Host{
				{Name: "cp-1", Address: "192.0.2.10", Roles: []config.Role{config.RoleControlPlane, config.RoleWorker}},
				{Name: "w-1", Address: "192.0.2.11", Roles: []config.Role{config.RoleWorker}},
			},
		},
		{
			"of example hosts", nil, "kubernetes",
			[]config.Host{
				{Name: "control-1", Address: "192.0.2.11", Roles: []config.Role{config.RoleControlPlane}},
				{Name: "worker-1", Address: "192.0.2.21", Roles: []config.Role{config.RoleWorker}},
				{Name: "worker-2", Address: "192.0.2.22", Roles: []config.Role{config.RoleWorker}},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, complaints, code := slipway(t, append([]string{"init"}, test.args...)...)
			if code != 0 || complaints != "" {
				t.Fatalf("exit code %d, %q", code, complaints)
			}
			cluster, err := config.Parse("inventory.yaml", []byte(out))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, cluster.Hosts); diff != "" || cluster.Metadata.Name != test.title {
				t.Errorf("name %s, hosts: %s", cluster.Metadata.Name, diff)
			}
		})
	}
}

func TestSchemaAndVersion(t *testing.T) {
	alone(t)
	out, _, code := slipway(t, "schema")
	if code != 0 || out != string(config.Schema()) {
		t.Errorf("exit code %d, %d bytes of schema", code, len(out))
	}
	out, _, code = slipway(t, "version")
	if code != 0 || !strings.Contains(out, version) || !strings.Contains(out, config.DefaultKubernetesVersion) {
		t.Errorf("exit code %d, %q", code, out)
	}
	out, _, code = slipway(t, "version", "-o", "json")
	var told map[string]any
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != 0 || told["version"] != version {
		t.Errorf("exit code %d, %v, %q", code, err, out)
	}
}

func TestCompletion(t *testing.T) {
	alone(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, complaints, code := slipway(t, "completion", shell)
		if code != 0 || complaints != "" || !strings.Contains(out, "__complete") {
			t.Errorf("%s: exit code %d, %q, %d bytes", shell, code, complaints, len(out))
		}
	}
	// What the script asks for.
	out, _, code := slipway(t, "__complete", "phase", "run", "kube")
	if code != 0 || !strings.Contains(out, "kubelet\n") || !strings.Contains(out, "kubeadm-init\n") {
		t.Errorf("phases: exit code %d, %q", code, out)
	}
	out, _, code = slipway(t, "__complete", "app")
	if code != 0 || !strings.HasPrefix(out, "apply\t") {
		t.Errorf("commands: exit code %d, %q", code, out)
	}
}
