package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/probe/netprobe"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// toldOf is the same for findings alone.
func toldOf(findings []check.Finding) []string {
	return told(&check.Report{Checks: []check.Result{{Findings: findings}}})
}

func TestPreflightRefusesOnErrorsOnly(t *testing.T) {
	t.Parallel()
	const ignore = "preflight: {ignore: [{check: resources, reason: a small lab}]}\n"
	small := func(f *facts.Facts) { f.CPUs = 1 }
	crio := func(f *facts.Facts) { f.CRISockets = []string{"/run/crio/crio.sock"} }
	tests := []struct {
		name, more string
		change     func(*facts.Facts)
		refused    []string
		notes      []string
	}{
		{"nothing found", "", func(*facts.Facts) {}, nil, nil},
		{"an error", "", small, []string{"resources cp-1 error"}, nil},
		{"an error that the inventory ignores", ignore, small, nil, []string{"cp-1: resources: 1 CPU, 2 needed (ignored: a small lab)"}},
		{"a warning", "", crio, nil, []string{"cp-1: cri-sockets: /run/crio/crio.sock exists: the host runs another container runtime; if nothing needs it: systemctl disable --now crio; slipway installs its own containerd, and passes its socket explicitly"}},
		{"another error than the inventory ignores", ignore, func(f *facts.Facts) { small(f); f.Init = "runit" }, []string{"init-system cp-1 error"}, []string{"cp-1: resources: 1 CPU, 2 needed (ignored: a small lab)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two+test.more)
			fixture.Bundle = workflowtest.NewBundle(t)
			test.change(fixture.Facts("cp-1"))
			err := fixture.Apply(preflightWith(noPackets, false))
			var found *FindingsError
			if errors.As(err, &found) != (test.refused != nil) || err != nil && found == nil {
				t.Fatalf("got %v", err)
			}
			if found != nil {
				if diff := cmp.Diff(test.refused, toldOf(found.Findings)); diff != "" {
					t.Error(diff)
				}
				if workflow.Hint(err) != "nothing has been changed on any host" {
					t.Errorf("hint %q", workflow.Hint(err))
				}
			}
			if diff := cmp.Diff(test.notes, fixture.Notes()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFindingsErrorHasALineForEach(t *testing.T) {
	t.Parallel()
	err := &FindingsError{Findings: []check.Finding{
		{Check: "resources", Host: "w-1", Evidence: "1 CPU", Fix: "more"},
		{Check: "version", Evidence: "old", Fix: "new"},
		{Check: "ssh-auth", Host: "w-1", Evidence: "refused", Fix: "ssh-copy-id"},
		{Check: "ssh-auth", Host: "w-2", Evidence: "denied", Fix: "ssh-copy-id"},
		{Check: "ssh-auth", Host: "w-3", Evidence: "wrong user", Fix: "set ssh.user"},
	}}
	// A fix that several findings share is given once.
	want := "w-1: resources: 1 CPU; more\nversion: old; new\n" +
		"w-1: ssh-auth: refused\nw-2: ssh-auth: denied; ssh-copy-id\nw-3: ssh-auth: wrong user; set ssh.user"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

// noPackets is a prober that measures nothing.
func noPackets(context.Context, []netprobe.Node, []netprobe.Need, netprobe.Options) (*netprobe.Matrix, error) {
	return &netprobe.Matrix{}, nil
}

func TestFactsRecordThatAHostIsUnreachable(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{
		"no connection": host.ErrUnreachable, "a refused key": host.ErrAuth, "no sudo": host.ErrSudo,
		"an unknown host key": &host.HostKeyError{Host: "w-1", Address: "192.0.2.12:22"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			fixture.Host("cp-1").ExpectQueryScript("facts.sh", facts.Arguments()...).Returns("arch\tx86_64\nkernel\t6.1\nhostname\tfirst\n")
			fixture.Host("w-1").ExpectQueryScript("facts.sh", facts.Arguments()...).Error(fmt.Errorf("w-1: connect: %w", cause))
			err := fixture.Apply(Facts())
			if !errors.Is(err, cause) || strings.Count(err.Error(), "w-1: connect: ") != 1 {
				t.Errorf("the run ends with %v", err)
			}
			if got := fixture.Hosts.All[1].Unreachable(); !errors.Is(got, cause) {
				t.Errorf("recorded %v", got)
			}
			for _, e := range fixture.Events.Events() {
				if e.Kind == report.PhaseFailed {
					t.Errorf("the phase has failed: %+v", e)
				}
			}
		})
	}
}

func TestPreflightRefusesAHostThatIsUnreachable(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Bundle = workflowtest.NewBundle(t)
	cause := fmt.Errorf("w-1: connect: %w", host.ErrUnreachable)
	fixture.Hosts.All[1].SetFacts(nil)
	fixture.Hosts.All[1].SetUnreachable(cause)
	err := fixture.Apply(preflightWith(noPackets, false))
	var found *FindingsError
	if !errors.As(err, &found) || !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff([]string{"ssh-connect w-1 error"}, toldOf(found.Findings)); diff != "" {
		t.Error(diff)
	}
	if got := strings.Count(err.Error(), "connect: unreachable"); got != 1 {
		t.Errorf("it is reported %d times: %v", got, err)
	}
	if notes := fixture.Notes(); notes != nil {
		t.Errorf("the checks that could not run there are listed: %q", notes)
	}
}

func TestAnUnreachableWorkerDoesNotHoldUpACluster(t *testing.T) {
	t.Parallel()
	running := &cluster.State{Exists: true, Version: config.DefaultKubernetesVersion}
	tests := []struct {
		name    string
		host    int
		cause   error
		state   *cluster.State
		refused bool
	}{
		{"a worker of a cluster that answers", 1, host.ErrUnreachable, running, false},
		{"a worker before the first apply", 1, host.ErrUnreachable, &cluster.State{}, true},
		{"a worker of a cluster that is silent", 1, host.ErrUnreachable, &cluster.State{Exists: true, Silent: errors.New("refused")}, true},
		{"the seed", 0, host.ErrUnreachable, running, true},
		{"a worker that refuses the key", 1, host.ErrAuth, running, true},
		{"a worker with another host key", 1, &host.HostKeyError{Changed: true}, running, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, two)
			fixture.Bundle = workflowtest.NewBundle(t)
			state := *test.state
			state.Fixed = cluster.FixedOf(fixture.Cluster)
			fixture.Hosts.SetState(&state)
			fixture.Hosts.All[test.host].SetFacts(nil)
			fixture.Hosts.All[test.host].SetUnreachable(fmt.Errorf("connect: %w", test.cause))
			err := fixture.Apply(preflightWith(noPackets, false))
			var found *FindingsError
			if errors.As(err, &found) != test.refused || !errors.Is(err, test.cause) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPreflightChecksOnlyHostsThatTheRunHasRead(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Bundle = workflowtest.NewBundle(t)
	fixture.Hosts.All[1].SetFacts(nil)
	if err := fixture.Apply(preflightWith(noPackets, false)); err != nil {
		t.Fatal(err)
	}
	if notes := fixture.Notes(); notes != nil {
		t.Errorf("notes about a host that the run does not read: %q", notes)
	}
}

func TestFactsAreReadFromEveryHost(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	args := facts.Arguments()
	fixture.Host("cp-1").ExpectQueryScript("facts.sh", args...).Returns("arch\tx86_64\nkernel\t6.1\nhostname\tfirst\n")
	fixture.Host("w-1").ExpectQueryScript("facts.sh", args...).Returns("arch\taarch64\nkernel\t6.2\nhostname\tsecond\n")
	fixture.MustApply(Facts())
	if a, b := fixture.Facts("cp-1"), fixture.Facts("w-1"); a.Hostname != "first" || b.Arch != "arm64" {
		t.Errorf("got %+v and %+v", a, b)
	}
}

// What a killed installer has started would change the facts.
func TestFactsAreReadAgainWhileAResetRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
		const output = "arch\tx86_64\nkernel\t6.1\n"
		fake := fixture.Host("cp-1")
		fake.InOrder()
		for range 2 {
			fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(output + "resetting\tyes\nexists\t/var/lib/etcd/member\n")
		}
		fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(output)
		fixture.MustApply(Facts())
		if f := fixture.Facts("cp-1"); f.Resetting || f.Exists(facts.EtcdMember) {
			t.Errorf("got %+v", f)
		}
	})
}

func TestAResetThatDoesNotEndIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
		fixture.Host("cp-1").ExpectQueryScript("facts.sh", facts.Arguments()...).Returns("arch\tx86_64\nkernel\t6.1\nresetting\tyes\n").AnyTimes()
		err := fixture.Apply(Facts())
		if !errors.Is(err, errResetting) || !strings.Contains(workflow.Hint(err), "journalctl -u slipway-kubeadm-reset") {
			t.Errorf("got %v, hint %q", err, workflow.Hint(err))
		}
	})
}

func TestFactsThatCannotBeReadAreAnError(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n")
	fixture.Host("cp-1").ExpectQueryScript("facts.sh", facts.Arguments()...).Returns("This account is disabled.\n")
	if err := fixture.Apply(Facts()); err == nil || !strings.Contains(err.Error(), "facts: incomplete") {
		t.Errorf("got %v", err)
	}
}

func TestTheFreeSpaceOfEveryPathThatNeedsSomeIsAFact(t *testing.T) {
	t.Parallel()
	paths := facts.DiskPaths()
	for path := range needMiB {
		if !slices.Contains(paths, path) {
			t.Errorf("the free space of %s is never read", path)
		}
	}
	if len(needMiB) != len(paths) {
		t.Errorf("the free space of %d paths is read, %d need some", len(paths), len(needMiB))
	}
}
