package certificates

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// simulated is a control plane whose kubeadm renews and whose kubelet starts static pods
// again. The run is killed at one of its calls.
type simulated struct {
	host.Host
	t *testing.T

	mu         sync.Mutex
	state      onHost
	containers map[string]int
	kill       *killer
}

// killer ends a run at a call, before or after its effect.
type killer struct {
	mu    sync.Mutex
	calls int
	at    int
	after bool
	ended bool
}

// errKilled is not tried again.
var errKilled = retry.Stop(errors.New("killed"))

// strikes reports whether the run is killed by the next call.
func (k *killer) strikes() (now, after bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return true, false
	}
	k.calls++
	k.ended = k.at > 0 && k.calls == k.at
	return k.ended, k.ended && k.after
}

func (s *simulated) call(effect func() string) (host.Result, error) {
	killed, after := s.kill.strikes()
	if killed && !after {
		return host.Result{}, errKilled
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := effect()
	if killed {
		return host.Result{}, errKilled
	}
	return host.Result{Stdout: []byte(out)}, nil
}

func (s *simulated) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	switch cmd.Name {
	case "facts.sh":
		return s.call(s.state.output)
	case "staticpod.sh":
		pod := cmd.Argv[len(cmd.Argv)-1]
		return s.call(func() string { return fmt.Sprintf("%s-%d\n", pod, s.containers[pod]) })
	}
	return s.Host.Query(ctx, cmd)
}

func (s *simulated) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	switch {
	case cmd.Name == "unit "+unitName:
		path := map[string]string{"apiserver": apiServer, "scheduler.conf": scheduler, "admin.conf": admin}[cmd.Argv[len(cmd.Argv)-1]]
		return s.call(func() string {
			s.state = s.state.with(map[string]tls.Certificate{path: certificate(s.t, 365)})
			return ""
		})
	case strings.HasPrefix(cmd.Name, "restart static pod "):
		pod := strings.TrimPrefix(cmd.Name, "restart static pod ")
		return s.call(func() string {
			s.containers[pod]++
			s.state.started[pod] = time.Now()
			return ""
		})
	}
	return s.Host.Run(ctx, cmd)
}

func (s *simulated) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return piped{s.Host, func() *tls.Certificate {
		s.mu.Lock()
		defer s.mu.Unlock()
		served := s.state.certificates[apiServer]
		return &served
	}}.DialContext(ctx, network, addr)
}

// killedAt renews the certificates of three control planes, is killed at a call, and runs
// again. It returns how many calls the first run made.
func killedAt(t *testing.T, at int, after bool) int {
	t.Helper()
	fixture := workflowtest.New(t, "controlPlane: {endpoint: '192.0.2.100:6443'}\nhosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}, {name: cp-2, address: 192.0.2.12, roles: [control-plane]}, {name: cp-3, address: 192.0.2.13, roles: [control-plane]}]\n")
	kill := &killer{at: at, after: after}
	var hosts []*simulated
	for _, h := range fixture.Hosts.All {
		for _, pod := range []string{"kube-scheduler", "kube-apiserver"} {
			fixture.Host(h.Config.Name).Put("/etc/kubernetes/manifests/"+pod+".yaml", "spec: {containers: [{name: "+pod+"}]}")
		}
		s := &simulated{Host: h.Conn, t: t, containers: map[string]int{}, kill: kill, state: onHost{
			address:      h.Config.Address,
			certificates: map[string]tls.Certificate{apiServer: certificate(t, 30), scheduler: certificate(t, 30), admin: certificate(t, 30)},
			written:      map[string]time.Time{scheduler: time.Now().Add(-24 * time.Hour)}, started: anHourAgo("kube-scheduler"),
		}}
		h.Conn, hosts = s, append(hosts, s)
	}
	read := func() {
		for i, h := range fixture.Hosts.All {
			h.Facts().Kubernetes = hosts[i].state.kubernetes()
		}
	}
	read()
	err := fixture.Apply(ControlPlanes())
	if killed := at > 0; killed != (err != nil) {
		t.Fatalf("killed at call %d: %v", at, err)
	}
	calls := kill.calls
	kill.at, kill.ended = 0, false
	read()
	if err := fixture.Apply(ControlPlanes()); err != nil {
		t.Fatalf("killed at call %d, and again: %v", at, err)
	}
	for i, s := range hosts {
		for path := range s.state.certificates {
			if leaf := s.state.kubernetes().Certificate(path); leaf == nil || time.Until(leaf.NotAfter) < 300*24*time.Hour {
				t.Errorf("killed at call %d: cp-%d: %s was not renewed", at, i+1, path)
			}
		}
		if s.state.started["kube-scheduler"].Before(s.state.written[scheduler].Add(-time.Second)) {
			t.Errorf("killed at call %d: the scheduler of cp-%d runs with the old certificate", at, i+1)
		}
	}
	read()
	fixture.MustApply(ControlPlanes())
	if changes := fixture.Changes(); len(changes) > 0 {
		t.Errorf("killed at call %d: the last apply changes %q", at, changes)
	}
	return calls
}

func TestARenewalThatIsKilledAnywhereConverges(t *testing.T) {
	t.Parallel()
	calls := killedAt(t, 0, false)
	if calls < 3*7 {
		t.Fatalf("only %d calls", calls)
	}
	for at := 1; at <= calls; at++ {
		for _, after := range []bool{false, true} {
			killedAt(t, at, after)
		}
	}
}
