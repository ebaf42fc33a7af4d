//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// firewalls has the firewall of each machine of TestFirewalls that has one.
var firewalls = map[string]string{"cp1": "firewalld", "cp2": "ufw", "w1": "firewalld", "w2": "ufw"}

// firewalled is the state of TestFirewalls: a cluster whose machines have active firewalls
// from the start.
type firewalled struct {
	*ha
	// before has the firewall of each machine before the installation.
	before map[string]string
}

// TestFirewalls installs a highly available cluster through firewalld and ufw: the address
// of the endpoint (VRRP), etcd and the port of the API servers are behind them too. With
// SLIPWAY_E2E_FIREWALLS=long, it also installs addons and validates their data path.
func TestFirewalls(t *testing.T) {
	f := &firewalled{ha: &ha{scenario: newScenario(t), stop: func() {}}, before: map[string]string{}}
	f.runSteps(t, f.steps(os.Getenv("SLIPWAY_E2E_FIREWALLS") == "long"))
}

func (f *firewalled) steps(long bool) []step {
	validate := f.validate
	var addons []step
	if long {
		validate = f.validatesAll
		addons = []step{f.step("addons are installed", f.addons, false)}
	}
	return slices.Concat([]step{
		f.step("three control planes and two workers come up", f.machinesComeUp, true),
		f.step("firewalld and ufw are active", f.installFirewalls, true),
		f.step("firewalls that slipway leaves alone stop an apply", f.left, false),
		f.step("plan lists what it opens", f.plans, false),
		f.step("apply creates a cluster", f.applies, true),
		f.step("the firewalls accept no more than the cluster needs", f.narrow, false),
		f.step("a second apply changes nothing", f.changesNothing, false),
	}, addons, []step{
		f.step("validate passes", validate, false),
		f.step("only one control plane holds the address", f.oneHolder, false),
		f.step("a rule that was deleted is added again", f.repairs, false),
		f.step("the cluster survives a power cycle", f.powerCycles, false),
		f.step("validate passes after the power cycle", validate, false),
		f.step("reset leaves the firewalls as they were", f.resets, false),
	})
}

func (f *firewalled) machinesComeUp(ctx context.Context, t *testing.T) {
	r := f.slipway.must(ctx, t, "lab", "up", "--provider", "container", "--name", f.lab.Name, "--ha", "--workers", "2", "--machines-only", "--bundle", f.bundle)
	f.took("lab up --ha --machines-only", r.took)
	f.lab = f.status(ctx, t)
	if got := strings.Join(f.lab.names(), " "); got != "cp1 cp2 cp3 w1 w2" {
		t.Fatalf("machines %s", got)
	}
	f.ignoreDisk(t)
}

// downloads returns the packages of a program and of what machines lack for it: cp3 gets
// no firewall.
func (f *firewalled) downloads(ctx context.Context, t *testing.T, program string) []string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	status := filepath.Join(f.lab.tree("cp3"), "var/lib/dpkg/status")
	for _, args := range [][]string{{"update"}, {"install", "--download-only", "--yes", "--no-install-recommends", program}} {
		argv := append([]string{
			"--option=Dir::State=" + dir + "/state", "--option=Dir::State::status=" + status, "--option=Dir::Cache=" + dir + "/cache",
			"--option=APT::Sandbox::User=root",
		}, args...)
		if out, err := exec.CommandContext(ctx, "apt-get", argv...).CombinedOutput(); err != nil {
			t.Fatalf("apt-get %q: %v\n%s", args, err, out)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "cache/archives/*.deb"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	return files
}

const install = `export DEBIAN_FRONTEND=noninteractive
{ dpkg --unpack --force-depends /root/debs/*.deb && dpkg --configure --pending; } >/root/dpkg.log 2>&1 || { cat /root/dpkg.log >&2; exit 1; }
rm -r /root/debs
`

// activate installs a firewall that lets SSH in, and adds rules of the administrator. One of
// them the cluster needs, too.
var activate = map[string]string{
	"firewalld": install + `systemctl is-active firewalld
firewall-cmd --permanent --add-port=9100/tcp
firewall-cmd --permanent --add-rich-rule='rule family="ipv4" port port="30000-32767" protocol="udp" accept'
firewall-cmd --reload`,
	"ufw": install + `ufw allow 22/tcp
ufw allow 9100/tcp comment 'node exporter'
ufw route allow from 10.244.0.0/16
ufw --force enable`,
}

func (f *firewalled) installFirewalls(ctx context.Context, t *testing.T) {
	for _, program := range []string{"firewalld", "ufw"} {
		files := f.downloads(ctx, t, program)
		for m := range firewalls {
			if firewalls[m] != program {
				continue
			}
			target := filepath.Join(f.lab.tree(m), "root/debs")
			if err := os.MkdirAll(target, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(target, filepath.Base(file)), string(content))
			}
		}
	}
	f.onEach(ctx, t, activate)
	f.before = f.onEach(ctx, t, snapshot)
}

