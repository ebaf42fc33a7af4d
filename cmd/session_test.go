package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/viper"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// inventoryOf writes one with a host for each SSH server.
func inventoryOf(t *testing.T, home, more string, knownHosts string, servers ...*hosttest.Server) {
	t.Helper()
	var text strings.Builder
	text.WriteString("apiVersion: slipway.io/v1alpha1\nkind: Cluster\n" + more)
	fmt.Fprintf(&text, "ssh: {user: me, knownHostsFile: %s, identityFile: %s}\nhosts:\n", knownHosts, servers[0].KeyFile)
	for i, s := range servers {
		role := "worker"
		if i == 0 {
			role = "control-plane"
		}
		fmt.Fprintf(&text, "  - {name: node-%d, address: %s, roles: [%s], ssh: {port: %d}}\n", i, s.Address, role, s.Port)
	}
	write(t, home+"/inventory.yaml", text.String())
}

func TestAHostThatCannotBeUsedIsReportedOnce(t *testing.T) {
	bundle := workflowtest.NewBundle(t).Dir()
	tests := []struct {
		name   string
		config hosttest.ServerConfig
		known  bool
		hint   string
	}{
		{"since its host key is unknown", hosttest.ServerConfig{}, false, "--accept-new-host-keys"},
		{"since it refuses the key", hosttest.ServerConfig{RefuseAll: true}, true, "authorized_keys"},
	}
	for _, test := range tests {
		for _, command := range [][]string{{"apply"}, {"plan"}, {"kubeconfig"}} {
			t.Run(strings.Join(command, " ")+" "+test.name, func(t *testing.T) {
				home := alone(t)
				server := hosttest.NewServer(t, test.config)
				known := filepath.Join(home, "known_hosts")
				write(t, known, "")
				if test.known {
					known = server.KnownHosts()
				}
				inventoryOf(t, home, "artifacts: {bundle: "+bundle+"}\n", known, server)
				out, complaints, code := slipway(t, command...)
				if code != exitConnection {
					t.Errorf("exit code %d", code)
				}
				if got := strings.Count(complaints, test.hint); got != 1 {
					t.Errorf("the hint is printed %d times:\n%s", got, complaints)
				}
				if strings.Contains(out, test.hint) {
					t.Errorf("the hint is among the results:\n%s", out)
				}
				if !strings.Contains(complaints, "node-0") {
					t.Errorf("the host is not named:\n%s", complaints)
				}
			})
		}
	}
}

func TestPreflightReportsAHostThatCannotBeUsed(t *testing.T) {
	bundle := workflowtest.NewBundle(t).Dir()
	home := alone(t)
	server := hosttest.NewServer(t, hosttest.ServerConfig{})
	known := filepath.Join(home, "known_hosts")
	write(t, known, "")
	inventoryOf(t, home, "artifacts: {bundle: "+bundle+"}\n", known, server)
	out, complaints, code := slipway(t, "preflight")
	if code != exitPreflight || complaints != "" {
		t.Errorf("exit code %d, said %q", code, complaints)
	}
	for _, want := range []string{"ssh-hostkey: ", "--accept-new-host-keys", "checks have no result on node-0"} {
		if strings.Count(out, want) != 1 {
			t.Errorf("%q stands %d times in\n%s", want, strings.Count(out, want), out)
		}
	}
}

func TestTheSameHintForTwoHostsIsPrintedOnce(t *testing.T) {
	home := alone(t)
	a, b := hosttest.NewServer(t, hosttest.ServerConfig{}), hosttest.NewServer(t, hosttest.ServerConfig{})
	write(t, home+"/known_hosts", "")
	inventoryOf(t, home, "artifacts: {bundle: "+workflowtest.NewBundle(t).Dir()+"}\n", home+"/known_hosts", a, b)
	_, complaints, code := slipway(t, "apply")
	if code != exitConnection || strings.Count(complaints, "--accept-new-host-keys") != 1 {
		t.Errorf("exit code %d:\n%s", code, complaints)
	}
	for _, name := range []string{"node-0", "node-1"} {
		if !strings.Contains(complaints, name) {
			t.Errorf("%s is not named:\n%s", name, complaints)
		}
	}
}

func TestARunLeavesALogAndAReport(t *testing.T) {
	home := alone(t)
	server := hosttest.NewServer(t, hosttest.ServerConfig{RefuseAll: true})
	inventoryOf(t, home, "artifacts: {bundle: "+workflowtest.NewBundle(t).Dir()+"}\n", server.KnownHosts(), server)
	_, complaints, _ := slipway(t, "plan")
	for _, kind := range []string{"log", "html"} {
		found, err := filepath.Glob(filepath.Join(home, "xdg_cache_home", "slipway", "runs", "*-plan."+kind))
		if err != nil || len(found) != 1 || !strings.Contains(complaints, found[0]) {
			t.Errorf("%s: %v, %v, said:\n%s", kind, found, err, complaints)
			continue
		}
		if info, err := os.Stat(found[0]); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", kind, info, err)
		}
	}
}

