//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/report/check"
)

// fault is an entry of testdata/preflight-faults.yaml, which describes the fields.
type fault struct {
	// Host has the finding; Machine has the fault, if it is another one.
	Host, Machine      string
	Plant, Heal, After string
	Also, AlsoHeal     map[string]string
	Inventory, Always  map[string]any
	SSHUser            string `json:"sshUser"`
	SSHPort            int    `json:"sshPort"`
	NodeIP             string `json:"nodeIP"`
	Roles              map[string][]string
	KnownHosts         *string
	// Containerd and Kubelet: the bundle's program is put onto the machine.
	Containerd, Kubelet     bool
	Severity, Evidence, Fix string
}

// measured are the checks that need packets between the machines.
var measured = []string{"reachability", "mtu", "translated-address", "vip-taken", "lb-pool"}

// anyDisk leaves out the check whose result depends on what else uses the disk of
// localhost. The disk is measured all the same.
const anyDisk = "--skip-checks=disk-latency"

// exitCodes are those of preflight, by the most severe finding.
var exitCodes = map[check.Severity]int{check.Error: 5, check.Unknown: 10, check.Warning: 11, check.Info: 0}

// TestPreflight causes each fault on running machines, and expects a finding of its
// check, and none after the repair.
func TestPreflight(t *testing.T) {
	s := newScenario(t)
	ctx := t.Context()
	if !t.Run("machines come up", func(t *testing.T) { s.machinesComeUp(ctx, t) }) {
		t.FailNow()
	}
	t.Run("clean machines give no error and no warning", func(t *testing.T) {
		if report := s.clean(ctx, t); len(report.Matrix.Disks) == 0 {
			t.Error("no disk was measured")
		}
	})
	t.Run("preflight leaves nothing on the machines", func(t *testing.T) {
		before := s.lister.list(t, s.lab)
		s.slipway.must(ctx, t, s.on("preflight", anyDisk)...)
		s.unchanged(t, before)
	})
	t.Run("each format is valid", func(t *testing.T) { s.formats(ctx, t) })
	t.Run("apply refuses and changes nothing", func(t *testing.T) { s.applyRefuses(ctx, t) })
	t.Run("watch ends when all checks pass", func(t *testing.T) { s.watch(ctx, t) })
	faults := s.faults(t)
	var names []string
	for name := range faults {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { s.plantAndHeal(ctx, t, name, faults[name]) })
	}
	t.Run("clean again", func(t *testing.T) { s.clean(ctx, t) })
}

// faults reads the faults, with the addresses of this lab.
func (s *scenario) faults(t *testing.T) map[string]fault {
	t.Helper()
	text, err := os.ReadFile("testdata/preflight-faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	address := s.lab.machine("w1").Address
	bridge := address[:strings.LastIndex(address, ".")]
	faults := map[string]fault{}
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(string(text), "BRIDGE", bridge)), &faults); err != nil {
		t.Fatal(err)
	}
	return faults
}

// preflight runs the checks, and returns the report even if a check failed.
func (s *scenario) preflight(ctx context.Context, t *testing.T, inventory string, flags ...string) (check.Report, result) {
	t.Helper()
	r := s.slipway.run(ctx, t, append([]string{"preflight", "-o", "json", "--inventory", inventory}, flags...)...)
	var report check.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return report, r
}

func (s *scenario) clean(ctx context.Context, t *testing.T) check.Report {
	t.Helper()
	report, r := s.preflight(ctx, t, s.lab.Inventory, anyDisk)
	s.took("preflight of three machines, packets included", r.took)
	if r.code != 0 || r.took > 10*time.Second {
		t.Errorf("exit code %d after %s", r.code, r.took)
	}
	for _, severity := range []check.Severity{check.Error, check.Warning, check.Unknown} {
		for _, f := range report.Findings(severity) {
			t.Errorf("%s %s %s: %s", f.Severity, f.Check, f.Host, f.Evidence)
		}
	}
	if report.Matrix == nil || len(report.Matrix.Links) == 0 || len(report.Matrix.Absent) > 0 {
		t.Errorf("nothing was measured: %+v", report.Matrix)
	}
	return report
}

