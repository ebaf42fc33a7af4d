//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	// losses is how often the long form repeats a fault, for a median.
	losses = 5
	// kubeletLongOff is longer than the five minutes after which Kubernetes evicts pods.
	kubeletLongOff = 7 * time.Minute
	// partitionTime is the time without a network, releaseBound the part of it in which
	// the machine may keep the address.
	partitionTime = 30 * time.Second
	releaseBound  = 10 * time.Second
)

func (h *ha) longSteps() []step {
	return slices.Concat(h.install(), []step{
		h.step("power off five times", h.losesPowerOften, true),
		h.step("a control plane is off", h.losesPower, true),
		h.step("all commands work while it is off", h.commandsWork, false),
		h.step("the machine comes back", h.comesBack, true),
		h.step("SIGKILL of the API server five times", h.apiServerDiesOften, false),
		h.step("an API server that hangs loses the address", h.apiServerHangs, false),
		h.step("seven minutes without kubelet", h.kubeletStops(kubeletLongOff), true),
		h.step("a machine without a network acknowledges nothing", h.partition, true),
		h.step("validate passes after all", h.validatesAfterAll, false),
		h.step("a dead control plane is replaced", h.replacement, true),
		h.step("validate passes after the replacement", h.validate, false),
		h.step("no acknowledged object is lost", h.nothingLost, false),
	}, h.certificateSteps(), h.authoritySteps(), []step{
		h.step("reset", h.resets, true),
		h.step("a cluster of one control plane with an endpoint", h.single, true),
		h.step("validate passes with one control plane", h.validate, false),
		h.step("it grows to three control planes", h.growth, true),
		h.step("validate passes with three control planes", h.validate, false),
		h.step("two of three control planes leave", h.shrinkage, true),
		h.step("validate passes with the control plane that is left", h.validate, false),
		h.step("no object acknowledged during growth and removal is lost", h.nothingLost, false),
	})
}

// median records the median of gaps, and checks it.
func (h *ha) median(t *testing.T, what string, gaps []time.Duration, bound time.Duration) {
	t.Helper()
	m := median(gaps)
	h.took(fmt.Sprintf("%s: median of %d", what, len(gaps)), m)
	if m > bound {
		t.Errorf("%s: the median of %v is %s, want at most %s", what, gaps, m, bound)
	}
}

// losesPowerOften powers the machine with the address off, and on again.
func (h *ha) losesPowerOften(ctx context.Context, t *testing.T) {
	var gaps []time.Duration
	for range losses {
		gaps = append(gaps, h.powerOff(ctx, t, h.holder(ctx, t)))
		h.comesBack(ctx, t)
	}
	h.median(t, "power off", gaps, powerOffBound)
}

// apiServerDiesOften kills the API server of the machine with the address.
func (h *ha) apiServerDiesOften(ctx context.Context, t *testing.T) {
	var gaps []time.Duration
	for range losses {
		holder, killed := h.holder(ctx, t), time.Now()
		gaps = append(gaps, h.outage(ctx, t, "SIGKILL of the API server", holder, func() { h.signal(t, holder, syscall.SIGKILL) }))
		h.heals(ctx, t, "SIGKILL until everything is healthy", killed)
	}
	h.median(t, "SIGKILL of the API server", gaps, killBound)
}

// partition takes the machine with the address off its bridge. Its API server answers
// clients on the same machine, but must not acknowledge a write of theirs.
func (h *ha) partition(ctx context.Context, t *testing.T) {
	holder := h.holder(ctx, t)
	attempt := h.localWriter(ctx, t, holder)
	if err := attempt(ctx, 0); err != nil {
		t.Fatalf("with a network, a write on the machine fails: %v", err)
	}
	link := h.uplinkOf(ctx, t, holder)
	from := time.Now()
	if err := link.detach(ctx); err != nil {
		t.Fatal(err)
	}
	attempts := h.failingWrites(ctx, t, from.Add(partitionTime), attempt)
	gap := h.client.gap(from, time.Now())
	if err := link.attach(ctx); err != nil {
		t.Fatal(err)
	}
	h.took("partition: longest gap", gap)
	t.Logf("%d writes on the machine without a network failed", attempts)
	h.moved(t, "partition", holder, from, partitionTime)
	released, ok := h.address.after(from, releasedBy(holder))
	h.took("partition: until the machine released the address", released)
	if !ok || released > releaseBound {
		t.Errorf("%s released the address after %s (%t), want at most %s:\n%s", holder, released, ok, releaseBound, h.address)
	}
	h.heals(ctx, t, "partition healed until everything is healthy", time.Now())
	h.checkWritten(ctx, t)
}

