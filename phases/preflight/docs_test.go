package preflight

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/report/check"
)

var update = flag.Bool("update", false, "write docs/preflight.md anew")

func TestDocsDescribeEveryCheck(t *testing.T) {
	t.Parallel()
	const path = "../../docs/preflight.md"
	want := docsPage(t)
	if *update {
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("docs/preflight.md is not what the checks say; run go test ./phases/preflight -run Docs -update (-want +have):\n%s", diff)
	}
}

// introduction is what docs/preflight.md says before the checks.
const introduction = `# Preflight checks

Made from the code by ` + "`go test ./phases/preflight -run Docs -update`" + `.

` + "`slipway preflight`" + ` looks at the machines and changes nothing; ` + "`slipway apply`" + ` runs the same checks first and refuses
on errors, when nothing has been changed yet. All checks run, none stops another, and a machine that cannot be reached
keeps no other from being looked at.

    slipway preflight                                  # all checks, grouped, with what to do
    slipway preflight --verbose                        # those that found nothing too, and the matrix of pairs
    slipway preflight --watch                          # again and again, until nothing is wrong
    slipway preflight --only mesh,mtu                  # some checks; --skip-checks leaves some out
    slipway preflight --no-pairs                       # no packets between the machines
    slipway preflight -o html --output-file page.html  # or json, yaml, junit
    slipway preflight --local                          # this computer, on which a lab is to run
    slipway explain mesh                               # what a check looks at, why, and how to look by hand

| severity | means | exit code |
|---|---|---|
| error | the installation would fail, or the cluster not work | 5 |
| unknown | the question could not be answered | 10, if there is no error |
| warning | for somebody to judge | 11, if there is nothing worse |
| info | slipway deals with it by itself | 0 |

**Packets between the machines.** A static program of about 3 MB is brought to each machine over SSH, listens on the
ports that the cluster will use, tries to reach all others, measures the size of packets that pass and the time they
take, and is gone with the connection. It removes its own file as soon as it runs. ` + "`apply`" + ` sends these packets as long as
a machine has no kubelet; afterwards the cluster itself uses the ports, and ` + "`slipway validate`" + ` proves the network.

**What is to come.** ` + "`preflight.expect`" + ` in the inventory names what you will put onto the cluster; its needs are then
checked too. **What is meant to be so**: the inventory can ignore a check, and its reason is shown beside the result.

` + "```yaml" + `
preflight:
  expect:
    - name: longhorn
    - name: load-balancer
      addresses: [192.0.2.240-192.0.2.250]
  ignore:
    - check: duplicate-uuid
      reason: the machines are containers of one computer
` + "```" + `
`

func docsPage(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(introduction)
	titles := map[check.Kind]string{
		check.Host: "Of each host", check.AllHosts: "Across all hosts", check.Pair: "Between each pair of hosts",
		check.Local: "Of this computer (--local)",
	}
	for _, kind := range []check.Kind{check.Host, check.AllHosts, check.Pair, check.Local} {
		fmt.Fprintf(&b, "\n## %s\n", titles[kind])
		for _, d := range Describe() {
			if d.Kind != kind {
				continue
			}
			fmt.Fprintf(&b, "\n### %s\n\n%s (%s). %s %s\n\n", d.Name, strings.ToUpper(d.Title[:1])+d.Title[1:], d.Severity, d.Looks, d.Why)
			for _, line := range d.Manual {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	b.WriteString(`
## How each check was proved

Each check has a test that plants a fault among the facts of a machine, among what was measured, or in the inventory,
and sees the check fire with its severity, evidence and fix, and be silent without the fault. Those in the last column
were proved on running machines too (e2e/testdata/preflight-faults.yaml): the fault is made there, seen, and healed.

| check | planted facts | running machine |
|---|---|---|
`)
	machines := provedOnMachines(t)
	for _, d := range Describe() {
		machine := ""
		if slices.Contains(machines, d.Name) {
			machine = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | yes | %s |\n", d.Name, machine)
	}
	return b.Bytes()
}

// provedOnMachines are the checks for which the end-to-end test has a fault.
func provedOnMachines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../e2e/testdata/preflight-faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	faults := map[string]any{}
	if err := yaml.Unmarshal(text, &faults); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range faults {
		names = append(names, name)
		if !slices.ContainsFunc(Describe(), func(d check.Description) bool { return d.Name == name }) {
			t.Errorf("preflight-faults.yaml: there is no check %s", name)
		}
	}
	return names
}
