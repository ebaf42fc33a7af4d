//go:build e2e

package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// etcdMachines are the machines that run etcd in TestExternalEtcd. Without a role of its
// own, a lab has workers.
var etcdMachines = []string{"w1", "w2", "w3"}

// etcdOutage is how long the writer writes while a machine of etcd is off.
const etcdOutage = 30 * time.Second

// external is the state of TestExternalEtcd: a cluster whose etcd runs on hosts of its own.
type external struct{ *ha }

// TestExternalEtcd installs a cluster with three hosts of etcd, and loses one of them. It
// runs with SLIPWAY_E2E_HA=long only.
func TestExternalEtcd(t *testing.T) {
	if os.Getenv("SLIPWAY_E2E_HA") != "long" {
		t.Skip("make e2e-ha runs it")
	}
	e := external{&ha{scenario: newScenario(t), stop: func() {}}}
	t.Cleanup(func() { e.stop() })
	e.runSteps(t, []step{
		e.step("three hosts of etcd, a control plane and a worker come up", e.machinesComeUp, true),
		e.step("apply creates a cluster", e.applies, true),
		e.step("the hosts of etcd are not nodes", e.etcdIsApart, false),
		e.step("a second apply changes nothing", e.changesNothing, false),
		e.step("validate passes", e.validates, false),
		e.step("a host of etcd cannot be reset alone", e.refusesReset, false),
		e.step("another set of hosts is refused", e.refusesOtherHosts, false),
		e.step("power off of a host of etcd", e.losesMember, true),
		e.step("it comes back", e.memberComesBack, true),
		e.step("reset leaves nothing", e.reset, false),
		e.step("apply creates a cluster whose hosts have a load balancer each", e.appliesLocal, true),
		e.step("validate passes with a load balancer on each host", e.validates, false),
		e.step("kubelet accepts the static pod of kube-vip", e.runsKubeVIP, false),
		e.step("power off of a control plane", e.losesControlPlane, false),
	})
}

func (e external) machinesComeUp(ctx context.Context, t *testing.T) {
	r := e.slipway.must(ctx, t, "lab", "up", "--provider", "container", "--name", e.lab.Name, "--ha", "--control-planes", "1", "--workers", "5",
		"--machines-only", "--bundle", e.bundle)
	e.took("lab up --machines-only", r.took)
	e.lab = e.status(ctx, t)
	if got := strings.Join(e.lab.names(), " "); got != "cp1 w1 w2 w3 w4 w5" {
		t.Fatalf("machines %s", got)
	}
	e.ignoreDisk(t)
	// The cluster has no endpoint at first: the lab's needs packages, which stay after a
	// reset.
	e.editInventory(t, func(inventory map[string]any) { delete(inventory, "controlPlane") })
	e.setRoles(t, "etcd", etcdMachines...)
	e.bare = e.lister.list(t, e.lab)
}

// ofNodes runs a function that looks at all machines as nodes.
func (e external) ofNodes(do func()) {
	all := e.lab.Machines
	defer func() { e.lab.Machines = all }()
	e.lab.Machines = slices.DeleteFunc(slices.Clone(all), func(m machine) bool { return slices.Contains(etcdMachines, m.Name) })
	do()
}

func (e external) applies(ctx context.Context, t *testing.T) {
	e.ofNodes(func() { e.apply(ctx, t) })
	var members []string
	for _, m := range e.statusOf(ctx, t).EtcdMembers {
		members = append(members, m.Name)
	}
	slices.Sort(members)
	if !slices.Equal(members, etcdMachines) {
		t.Errorf("the members of etcd are %q", members)
	}
}

// etcdIsApart checks where etcd and its keys are.
func (e external) etcdIsApart(ctx context.Context, t *testing.T) {
	for _, name := range etcdMachines {
		if _, found := e.nodes(ctx, t)[name]; found {
			t.Errorf("%s is a node", name)
		}
		if out := e.mustSSH(ctx, t, name, "ls /etc/kubernetes/pki /etc/kubernetes; pgrep -xc etcd"); strings.Contains(out, "ca.key") || strings.Contains(out, "kubelet.conf") {
			t.Errorf("%s has files of a node:\n%s", name, out)
		}
	}
	out := e.mustSSH(ctx, t, "cp1", "ls -l /etc/kubernetes/pki/etcd /etc/kubernetes/pki/apiserver-etcd-client.key; ls /var/lib/etcd; pgrep -xc etcd || true")
	if strings.Contains(out, "ca.key") || strings.Contains(out, "member") || !strings.Contains(out, "-rw-------") {
		t.Errorf("the control plane has files of etcd:\n%s", out)
	}
}