// failingWrites starts a write each second until a moment, and none of them may be
// acknowledged. It returns their number.
func (h *ha) failingWrites(ctx context.Context, t *testing.T, until time.Time, attempt func(context.Context, int) error) int {
	t.Helper()
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var writes sync.WaitGroup
	defer writes.Wait()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for number := 1; ; number++ {
		writes.Go(func() {
			if attempt(ctx, number) == nil {
				t.Errorf("write %d on the machine without a network was acknowledged", number)
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return number
		}
	}
}

// localWriter returns a function that creates an object through the API server of a
// machine, as a client on this machine.
func (h *ha) localWriter(ctx context.Context, t *testing.T, machine string) func(context.Context, int) error {
	t.Helper()
	conf := filepath.Join(h.scratch, "partition.conf")
	write(t, conf, h.slipway.must(ctx, t, h.on("kubeconfig", "--server", h.apiServer(machine))...).stdout)
	kubectl, leader := filepath.Join(h.bundle, h.bundled(t, "kubectl")), h.leader(t, machine)
	return func(ctx context.Context, number int) error {
		_, err := inNetworkOf(ctx, leader, kubectl, "--kubeconfig", conf, "create", "configmap", fmt.Sprintf("partition-%d", number))
		return err
	}
}

// replacement replaces the machine with the address by a new one, in one apply.
func (h *ha) replacement(ctx context.Context, t *testing.T) {
	before, err := os.ReadFile(h.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	known := h.lab.names()
	h.slipway.must(ctx, t, h.up("--control-planes", "4")...)
	h.lab = h.status(ctx, t)
	added := slices.DeleteFunc(h.lab.names(), func(name string) bool { return slices.Contains(known, name) })
	if len(added) != 1 {
		t.Fatalf("the lab has the new machines %q", added)
	}
	write(t, h.lab.Inventory, string(before))
	dead := h.holder(ctx, t)
	h.powerOff(ctx, t, dead)
	// Until then, apply refuses to remove it.
	eventually(ctx, t, "the node of the dead machine is not ready", 2*time.Minute, func(ctx context.Context) error {
		names, err := h.notReady(ctx)
		if err == nil && !slices.Contains(names, dead) {
			err = fmt.Errorf("not ready: %q", names)
		}
		return err
	})
	h.setHosts(t, func(hosts []host) []host {
		for i := range hosts {
			if hosts[i]["name"] == dead {
				hosts[i]["state"] = "lost"
			}
		}
		return append(hosts, host{"name": added[0], "address": h.lab.machine(added[0]).Address, "roles": []any{"control-plane"}})
	})
	h.lab.Machines = slices.DeleteFunc(h.lab.Machines, func(m machine) bool { return m.Name == dead })
	r := h.slipway.must(ctx, t, h.on("apply", "-o", "json")...)
	h.took("apply that replaces a control plane", r.took)
	h.nodesReady(ctx, t)
	h.members(ctx, t)
	h.changesNothing(ctx, t)

	h.setHosts(t, func(hosts []host) []host {
		return slices.DeleteFunc(hosts, func(one host) bool { return one["name"] == dead })
	})
	h.plansNothing(ctx, t)
}

func (h *ha) resets(ctx context.Context, t *testing.T) {
	r := h.slipway.must(ctx, t, h.on("reset", "--yes")...)
	h.took("reset", r.took)
	h.noBalancer(ctx, t, h.lab.names()...)
}

// noBalancer checks that haproxy and keepalived neither run nor start at boot, and that
// no machine has the address.
func (h *ha) noBalancer(ctx context.Context, t *testing.T, machines ...string) {
	t.Helper()
	const script = `
for service in haproxy keepalived; do
	case $(systemctl is-active $service) in inactive | failed | unknown) ;; *) echo "$service runs" ;; esac
	! systemctl is-enabled --quiet $service 2>/dev/null || echo "$service is enabled"
done
ip -o address show to `
	for _, m := range machines {
		if left := h.mustSSH(ctx, t, m, script+h.endpoint(t)); left != "" {
			t.Errorf("%s has left the cluster:\n%s", m, left)
		}
	}
}

// single installs a cluster on one control plane and the worker.
func (h *ha) single(ctx context.Context, t *testing.T) {
	others := h.controlPlanes()[1:]
	h.later = h.lab.Machines
	h.lab.Machines = slices.DeleteFunc(slices.Clone(h.later), func(m machine) bool { return slices.Contains(others, m.Name) })
	h.setHosts(t, func(hosts []host) []host {
		h.laterHosts = hosts
		return slices.DeleteFunc(slices.Clone(hosts), func(one host) bool { return slices.Contains(others, one["name"].(string)) })
	})
	h.applies(ctx, t)
	h.start(ctx, t)
}

// growth adds the other two control planes in one apply.
func (h *ha) growth(ctx context.Context, t *testing.T) {
	from := time.Now()
	h.lab.Machines = h.later
	h.setHosts(t, func([]host) []host { return h.laterHosts })
	h.applies(ctx, t)
	h.settle(ctx, t, time.Now())
	h.took("growth: longest gap", h.client.gap(from, time.Now()))
	h.changesNothing(ctx, t)
}

// shrinkage removes the control plane with the address and another one.
func (h *ha) shrinkage(ctx context.Context, t *testing.T) {
	holder, from := h.holder(ctx, t), time.Now()
	leave := []string{holder}
	for _, name := range h.controlPlanes() {
		if name != holder && len(leave) < 2 {
			leave = append(leave, name)
		}
	}
	r := h.slipway.must(ctx, t, h.on(slices.Concat([]string{"node", "remove", "--yes", "-o", "json"}, leave)...)...)
	h.took("node remove of two of three control planes", r.took)
	h.noBalancer(ctx, t, leave...)
	h.lab.Machines = slices.DeleteFunc(h.lab.Machines, func(m machine) bool { return slices.Contains(leave, m.Name) })
	h.nodesReady(ctx, t)
	h.members(ctx, t)
	// The machines of a lab share the limits of inotify, which the removal has restored.
	h.mustSSH(ctx, t, h.controlPlanes()[0], "sysctl -q -p /etc/sysctl.d/90-slipway.conf")
	h.plansNothing(ctx, t)
	h.took("removal: longest gap", h.client.gap(from, time.Now()))
}

// host is an entry of the inventory.
type host map[string]any

// setHosts changes the hosts of the inventory.
func (h *ha) setHosts(t *testing.T, change func([]host) []host) {
	t.Helper()
	h.editInventory(t, func(inventory map[string]any) {
		list, _ := inventory["hosts"].([]any)
		hosts := make([]host, len(list))
		for i := range list {
			hosts[i], _ = list[i].(map[string]any)
		}
		inventory["hosts"] = change(hosts)
	})
}

// editInventory changes the inventory.
func (h *ha) editInventory(t *testing.T, change func(map[string]any)) {
	t.Helper()
	content, err := os.ReadFile(h.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	var inventory map[string]any
	if err := yaml.Unmarshal(content, &inventory); err != nil {
		t.Fatal(err)
	}
	change(inventory)
	text, err := yaml.Marshal(inventory)
	if err != nil {
		t.Fatal(err)
	}
	write(t, h.lab.Inventory, string(text))
}