func TestEventsAreJSONLines(t *testing.T) {
	home := alone(t)
	server := hosttest.NewServer(t, hosttest.ServerConfig{RefuseAll: true})
	inventoryOf(t, home, "artifacts: {bundle: "+workflowtest.NewBundle(t).Dir()+"}\n", server.KnownHosts(), server)
	out, _, code := slipway(t, "apply", "-o", "json")
	if code != exitConnection {
		t.Errorf("exit code %d", code)
	}
	var kinds []string
	for line := range strings.Lines(out) {
		var e report.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kinds = append(kinds, string(e.Kind))
	}
	if len(kinds) < 3 || kinds[0] != "run-started" || kinds[len(kinds)-1] != "run-finished" {
		t.Errorf("events %v", kinds)
	}
}

func TestUnknownPhasesAndHostsAreUsageErrors(t *testing.T) {
	home := alone(t)
	write(t, home+"/inventory.yaml", single) // the bundle would be downloaded
	for _, args := range [][]string{
		{"phase", "run", "nonsense"}, {"apply", "--skip-phases", "nonsense"}, {"plan", "--hosts", "nobody"}, {"apply", "--skip-phases", "lock"},
	} {
		if _, complaints, code := slipway(t, args...); code != exitUsage || !strings.HasPrefix(complaints, "slipway: ") {
			t.Errorf("%v: exit code %d, %q", args, code, complaints)
		}
	}
}

func TestSudoPassword(t *testing.T) {
	tests := []struct {
		name, file, env string
		want            string
	}{
		{"none", "", "", ""},
		{"from the environment", "", "secret", "secret"},
		{"from a file, without its end of line", "from file\n", "", "from file"},
		{"from a file before the environment", "from file\r\n", "secret", "from file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home := alone(t)
			args := []string{"apply"}
			if test.file != "" {
				write(t, home+"/password", test.file)
				args = append(args, "--sudo-password-file", home+"/password")
			}
			if test.env != "" {
				t.Setenv("SLIPWAY_SUDO_PASSWORD", test.env)
			}
			ask, err := set(t, args...).sudoPassword()
			if err != nil {
				t.Fatal(err)
			}
			if (ask == nil) != (test.want == "") {
				t.Fatal("a password where there is none, or none where there is one")
			}
			if ask == nil {
				return
			}
			if got, err := ask(t.Context()); err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestKubeconfigIsMerged(t *testing.T) {
	home := alone(t)
	target := home + "/kubeconfig"
	t.Setenv("KUBECONFIG", target)
	conf := func() []byte {
		rewritten, err := kube.Rewrite(kubetest.New(t).Kubeconfig(""), "", "lab")
		if err != nil {
			t.Fatal(err)
		}
		return rewritten
	}
	var said bytes.Buffer
	a := &app{err: &said, settings: viper.New()}
	mine := conf()
	if err := a.mergeKubeconfig("lab", mine); err != nil || !strings.Contains(said.String(), target+": context lab\n") {
		t.Errorf("%v, said %q", err, said.String())
	}
	if err := a.mergeKubeconfig("lab", mine); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := a.forgetKubeconfig("other"); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(target); err != nil || !strings.Contains(string(text), "name: lab") {
		t.Errorf("it was removed with another one: %v", err)
	}
	if err := a.forgetKubeconfig("lab"); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(target); err != nil || strings.Contains(string(text), "name: lab") {
		t.Errorf("it is still there, %v", err)
	}
}

func TestAMergeIntoABrokenFileHasNoHintAboutNames(t *testing.T) {
	home := alone(t)
	write(t, home+"/kubeconfig", "no: [yaml\n")
	t.Setenv("KUBECONFIG", home+"/kubeconfig")
	conf, err := kube.Rewrite(kubetest.New(t).Kubeconfig(""), "", "lab")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{err: &bytes.Buffer{}, settings: viper.New()}
	if err := a.mergeKubeconfig("lab", conf); err == nil || workflow.Hint(err) != "" {
		t.Errorf("got %v, hint %q", err, workflow.Hint(err))
	}
}

func TestTheLockHolderNamesUserComputerAndProcess(t *testing.T) {
	t.Parallel()
	got := lockHolder()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "@"+host+" (pid ") {
		t.Errorf("got %q", got)
	}
}

func TestCommandsRefuseALabThatDoesNotExist(t *testing.T) {
	home := alone(t)
	t.Setenv("KUBECONFIG", home+"/kubeconfig")
	const other = "apiVersion: v1\nkind: Config\nclusters: [{name: prod, cluster: {server: https://prod.example}}]\n" +
		"users: [{name: prod-admin, user: {token: x}}]\ncontexts: [{name: prod, context: {cluster: prod, user: prod-admin}}]\n"
	write(t, home+"/kubeconfig", other)
	if _, complaints, code := slipway(t, "lab", "status", "--name", "prod"); code == 0 || !strings.Contains(complaints, "next: create it with `slipway lab up`") {
		t.Errorf("status: exit code %d, %q", code, complaints)
	}
	// Without root it is refused, and changes nothing either.
	if _, complaints, code := slipway(t, "lab", "down", "--name", "prod"); code != 0 && os.Geteuid() == 0 {
		t.Errorf("down: exit code %d, %q", code, complaints)
	}
	if text, err := os.ReadFile(home + "/kubeconfig"); err != nil || string(text) != other {
		t.Errorf("the kubeconfig of a cluster that is not a lab has become %q, %v", text, err)
	}
}