// onEach runs the script of each machine's firewall, on all machines at the same time, and
// returns what they print.
func (f *firewalled) onEach(ctx context.Context, t *testing.T, scripts map[string]string) map[string]string {
	t.Helper()
	var group errgroup.Group
	var mu sync.Mutex
	printed := map[string]string{}
	for m, program := range firewalls {
		group.Go(func() error {
			out, err := f.ssh(ctx, m, scripts[program])
			mu.Lock()
			defer mu.Unlock()
			printed[m] = out
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return printed
}

// snapshot prints a firewall: what is permanent, what holds now, and its files. firewalld
// keeps the empty chains of a zone until it is reloaded, and a copy of each file that it
// replaced.
var snapshot = map[string]string{
	"firewalld": `systemctl is-active firewalld; systemctl is-enabled firewalld
firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones
firewall-cmd --reload >/dev/null
firewall-cmd --list-all-zones
nft list table inet firewalld
cd /etc/firewalld; find . -type f ! -name '*.old' | sort | xargs sha256sum`,
	"ufw": `ufw status verbose; ufw status numbered; ufw show added
iptables -S | grep ufw; ip6tables -S | grep ufw
iptables -S | grep -e '^-P'
cd /etc/ufw; find . -type f | sort | xargs sha256sum; cat user.rules user6.rules`,
}

// left checks that the firewalls block the cluster, and that nothing of it is changed.
func (f *firewalled) left(ctx context.Context, t *testing.T) {
	path, inventory := f.copied(t)
	inventory["firewall"] = "leave"
	write(t, path, marshal(t, inventory))
	r := f.slipway.run(ctx, t, "apply", "--inventory", path)
	out := r.stdout + r.stderr
	if r.code == 0 || !strings.Contains(out, "tcp 6444 (API server) is unreachable") || !strings.Contains(out, "ufw allow 6444/tcp") {
		t.Errorf("an apply with closed firewalls: %s", r)
	}
	f.unchangedFirewalls(ctx, t)
}

func (f *firewalled) unchangedFirewalls(ctx context.Context, t *testing.T) {
	t.Helper()
	after := f.onEach(ctx, t, snapshot)
	for m, program := range firewalls {
		if diff := cmp.Diff(f.before[m], after[m]); diff != "" {
			t.Errorf("%s of %s is not as before (-want +got):\n%s", program, m, diff)
		}
	}
}

func (f *firewalled) plans(ctx context.Context, t *testing.T) {
	r := f.slipway.must(ctx, t, f.on("plan", "-o", "json")...)
	said := map[string]string{}
	for _, e := range events(t, r.stdout) {
		if e.Kind == "change" && e.Phase == "firewall" {
			said[e.Host] += e.Message + "\n"
		}
	}
	for m, program := range firewalls {
		for _, want := range []string{program + ": open", "10.244.0.0/16", "10250", "8472"} {
			if !strings.Contains(said[m], want) {
				t.Errorf("the plan of %s has no %s:\n%s", m, want, said[m])
			}
		}
	}
	if said["cp3"] != "" {
		t.Errorf("the plan opens a firewall of cp3: %s", said["cp3"])
	}
	f.unchangedFirewalls(ctx, t)
}

// ports has what each control plane accepts of the others.
const ports = "2379 2380 6444 10250"

func (f *firewalled) narrow(ctx context.Context, t *testing.T) {
	accepted := map[string]string{"firewalld": "firewall-cmd --list-all-zones", "ufw": "ufw status"}
	for m, out := range f.onEach(ctx, t, accepted) {
		for _, port := range strings.Fields(ports) {
			if strings.HasPrefix(m, "cp") != strings.Contains(out, port) && port != "10250" {
				t.Errorf("port %s on %s:\n%s", port, m, out)
			}
		}
		if strings.HasPrefix(m, "cp") != strings.Contains(out, "vrrp") {
			t.Errorf("VRRP on %s:\n%s", m, out)
		}
	}
	// This computer is no host of the cluster.
	for _, port := range []string{"2379", "10250", "6444"} {
		for _, m := range []string{"cp1", "cp2"} {
			address := "https://" + f.lab.machine(m).Address + ":" + port
			if out, err := exec.CommandContext(ctx, "curl", "-sk", "--max-time", "3", "-o", os.DevNull, "-w", "%{http_code}", address).CombinedOutput(); err == nil || string(out) != "000" {
				t.Errorf("%s answers: %s", address, out)
			}
		}
	}
}

func (f *firewalled) addons(ctx context.Context, t *testing.T) {
	f.setAddons(t, f.labAddons())
	r := f.slipway.must(ctx, t, f.on("apply", "-o", "json")...)
	f.took("apply of four addons", r.took)
	f.nodesReady(ctx, t)
}

// validatesAll checks every probe. Flannel enforces no network policies.
func (f *firewalled) validatesAll(ctx context.Context, t *testing.T) {
	found, r := f.probes(ctx, t, f.lab.Inventory)
	f.took("validate", r.took)
	for _, p := range found {
		if p.Status != "passed" && p.Name != "network-policy" {
			t.Errorf("%s %s: %s: %s%s", p.Name, p.Target, p.Status, p.Evidence, p.Error)
		}
	}
	for _, name := range append([]string{"endpoint", "pod-to-pod"}, dataPath...) {
		if !slices.ContainsFunc(found, func(p probe) bool { return p.Name == name && p.Status == "passed" }) {
			t.Errorf("%s did not pass", name)
		}
	}
}

// oneHolder checks that the control planes hear each other: they would all hold the address
// otherwise.
func (f *firewalled) oneHolder(ctx context.Context, t *testing.T) {
	address := f.endpoint(t)
	var holders []string
	for _, m := range f.controlPlanes() {
		if out := f.mustSSH(ctx, t, m, "systemctl is-active keepalived; ip -o address show to "+address); strings.Contains(out, address) {
			holders = append(holders, m)
		}
	}
	if len(holders) != 1 {
		t.Errorf("%q hold the address", holders)
	}
}

func (f *firewalled) repairs(ctx context.Context, t *testing.T) {
	f.mustSSH(ctx, t, "w1", "firewall-cmd --zone=trusted --remove-source=10.244.0.0/16")
	f.mustSSH(ctx, t, "w2", "ufw route delete allow to 10.244.0.0/16")
	r := f.slipway.must(ctx, t, f.on("apply", "-o", "json")...)
	for _, m := range []string{"w1", "w2"} {
		if !slices.ContainsFunc(events(t, r.stdout), func(e event) bool {
			return e.Host == m && e.Phase == "firewall" && e.Kind == "phase-changed"
		}) {
			t.Errorf("apply did not open the firewall of %s again", m)
		}
	}
	f.changesNothing(ctx, t)
}

func (f *firewalled) powerCycles(ctx context.Context, t *testing.T) {
	f.slipway.must(ctx, t, "lab", "halt", "--name", f.lab.Name)
	f.slipway.must(ctx, t, "lab", "resume", "--name", f.lab.Name)
	eventually(ctx, t, "the cluster is healthy", comebackBound, func(ctx context.Context) error {
		if r := f.slipway.run(ctx, t, f.on("status")...); r.code != 0 {
			return errStatus(r.String())
		}
		return nil
	})
	f.onEach(ctx, t, map[string]string{
		"firewalld": "firewall-cmd --zone=trusted --query-source=10.244.0.0/16",
		"ufw":       "iptables -S INPUT | grep -e '-P INPUT DROP'; iptables -S ufw-user-forward | grep -e '-d 10.244.0.0/16'",
	})
}

// resetBound is the time limit of a reset: kubeadm gives up on the last member of etcd before.
const resetBound = time.Minute

func (f *firewalled) resets(ctx context.Context, t *testing.T) {
	r := f.slipway.must(ctx, t, f.on("reset", "--yes", "-o", "json")...)
	f.took("reset", r.took)
	if r.took > resetBound {
		t.Errorf("the reset took %s, want at most %s", r.took, resetBound)
	}
	for _, e := range events(t, r.stdout) {
		if e.Kind == "note" && strings.Contains(e.Message, "firewall") {
			t.Errorf("the reset says %s", e.Message)
		}
	}
	f.unchangedFirewalls(ctx, t)
	for _, m := range f.lab.names() {
		if out := f.mustSSH(ctx, t, m, fmt.Sprintf("ls %s 2>/dev/null || true", "/var/lib/slipway/firewall")); out != "" {
			t.Errorf("%s still has %s", m, out)
		}
	}
}
