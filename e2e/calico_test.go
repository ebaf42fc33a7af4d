//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// calicoPods are the pod addresses of the cluster with Calico.
const calicoPods = "10.32.0.0/16"

// calicoSteps is the life of a cluster with Calico, and of one with Flannel on the same hosts.
func calicoSteps() []step {
	return []step{
		{"machines come up", (*scenario).machinesComeUp, true},
		{"one machine has ipset", (*scenario).ipsetOnOneMachine, true},
		{"the plan with Calico changes nothing", (*scenario).planWithCalico, true},
		{"apply creates a cluster with Calico", (*scenario).apply, true},
		{"Calico's pods run with VXLAN", (*scenario).calicoRuns, true},
		{"validate passes, and network policies are enforced", (*scenario).policiesAreEnforced, false},
		{"a second apply changes nothing", (*scenario).applyAgain, false},
		{"status is complete", (*scenario).statusIsComplete, false},
		{"Calico's pods restart, and apply changes nothing", (*scenario).calicoRestarts, false},
		{"the cluster survives a power cycle", (*scenario).calicoPowerCycle, false},
		{"reset leaves nothing of Calico", (*scenario).resetCalico, true},
		{"apply creates a cluster with Flannel", (*scenario).flannelAfterCalico, true},
		{"validate passes with Flannel", (*scenario).validate, false},
		{"reset leaves nothing of Flannel", (*scenario).resetCalico, false},
		{"lab down leaves nothing", (*scenario).labDown, false},
	}
}

// TestCalico needs a bundle with Calico, which "make e2e-calico" builds.
func TestCalico(t *testing.T) {
	if text, err := os.ReadFile(filepath.Join(os.Getenv("SLIPWAY_BUNDLE"), "bundle.yaml")); err == nil && !strings.Contains(string(text), "quay.io/calico/node:") {
		t.Skip("the bundle has no images of Calico: run make e2e-calico")
	}
	newScenario(t).runSteps(t, calicoSteps())
}

// withIPSet is the machine that has ipset: without it, reset leaves the sets, which no program shows then.
const withIPSet = "w1"

// ipsetOnOneMachine copies the program and its library from Debian's packages.
func (s *scenario) ipsetOnOneMachine(ctx context.Context, t *testing.T) {
	const install = `
cd "$1"
apt-get download -qq ipset libipset13
for deb in *.deb; do dpkg-deb -x "$deb" root; done
find root -path '*/sbin/ipset' -exec cp {} "$2/usr/sbin/" \;
find root -name 'libipset.so*' -exec cp -P {} "$2/usr/lib/" \;
`
	cmd := exec.CommandContext(ctx, "sh", "-euc", install, "sh", t.TempDir(), s.lab.tree(withIPSet))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.mustSSH(ctx, t, withIPSet, "ipset list -n")
}

// planWithCalico sets the pod network in the lab's inventory.
func (s *scenario) planWithCalico(ctx context.Context, t *testing.T) {
	content, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), "\nkubernetes:\n")
	if !found {
		t.Fatalf("the inventory has no section kubernetes:\n%s", content)
	}
	write(t, s.lab.Inventory, before+"\n"+calicoNetwork+"kubernetes:\n"+rest)
	s.plan(ctx, t)
}

const calicoNetwork = "network: {podSubnet: " + calicoPods + ", cni: {name: calico, backend: vxlan}}\n"

// calicoRuns checks the data plane on each machine.
func (s *scenario) calicoRuns(ctx context.Context, t *testing.T) {
	var pool struct {
		Spec struct{ CIDR, VXLANMode, IPIPMode string }
	}
	s.get(ctx, t, &pool, "ippools.crd.projectcalico.org", "default-ipv4-ippool")
	if pool.Spec.CIDR != calicoPods || pool.Spec.VXLANMode != "Always" || pool.Spec.IPIPMode != "Never" {
		t.Errorf("the pool of addresses is %+v", pool.Spec)
	}
	for _, m := range s.lab.names() {
		link := s.mustSSH(ctx, t, m, "ip -d -o link show vxlan.calico")
		if !strings.Contains(link, "vxlan id 4096") || !strings.Contains(link, s.lab.machine(m).Address) {
			t.Errorf("%s: %s", m, link)
		}
		// A block of addresses of each other machine is routed through the tunnel.
		routes := s.mustSSH(ctx, t, m, "ip route show dev vxlan.calico")
		if got, want := strings.Count(routes, "\n"), len(s.lab.Machines)-1; got < want {
			t.Errorf("%s has %d routes to other machines, want at least %d:\n%s", m, got, want, routes)
		}
		if m == withIPSet && !strings.Contains(s.mustSSH(ctx, t, m, "ipset list -n"), "cali40") {
			t.Errorf("%s has no sets of Calico", m)
		}
		if rules := s.mustSSH(ctx, t, m, "iptables-save"); !strings.Contains(rules, "-j cali-FORWARD") {
			t.Errorf("%s has no rules of Calico:\n%s", m, rules)
		}
		if left := s.mustSSH(ctx, t, m, "ip -o link"); clusterLinks.MatchString(left) {
			t.Errorf("%s has links of Flannel:\n%s", m, left)
		}
	}
}