func (e external) validates(ctx context.Context, t *testing.T) {
	e.ofNodes(func() { e.validate(ctx, t) })
}

func (e external) refusesReset(ctx context.Context, t *testing.T) {
	r := e.slipway.run(ctx, t, e.on("reset", "--hosts", "w1", "--yes")...)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "a control plane stays") {
		t.Errorf("reset of one host of etcd: %s", r)
	}
	e.changesNothing(ctx, t)
}

func (e external) refusesOtherHosts(ctx context.Context, t *testing.T) {
	before, err := os.ReadFile(e.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	defer write(t, e.lab.Inventory, string(before))
	e.setHosts(t, func(hosts []host) []host {
		return slices.DeleteFunc(hosts, func(h host) bool { return h["name"] == "w2" || h["name"] == "w3" })
	})
	r := e.slipway.run(ctx, t, e.on("apply")...)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "hosts with the role etcd") {
		t.Errorf("apply with one host of etcd: %s", r)
	}
}

// losesMember powers off a host of etcd, while a writer writes.
func (e external) losesMember(ctx context.Context, t *testing.T) {
	stop := e.writes(ctx, t)
	defer stop()
	off := e.leadingMember(ctx, t)
	e.slipway.must(ctx, t, "lab", "halt", "--name", e.lab.Name, off, "--force")
	before, _ := e.writer.counts()
	e.wait(ctx, t, time.Now().Add(etcdOutage))
	if after, _ := e.writer.counts(); after == before {
		t.Errorf("no write was acknowledged while %s was off", off)
	}
	e.worksWithout(ctx, t, off)
	stop()
	e.checkWritten(ctx, t)
}

// worksWithout checks that the commands work while a machine is off, change nothing, and
// say which machine it is.
func (e external) worksWithout(ctx context.Context, t *testing.T, off string) {
	t.Helper()
	if r := e.slipway.run(ctx, t, e.on("status")...); r.code != 13 || !strings.Contains(r.stdout, "degraded: "+off+" is unreachable") {
		t.Errorf("status while %s is off: %s", off, r)
	}
	for _, run := range [][]string{{"plan", "-o", "json"}, {"apply", "-o", "json"}} {
		e.changesNothingWithout(t, off, e.slipway.run(ctx, t, e.on(run...)...))
	}
	e.validatesWithout(ctx, t, off)
}

// writes starts a writer, and returns a function that stops it.
func (e external) writes(ctx context.Context, t *testing.T) (stop func()) {
	t.Helper()
	a, err := accessOf([]byte(e.slipway.must(ctx, t, e.kubeconfig()...).stdout))
	if err != nil {
		t.Fatal(err)
	}
	e.writer = newWriter(a)
	stop = inBackground(ctx, e.writer.run)
	e.wait(ctx, t, time.Now().Add(5*time.Second))
	return stop
}

// leadingMember returns the host of etcd whose member leads.
func (e external) leadingMember(ctx context.Context, t *testing.T) string {
	t.Helper()
	r := e.slipway.must(ctx, t, e.on("status")...)
	for line := range strings.Lines(r.stdout) {
		for _, name := range etcdMachines {
			if strings.HasPrefix(line, "etcd member") && strings.Contains(line, " "+name+" ") && strings.Contains(line, "leader") {
				return name
			}
		}
	}
	t.Fatalf("no member leads: %s", r)
	return ""
}

func (e external) memberComesBack(ctx context.Context, t *testing.T) {
	e.slipway.must(ctx, t, "lab", "resume", "--name", e.lab.Name)
	eventually(ctx, t, "etcd is healthy", comebackBound, func(ctx context.Context) error {
		_, err := e.ssh(ctx, "cp1", "true")
		if r := e.slipway.run(ctx, t, e.on("status")...); err == nil && r.code != 0 {
			err = errStatus(r.String())
		}
		return err
	})
	e.checkWritten(ctx, t)
	e.changesNothing(ctx, t)
}

// setRoles gives hosts of the inventory a role.
func (h *ha) setRoles(t *testing.T, role string, names ...string) {
	t.Helper()
	h.setHosts(t, func(hosts []host) []host {
		for i := range hosts {
			if name, _ := hosts[i]["name"].(string); slices.Contains(names, name) {
				hosts[i]["roles"] = []any{role}
			}
		}
		return hosts
	})
}

// errStatus is the output of a status that is not healthy.
type errStatus string

func (e errStatus) Error() string { return string(e) }
