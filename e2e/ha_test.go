//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// powerOffBound and killBound are for the longest gap between two answers of the API
	// server.
	powerOffBound = 5 * time.Second
	killBound     = 3 * time.Second
	// hangTime is how long an API server hangs. The address moves within hangMoveBound.
	hangTime      = 30 * time.Second
	hangMoveBound = 5 * time.Second
	// kubeletOff is how long kubelet is stopped. The address moves within kubeletMoveBound.
	kubeletOff       = time.Minute
	kubeletMoveBound = 15 * time.Second
	// haSecondApplyBound is the time limit of a second apply. The control planes share a
	// computer, and are still busy.
	haSecondApplyBound = 10 * time.Second
)

// ha is the state of TestHA: a cluster that loses machines while a client asks and a
// writer writes.
type ha struct {
	*scenario
	client  *client
	writer  *writer
	address *address
	// stop ends all three.
	stop func()
	// later are the machines and hosts that a cluster grows to.
	later      []machine
	laterHosts []host
}

// TestHA loses control planes of a cluster with a virtual address in many ways. It does
// all of them with SLIPWAY_E2E_HA=long, and otherwise one power loss, one API server that
// hangs and one kubelet that stops.
func TestHA(t *testing.T) {
	h := &ha{scenario: newScenario(t), stop: func() {}}
	t.Cleanup(func() { h.stop() })
	steps := h.steps()
	if os.Getenv("SLIPWAY_E2E_HA") == "long" {
		steps = h.longSteps()
	}
	h.runSteps(t, steps)
}

// step is a step of this test.
func (h *ha) step(name string, do func(context.Context, *testing.T), required bool) step {
	return step{name, func(_ *scenario, ctx context.Context, t *testing.T) { do(ctx, t) }, required}
}

// install are the first steps of both forms.
func (h *ha) install() []step {
	return []step{
		h.step("three control planes and a worker come up", h.machinesComeUp, true),
		h.step("apply creates a cluster of three control planes", h.applies, true),
		h.step("a second apply changes nothing", h.changesNothing, false),
		h.step("validate passes", h.validate, false),
		h.step("a client and a writer start", h.start, true),
	}
}

func (h *ha) steps() []step {
	return slices.Concat(h.install(), h.upgradePlanSteps(), []step{
		h.step("power off of the machine with the address", h.losesPower, true),
		h.step("all commands work while it is off", h.commandsWork, false),
		h.step("the machine comes back", h.comesBack, true),
		h.step("an API server that hangs loses the address", h.apiServerHangs, false),
		h.step("a minute without kubelet", h.kubeletStops(kubeletOff), false),
		h.step("validate passes after all", h.validatesAfterAll, false),
		h.step("no acknowledged object is lost", h.nothingLost, false),
	})
}

func (h *ha) machinesComeUp(ctx context.Context, t *testing.T) {
	r := h.slipway.must(ctx, t, h.up()...)
	h.took("lab up --ha --machines-only", r.took)
	h.lab = h.status(ctx, t)
	if got := strings.Join(h.lab.names(), " "); got != "cp1 cp2 cp3 w1" {
		t.Fatalf("machines %s", got)
	}
	h.ignoreDisk(t)
	h.endpoint(t)
}

// up returns the arguments that create the machines, or more of them.
func (h *ha) up(more ...string) []string {
	return append([]string{"lab", "up", "--provider", "container", "--name", h.lab.Name, "--ha", "--workers", "1", "--machines-only", "--bundle", h.bundle}, more...)
}

func (h *ha) applies(ctx context.Context, t *testing.T) {
	h.apply(ctx, t)
	h.members(ctx, t)
}

// members checks that exactly the control planes are members of etcd.
func (h *ha) members(ctx context.Context, t *testing.T) {
	t.Helper()
	var members []string
	for _, m := range h.statusOf(ctx, t).EtcdMembers {
		members = append(members, m.Name)
	}
	slices.Sort(members)
	if !slices.Equal(members, h.controlPlanes()) {
		t.Errorf("the members of etcd are %q, the control planes %q", members, h.controlPlanes())
	}
}

func (h *ha) changesNothing(ctx context.Context, t *testing.T) {
	// The new control planes are still busy, and other programs use the computer too.
	var took []time.Duration
	for range 3 {
		r := h.slipway.must(ctx, t, h.on("apply", "-o", "json")...)
		h.took("second apply", r.took)
		nothingChanged(t, h.lab.names(), r)
		if took = append(took, r.took); r.took <= haSecondApplyBound {
			return
		}
	}
	t.Errorf("a second apply took %v, want one within %s", took, haSecondApplyBound)
}

