//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// inBackground runs functions until their context is done or the returned function is
// called, which waits for them.
func inBackground(ctx context.Context, runs ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, run := range runs {
		running.Go(func() { run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// endpoint returns the virtual address of the inventory.
func (h *ha) endpoint(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(h.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	var inventory struct {
		ControlPlane struct {
			Endpoint     string
			LoadBalancer struct{ Type string }
		}
	}
	if err := yaml.Unmarshal(content, &inventory); err != nil {
		t.Fatal(err)
	}
	ip := inventory.ControlPlane.Endpoint
	if host, _, err := net.SplitHostPort(ip); err == nil {
		ip = host
	}
	if inventory.ControlPlane.LoadBalancer.Type != "keepalived" || net.ParseIP(ip) == nil {
		t.Fatalf("not an endpoint with keepalived: %+v", inventory.ControlPlane)
	}
	return ip
}

// controlPlanes are the names of the control planes, sorted.
func (h *ha) controlPlanes() []string {
	var names []string
	for _, m := range h.lab.Machines {
		if slices.Contains(m.Roles, "control-plane") {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// holder returns the machine that has the address, once it is exactly one.
func (h *ha) holder(ctx context.Context, t *testing.T) string {
	t.Helper()
	eventually(ctx, t, "one machine has the address", 30*time.Second, func(context.Context) error {
		if holders := h.address.holders(); len(strings.Fields(holders)) != 1 {
			return fmt.Errorf("%q have it", holders)
		}
		return nil
	})
	return h.address.holders()
}

const (
	// comebackBound is the time until everything is healthy after a fault has ended.
	comebackBound = 2 * time.Minute
	// An API server that gave settledAnswers of 30 in settledFor answers without a pause.
	settledFor     = 3 * time.Second
	settledAnswers = 25
	// settleTime is the time in which a fault shows its effects.
	settleTime = 10 * time.Second
)

// settle waits until the API server answers without a pause, but at least until
// settleTime after a moment, so that a gap that begins late is seen, too.
func (h *ha) settle(ctx context.Context, t *testing.T, since time.Time) {
	t.Helper()
	h.wait(ctx, t, since.Add(settleTime))
	eventually(ctx, t, "the API server answers without a pause", time.Minute, func(context.Context) error {
		if n := h.client.count(time.Now().Add(-settledFor)); n < settledAnswers {
			return fmt.Errorf("%d answers in %s; %s", n, settledFor, h.client)
		}
		return nil
	})
}

// wait waits until a moment.
func (h *ha) wait(ctx context.Context, t *testing.T, until time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(until)):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
}

// outage returns the longest gap between two answers of the API server after a fault of
// the machine that has the address.
func (h *ha) outage(ctx context.Context, t *testing.T, what, holder string, fault func()) time.Duration {
	t.Helper()
	from := time.Now()
	fault()
	h.settle(ctx, t, from)
	gap := h.client.gap(from, time.Now())
	h.took(what+": longest gap", gap)
	if after, ok := h.address.after(from, movedFrom(holder)); ok {
		h.took(what+": until the address moved", after)
	}
	return gap
}

// moved checks that the address moved from a machine in time.
func (h *ha) moved(t *testing.T, what, holder string, from time.Time, bound time.Duration) {
	t.Helper()
	after, ok := h.address.after(from, movedFrom(holder))
	if !ok || after > bound {
		t.Errorf("%s: the address moved from %s after %s (%t), want at most %s:\n%s", what, holder, after, ok, bound, h.address)
	}
}

// bindPort is the port of the API servers, which the lab does not change.
const bindPort = "6444"

// ready returns an error unless the API server of a machine is ready.
func (h *ha) ready(ctx context.Context, machine string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err := h.client.at(h.apiServer(machine)).do(ctx, http.MethodGet, "/readyz", "", http.StatusOK)
	return err
}

// apiServer is the URL of the API server of a machine.
func (h *ha) apiServer(machine string) string {
	return "https://" + net.JoinHostPort(h.lab.machine(machine).Address, bindPort)
}

// heals waits until all nodes are ready, and all API servers with their etcd.
func (h *ha) heals(ctx context.Context, t *testing.T, what string, since time.Time) {
	t.Helper()
	eventually(ctx, t, "all API servers are ready", comebackBound, func(ctx context.Context) error {
		var errs []error
		for _, name := range h.controlPlanes() {
			errs = append(errs, h.ready(ctx, name))
		}
		return errors.Join(errs...)
	})
	eventually(ctx, t, "all kubelets renew their leases", comebackBound, func(ctx context.Context) error {
		return h.renewed(ctx, t, since)
	})
	eventually(ctx, t, "all nodes are ready", comebackBound, func(ctx context.Context) error {
		not, err := h.notReady(ctx)
		if err == nil && len(not) > 0 {
			err = fmt.Errorf("%q are not", not)
		}
		return err
	})
	h.settle(ctx, t, time.Now().Add(-settledFor))
	h.holder(ctx, t)
	took := time.Since(since)
	h.took(what, took)
	if took > comebackBound {
		t.Errorf("%s: %s, want at most %s", what, took, comebackBound)
	}
}

// notReady lists the nodes that are not ready.
func (h *ha) notReady(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	content, err := h.client.do(ctx, http.MethodGet, "/api/v1/nodes", "", http.StatusOK)
	if err != nil {
		return nil, err
	}
	var nodes struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := json.Unmarshal(content, &nodes); err != nil {
		return nil, err
	}
	var not []string
	for _, n := range nodes.Items {
		if !slices.Contains(n.Status.Conditions, struct{ Type, Status string }{"Ready", "True"}) {
			not = append(not, n.Metadata.Name)
		}
	}
	return not, nil
}

// checkWritten checks that all acknowledged objects exist.
func (h *ha) checkWritten(ctx context.Context, t *testing.T) {
	t.Helper()
	acknowledged, refused := h.writer.counts()
	h.figures = append(h.figures, fmt.Sprintf("  %-45s %7d, %d others", "acknowledged writes", acknowledged, refused))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	lost, err := h.writer.lost(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(lost) > 0 || acknowledged == 0 {
		t.Errorf("%d of %d acknowledged objects are lost: %q", len(lost), acknowledged, lost)
	}
}