// arranged writes the inventory for a fault, planted or healed.
func (s *scenario) arranged(t *testing.T, f fault, planted bool) string {
	t.Helper()
	path, inventory := s.copied(t)
	merge(inventory, f.Always)
	if planted {
		merge(inventory, f.Inventory)
		for _, h := range inventory["hosts"].([]any) {
			host := h.(map[string]any)
			if roles := f.Roles[host["name"].(string)]; roles != nil {
				host["roles"] = roles
			}
			if host["name"] != f.machine() {
				continue
			}
			ssh := map[string]any{}
			if f.SSHUser != "" {
				ssh["user"] = f.SSHUser
			}
			if f.SSHPort != 0 {
				ssh["port"] = f.SSHPort
			}
			if len(ssh) > 0 {
				host["ssh"] = ssh
			}
			if f.NodeIP != "" {
				host["nodeIP"] = f.NodeIP
			}
		}
		if f.KnownHosts != nil {
			line := strings.ReplaceAll(*f.KnownHosts, "ADDRESS", s.lab.machine(f.machine()).Address)
			write(t, filepath.Join(filepath.Dir(path), "known_hosts"), line+"\n")
		}
	}
	text, err := yaml.Marshal(inventory)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text))
	return path
}

// machine is the machine that has the fault.
func (f fault) machine() string {
	switch {
	case f.Machine != "":
		return f.Machine
	case f.Host == "" || f.Host == "-":
		return "w1"
	default:
		return f.Host
	}
}

// host is the host of the finding.
func (f fault) host() string {
	switch f.Host {
	case "":
		return "w1"
	case "-":
		return ""
	default:
		return f.Host
	}
}

// merge is RFC 7396.
func merge(into, patch map[string]any) {
	for key, value := range patch {
		table, isTable := value.(map[string]any)
		old, wasTable := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isTable && wasTable:
			merge(old, table)
		case isTable:
			fresh := map[string]any{}
			merge(fresh, table)
			into[key] = fresh
		default:
			into[key] = value
		}
	}
}

func (s *scenario) plantAndHeal(ctx context.Context, t *testing.T, name string, f fault) {
	flags := []string{"--only", name}
	if !slices.Contains(measured, name) {
		flags = append(flags, "--no-pairs")
	}
	s.borrow(ctx, t, f)
	healed := false
	heal := func() {
		if healed {
			return
		}
		healed = true
		s.do(context.WithoutCancel(ctx), t, f.machine(), f.Heal)
		for machine, script := range f.AlsoHeal {
			s.do(context.WithoutCancel(ctx), t, machine, script)
		}
	}
	t.Cleanup(func() {
		heal()
		s.do(context.WithoutCancel(ctx), t, f.machine(), f.After)
	})
	s.do(ctx, t, f.machine(), f.Plant)
	for machine, script := range f.Also {
		s.do(ctx, t, machine, script)
	}
	report, r := s.preflight(ctx, t, s.arranged(t, f, true), flags...)
	found := findings(report, name, f.host())
	switch {
	case len(found) == 0:
		t.Errorf("the fault is not seen: %s", r)
	case found[0].Severity != check.Severity(f.Severity) || !strings.Contains(found[0].Evidence, f.Evidence) || !strings.Contains(found[0].Fix, f.Fix):
		t.Errorf("got %+v", found[0])
	case r.code != exitCodes[found[0].Severity]:
		t.Errorf("%s, but exit code %d", found[0].Severity, r.code)
	}
	heal()
	report, r = s.preflight(ctx, t, s.arranged(t, f, false), flags...)
	if found := findings(report, name, f.host()); len(found) > 0 {
		t.Errorf("healed, and still seen: %+v", found)
	}
	if len(report.Checks) != 1 || report.Checks[0].Status == check.Unknown {
		t.Errorf("healed, the check gives no answer: %s", r)
	}
}

func findings(report check.Report, name, host string) []check.Finding {
	var found []check.Finding
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			if c.Name == name && f.Host == host {
				found = append(found, f)
			}
		}
	}
	return found
}