// deafTime is how long the clients on a machine that has lost the address wait for
// answers on their old connections: client-go sends an HTTP/2 ping after 30 s without
// data, and waits 15 s for the answer.
const deafTime = 50 * time.Second

// validatesAfterAll validates when kube-proxy follows the API server on each machine.
func (h *ha) validatesAfterAll(ctx context.Context, t *testing.T) {
	eventually(ctx, t, "the address has not moved for a while", 3*time.Minute, func(context.Context) error {
		if quiet := h.address.quiet(); quiet < deafTime {
			return fmt.Errorf("it moved %s ago", quiet.Round(time.Second))
		}
		return nil
	})
	h.validate(ctx, t)
}

// start starts a client, a writer and a record of the address.
func (h *ha) start(ctx context.Context, t *testing.T) {
	h.stop()
	a, err := accessOf([]byte(h.slipway.must(ctx, t, h.on("kubeconfig")...).stdout))
	if err != nil {
		t.Fatal(err)
	}
	ip := h.endpoint(t)
	if want := "https://" + ip + ":6443"; a.server != want {
		t.Fatalf("the kubeconfig names %s, not the endpoint %s", a.server, want)
	}
	h.client, h.writer = newClient(a), newWriter(a)
	h.address = &address{ip: ip, trees: h.lab.tree("*")}
	h.stop = inBackground(ctx, h.client.run, h.writer.run, h.address.run)
	h.settle(ctx, t, time.Now())
	h.holder(ctx, t)
}

func (h *ha) losesPower(ctx context.Context, t *testing.T) {
	if gap := h.powerOff(ctx, t, h.holder(ctx, t)); gap > powerOffBound {
		t.Errorf("no answer for %s, want at most %s", gap, powerOffBound)
	}
}

// powerOff kills a machine that has the address, and returns how long the API server does
// not answer.
func (h *ha) powerOff(ctx context.Context, t *testing.T, machine string) time.Duration {
	t.Helper()
	gap := h.outage(ctx, t, "power off", machine, func() {
		h.slipway.must(ctx, t, "lab", "halt", "--name", h.lab.Name, machine, "--force")
	})
	if state := h.status(ctx, t).machine(machine).State; state != "off" {
		t.Errorf("%s is %s", machine, state)
	}
	return gap
}

// comesBack boots the machines that are off, and waits until everything is healthy.
func (h *ha) comesBack(ctx context.Context, t *testing.T) {
	booted := time.Now()
	h.slipway.must(ctx, t, "lab", "resume", "--name", h.lab.Name)
	h.heals(ctx, t, "power on until everything is healthy", booted)
}

// apiServerHangs stops the process of the API server on the machine with the address, and
// lets it continue.
func (h *ha) apiServerHangs(ctx context.Context, t *testing.T) {
	holder := h.holder(ctx, t)
	from := time.Now()
	h.outage(ctx, t, "SIGSTOP of the API server", holder, func() { h.signal(t, holder, syscall.SIGSTOP) })
	h.moved(t, "SIGSTOP of the API server", holder, from, hangMoveBound)
	h.wait(ctx, t, from.Add(hangTime))
	h.signal(t, holder, syscall.SIGCONT)
	h.took("SIGSTOP of the API server: longest gap until the end", h.client.gap(from, time.Now()))
	h.heals(ctx, t, "SIGCONT until everything is healthy", time.Now())
}

// kubeletStops returns a step that stops kubelet on the machine with the address.
func (h *ha) kubeletStops(off time.Duration) func(context.Context, *testing.T) {
	return func(ctx context.Context, t *testing.T) {
		holder, from := h.holder(ctx, t), time.Now()
		h.mustSSH(ctx, t, holder, "systemctl stop kubelet")
		h.wait(ctx, t, from.Add(off))
		h.moved(t, "kubelet stopped", holder, from, kubeletMoveBound)
		if after, ok := h.address.after(from, movedFrom(holder)); ok {
			h.took("kubelet stopped: until the address moved", after)
		}
		h.took("kubelet stopped: longest gap", h.client.gap(from, time.Now()))
		started := time.Now()
		h.mustSSH(ctx, t, holder, "systemctl start kubelet")
		h.heals(ctx, t, "kubelet started until everything is healthy", started)
		h.checkWritten(ctx, t)
	}
}

// nothingLost stops the writer, and checks that all objects exist that the API server
// acknowledged.
func (h *ha) nothingLost(ctx context.Context, t *testing.T) {
	t.Helper()
	h.stop()
	h.checkWritten(ctx, t)
	t.Logf("%s\nthe address:\n%s", h.client, h.address)
}