// policiesAreEnforced checks that each probe passes, but those that need addons or an endpoint.
func (s *scenario) policiesAreEnforced(ctx context.Context, t *testing.T) {
	t.Helper()
	found, r := s.probes(ctx, t, s.lab.Inventory)
	s.took("validate with Calico", r.took)
	for _, p := range found {
		optional := append([]string{"endpoint"}, dataPath...)
		if p.Status != "passed" && (p.Status != "skipped" || !slices.Contains(optional, p.Name)) {
			t.Errorf("%s %s: %s: %s%s", p.Name, p.Target, p.Status, p.Evidence, p.Error)
		}
	}
	if !slices.ContainsFunc(found, func(p probe) bool {
		return p.Name == "network-policy" && p.Status == "passed" && strings.Contains(p.Evidence, "is denied")
	}) {
		t.Errorf("no network policy was seen to deny a request:\n%s", r.stdout)
	}
	if r.code != 0 {
		t.Errorf("exit code %d", r.code)
	}
	pairs := 0
	for _, p := range found {
		if p.Name == "pod-to-pod" && p.Status == "passed" {
			pairs++
		}
	}
	if n := len(s.lab.Machines); pairs != n*(n-1) {
		t.Errorf("%d pairs of nodes were probed, want %d", pairs, n*(n-1))
	}
}

// calicoRestarts restarts calico-node, whose init container installs CNI plugins again.
func (s *scenario) calicoRestarts(ctx context.Context, t *testing.T) {
	s.hurt(ctx, t, "", []string{"-n", "kube-system", "rollout", "restart", "daemonset/calico-node"})
	eventually(ctx, t, "Calico's pods are ready again", 3*time.Minute, func(ctx context.Context) error {
		out, err := s.kubectl(ctx, t, "-n", "kube-system", "rollout", "status", "daemonset/calico-node", "--timeout=10s")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	// The annotation of the restart is not slipway's.
	nothingChanged(t, s.lab.names(), s.slipway.must(ctx, t, s.on("apply", "-o", "json")...))
}

func (s *scenario) calicoPowerCycle(ctx context.Context, t *testing.T) {
	s.powerCycle(ctx, t)
	s.calicoRuns(ctx, t)
	s.policiesAreEnforced(ctx, t)
}

// resetCalico checks that the machines are as before the first apply.
func (s *scenario) resetCalico(ctx context.Context, t *testing.T) {
	s.reset(ctx, t)
	for _, m := range s.lab.names() {
		s.nothingOfCalico(ctx, t, m)
		s.mustSSH(ctx, t, m, "iptables "+strings.Replace(unmanagedRule, "-A", "-D", 1))
	}
}

// What Calico leaves in the kernel, in the output of nothingOfCalico's commands.
var (
	calicoLinks  = regexp.MustCompile(`(?m)^\d+: (cali|vxlan|tunl|wireguard)\S*`)
	calicoRules  = regexp.MustCompile(`(?mi)^.*cali.*$`)
	calicoMounts = regexp.MustCompile(`(?m)^.* /(run|var)/\S*calico\S* .*$`)
)

// nothingOfCalico checks for links, routes, rules, sets, mounts and files of Calico.
func (s *scenario) nothingOfCalico(ctx context.Context, t *testing.T, machine string) {
	t.Helper()
	ipsets := "ipset list -n"
	if machine != withIPSet {
		ipsets = "true"
	}
	for what, look := range map[string]struct {
		command string
		left    *regexp.Regexp
	}{
		"links":            {"ip -o link", calicoLinks},
		"routes":           {"ip route show proto 80 table all; ip -6 route show proto 80 table all; ip route show root " + calicoPods, regexp.MustCompile(`.+`)},
		"routing rules":    {"ip rule", calicoRules},
		"iptables rules":   {"iptables-save; ip6tables-save; iptables-legacy-save 2>/dev/null || true", calicoRules},
		"nftables objects": {"nft list ruleset 2>/dev/null || true", calicoRules},
		"ipsets":           {ipsets, calicoRules},
		"mounts":           {"cat /proc/self/mountinfo", calicoMounts},
		"files": {
			"ls -d /var/lib/calico /run/calico /run/nodeagent /var/log/calico /etc/cni /opt/cni /var/lib/cni 2>/dev/null || true",
			regexp.MustCompile(`.+`),
		},
	} {
		if left := look.left.FindAllString(s.mustSSH(ctx, t, machine, look.command), -1); left != nil {
			t.Errorf("%s still has %s of Calico:\n%s", machine, what, strings.Join(left, "\n"))
		}
	}
}

// flannelAfterCalico installs Flannel on the hosts that had Calico.
func (s *scenario) flannelAfterCalico(ctx context.Context, t *testing.T) {
	content, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(content), calicoNetwork, "network: {podSubnet: "+calicoPods+"}\n", 1)
	if text == string(content) {
		t.Fatalf("the inventory lacks %q:\n%s", calicoNetwork, content)
	}
	write(t, s.lab.Inventory, text)
	s.apply(ctx, t)
	for _, m := range s.lab.names() {
		s.mustSSH(ctx, t, m, "ip link show flannel.1")
	}
}