// do runs a script on a machine, unless the script is empty.
func (s *scenario) do(ctx context.Context, t *testing.T, machine, script string) {
	t.Helper()
	if script != "" {
		if out, err := s.ssh(ctx, machine, script); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// borrow puts programs of the bundle onto the machine, from outside.
func (s *scenario) borrow(ctx context.Context, t *testing.T, f fault) {
	t.Helper()
	for name, path := range map[string]string{"containerd": "usr/local/bin/containerd", "kubelet": "root/kubelet"} {
		if name == "containerd" && !f.Containerd || name == "kubelet" && !f.Kubelet {
			continue
		}
		content, err := os.ReadFile(filepath.Join(s.bundle, s.bundled(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(s.lab.tree(f.machine()), path)
		if err := os.WriteFile(target, content, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(target); err != nil {
				t.Error(err)
			}
		})
	}
}

func (s *scenario) formats(ctx context.Context, t *testing.T) {
	r := s.slipway.must(ctx, t, s.on("preflight", "--no-pairs", "-o", "yaml")...)
	var report check.Report
	if err := yaml.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Checks) < 40 {
		t.Errorf("yaml: %v, %d checks", err, len(report.Checks))
	}
	r = s.slipway.must(ctx, t, s.on("preflight", "--no-pairs", "-o", "junit")...)
	var suites struct {
		Suites []struct {
			Cases []struct{} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(r.stdout), &suites); err != nil || len(suites.Suites) != 3 || len(suites.Suites[0].Cases) < 20 {
		t.Errorf("junit: %v, %+v", err, suites)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	s.slipway.must(ctx, t, s.on("preflight", anyDisk, "-o", "html", "--output-file", page)...)
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), `<table id="matrix">`) {
		t.Errorf("html: %v, %d bytes", err, len(text))
	}
	if r = s.slipway.run(ctx, t, s.on("preflight", "--only", "nonsense")...); r.code != 2 {
		t.Error(r)
	}
}

// applyRefuses: the same checks come first in an apply.
func (s *scenario) applyRefuses(ctx context.Context, t *testing.T) {
	f := s.faults(t)["reachability"]
	s.do(ctx, t, f.machine(), f.Plant)
	t.Cleanup(func() { s.do(context.WithoutCancel(ctx), t, f.machine(), f.Heal) })
	before := s.lister.list(t, s.lab)
	r := s.slipway.run(ctx, t, s.on("apply")...)
	if r.code != 5 || !strings.Contains(r.stderr, f.Evidence) || !strings.Contains(r.stderr, "nothing has been changed") {
		t.Error(r)
	}
	s.unchanged(t, before)
}

func (s *scenario) watch(ctx context.Context, t *testing.T) {
	f := s.faults(t)["leftovers"]
	s.do(ctx, t, f.machine(), f.Plant)
	done := make(chan result, 1)
	go func() {
		done <- s.slipway.run(ctx, t, s.on("preflight", "--no-pairs", "--only", "leftovers", "--watch", "--interval", "200ms")...)
	}()
	select {
	case r := <-done:
		t.Errorf("it ended with the fault there: %s", r)
	case <-time.After(2 * time.Second):
	}
	s.do(ctx, t, f.machine(), f.Heal)
	select {
	case r := <-done:
		if r.code != 0 || strings.Count(r.stdout, "/etc/kubernetes/kubelet.conf exists") < 2 {
			t.Error(r)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}

// ghostMember adds a member to the cluster's etcd that never starts: a learner,
// which does not count for the majority.
func (s *scenario) ghostMember(ctx context.Context, t *testing.T) {
	etcdctl := func(args ...string) string {
		const pki = "/etc/kubernetes/pki/etcd/"
		out, err := s.kubectl(ctx, t, append([]string{
			"-n", "kube-system", "exec", "etcd-cp1", "--", "etcdctl",
			"--cacert", pki + "ca.crt", "--cert", pki + "peer.crt", "--key", pki + "peer.key",
		}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// Nobody has that address of the lab's network.
	cp1 := s.lab.machine("cp1").Address
	nobody := cp1[:strings.LastIndex(cp1, ".")] + ".99"
	added := strings.Fields(etcdctl("member", "add", "ghost", "--learner", "--peer-urls=https://"+nobody+":2380"))
	if len(added) < 2 || added[0] != "Member" {
		t.Fatalf("etcdctl says %v", added)
	}
	report, r := s.preflight(ctx, t, s.lab.Inventory, "--only", "ghost-member")
	found := findings(report, "ghost-member", "cp1")
	if len(found) != 1 || r.code != 5 || !strings.Contains(found[0].Evidence, added[1]) || !strings.Contains(found[0].Fix, "member remove "+added[1]) {
		t.Error(r)
	}
	etcdctl("member", "remove", added[1])
	if report, r = s.preflight(ctx, t, s.lab.Inventory, "--only", "ghost-member"); r.code != 0 || len(report.Findings(check.Error)) > 0 {
		t.Error(r)
	}
}
