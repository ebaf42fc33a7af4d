// Package workflowtest runs single phases on strict fakes, for the tests of
// phases.
package workflowtest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
)

// Fixture runs phases on the hosts of an inventory, which are fakes. What the
// journal does on them is recorded separately: see Undo.
type Fixture struct {
	Cluster *config.Cluster
	Hosts   *workflow.Hosts
	// Bundle is that of NewBundle, unless the test sets another one.
	Bundle *bundle.Bundle
	// CutOff are the hosts whose etcd has lost the other members: it lists them, and no
	// more. Electing are those whose etcd knows no leader when it is asked first. See
	// ServeEtcd.
	CutOff, Electing []string
	// Credentials are those of the proxy and of registries.
	Credentials sources.Credentials
	// Selection is the part of the hosts to work on.
	Selection workflow.Selection
	// Timeout bounds waits for conditions of the cluster: see workflow.Run.
	Timeout time.Duration
	// Events are those of the last run.
	Events *report.Recorder

	// Listening are the addresses of lost hosts that accept connections, from all hosts
	// whose connections the fixture opens, and from localhost.
	Listening []string

	t     testing.TB
	fakes map[string]*fakeHost
}

// New creates a fixture from an inventory, whose apiVersion and kind may be omitted.
// Hosts have ordinary facts, with the host's address on eth0.
func New(t testing.TB, inventory string) *Fixture {
	t.Helper()
	cluster, err := config.Parse("inventory.yaml", []byte("apiVersion: slipway.io/v1alpha1\nkind: Cluster\n"+inventory))
	if err != nil {
		t.Fatal(err)
	}
	b := &Fixture{t: t, Cluster: cluster, Hosts: &workflow.Hosts{}, fakes: map[string]*fakeHost{}}
	for i, spec := range slices.Concat(cluster.Hosts, cluster.Absent()) {
		fake := &fakeHost{Fake: hosttest.NewFake(t, spec.Name)}
		b.fakes[spec.Name] = fake
		m := &workflow.Host{Config: spec, Conn: fake}
		m.SetFacts(Facts(spec, i))
		if i < len(cluster.Hosts) {
			b.Hosts.All = append(b.Hosts.All, m)
		} else {
			b.Hosts.Leaving = append(b.Hosts.Leaving, m)
		}
	}
	for _, spec := range cluster.Lost() {
		b.Hosts.Lost = append(b.Hosts.Lost, &workflow.LostHost{Config: spec, ConnectSSH: func(context.Context) error {
			return b.listens(net.JoinHostPort(spec.Address, "22"))
		}})
	}
	return b
}

// Facts are those of an ordinary host without Kubernetes, the i-th of its kind.
func Facts(spec config.Host, i int) *facts.Facts {
	id := string(rune('a' + i))
	f := &facts.Facts{
		Hostname: spec.Name, OS: facts.OS{ID: "debian", Name: "Debian GNU/Linux 12"}, Arch: "amd64", Kernel: "6.1.0", CPUs: 2, MemoryMiB: 4096, CgroupVersion: 2, Init: "systemd",
		MachineID: strings.Repeat(id, 32), ProductUUID: "uuid-" + id, MACs: []string{"02:00:00:00:00:" + id + id},
		Modules: Modules(), Controllers: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}, Sysctls: map[facts.Sysctl]string{facts.IPForward: "1"}, ActiveUnits: []string{"systemd-timesyncd.service"},
		Commands: []string{"tar"},
		Routes:   []facts.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"}},
	}
	for _, path := range facts.DiskPaths() {
		f.Disks = append(f.Disks, facts.Disk{Path: path, MountPoint: "/", SizeMiB: 50_000, FreeMiB: 40_000, Inodes: 1000, FreeInodes: 900})
	}
	if addr, err := netip.ParseAddr(spec.Address); err == nil {
		f.Addresses = []facts.Address{{Interface: "eth0", Prefix: netip.PrefixFrom(addr, 24)}}
	}
	return f
}

// Modules are the modules of a full kernel that clusters need.
func Modules() []string {
	return []string{
		"overlay", "br_netfilter", "nf_conntrack", "vxlan", "nft_compat", "ip_set", "xt_addrtype", "xt_comment", "xt_conntrack",
		"xt_mark", "xt_MASQUERADE", "xt_multiport", "xt_nat", "xt_statistic",
	}
}

// listens returns an error unless Listening has the address.
func (b *Fixture) listens(address string) error {
	if !slices.Contains(b.Listening, address) {
		return errors.New("dial " + address + ": connection timed out")
	}
	return nil
}

// Dials lets a host open connections to addresses that are Listening.
func (b *Fixture) Dials(name string) {
	for _, h := range b.Hosts.WithLeaving().All {
		if h.Config.Name == name {
			h.Conn = dialing{b.fakes[name], b.dial}
		}
	}
}

// dial opens a connection to an address that is Listening, or on the loopback.
func (b *Fixture) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(addr); err == nil && host == "127.0.0.1" {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if err := b.listens(addr); err != nil {
		return nil, err
	}
	conn, _ := net.Pipe()
	return conn, nil
}

// Host is the fake of a host.
func (b *Fixture) Host(name string) *hosttest.Fake { return b.fakes[name].Fake }

// Facts of a host, to be changed by the test.
func (b *Fixture) Facts(name string) *facts.Facts {
	for _, m := range b.Hosts.WithLeaving().All {
		if m.Config.Name == name {
			return m.Facts()
		}
	}
	b.t.Fatalf("no host %s", name)
	return nil
}

// Serve gives the first control plane the kubeconfig of an API server. A server
// in memory is dialed through the host.
func (b *Fixture) Serve(server *kubetest.Server) {
	first := b.fakes[b.Hosts.Seed().Config.Name]
	first.Put(kube.AdminConf, string(server.Kubeconfig("")))
	if server.Dial == nil {
		return
	}
	for _, h := range b.Hosts.WithLeaving().All {
		if h.Config.Name == first.String() {
			h.Conn = dialing{first, server.Dial}
		}
	}
}

// dialing is a fake that opens connections.
type dialing struct {
	*fakeHost
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// DialContext opens a connection to the server, whatever the address.
func (d dialing) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.dial(ctx, network, addr)
}

// Apply runs one phase on its hosts, as if the phases that it needs had
// succeeded. Its Always and ReadOnly are ignored.
func (b *Fixture) Apply(phase workflow.Phase) error { return b.run(phase, false) }

// Plan runs it in a plan.
func (b *Fixture) Plan(phase workflow.Phase) error { return b.run(phase, true) }

func (b *Fixture) run(phase workflow.Phase, plan bool) error {
	b.t.Helper()
	phase.Needs, phase.NeedsAll = nil, nil
	b.Events = &report.Recorder{}
	run := &workflow.Run{
		Cluster: b.Cluster, Hosts: b.Hosts, Bundle: b.Bundle, Selection: b.Selection, Credentials: b.Credentials, Sink: b.Events, Plan: plan, Parallel: 10, Holder: "test", Timeout: b.Timeout,
	}
	return run.Do(b.t.Context(), workflow.Workflow{Name: "test", Phases: []workflow.Phase{phase}})
}

// MustApply is Apply, and an error fails the test.
func (b *Fixture) MustApply(phase workflow.Phase) {
	b.t.Helper()
	if err := b.Apply(phase); err != nil {
		b.t.Fatal(err)
	}
}

// MustPlan is Plan, and an error fails the test.
func (b *Fixture) MustPlan(phase workflow.Phase) {
	b.t.Helper()
	if err := b.Plan(phase); err != nil {
		b.t.Fatal(err)
	}
}

// Changes are what the last run changed, or would have.
func (b *Fixture) Changes() []string { return b.messages(report.Change) }

// Notes are the notes of the last run.
func (b *Fixture) Notes() []string { return b.messages(report.Note) }

func (b *Fixture) messages(kind report.Kind) []string {
	var all []string
	for _, e := range b.Events.Events() {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return all
}

// Undo lists the commands that the journal of a host recorded to undo others.
func (b *Fixture) Undo(name string) []string {
	m := b.fakes[name]
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.undo)
}

// Recorded lists the files whose checksums the journal of a host has, each once for each
// time that it was recorded.
func (b *Fixture) Recorded(name string) []string {
	m := b.fakes[name]
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.recorded)
}

// fakeHost is a fake that answers the journal and the lock without expectations.
type fakeHost struct {
	*hosttest.Fake

	mu   sync.Mutex
	undo []string
	// recorded are the files whose checksums the journal has.
	recorded []string
}

// Query answers journal.Sums from the fake's files.
func (m *fakeHost) Query(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	if cmd.Name != "journal/sums.sh" {
		return m.Fake.Query(ctx, cmd)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	for _, path := range cmd.Argv[4:] { // after sh -s -- DIR
		mark := "*"
		if slices.Contains(m.recorded, path) {
			mark = " "
		}
		if sum := m.Sum(path); sum != "" {
			out.WriteString(sum + " " + mark + path + "\n")
		}
	}
	return host.Result{Stdout: []byte(out.String())}, ctx.Err()
}

// Run answers the scripts of the journal and of the lock.
func (m *fakeHost) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	if cmd.Name == "journal/sums-add.sh" {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := 5; i < len(cmd.Argv); i += 2 { // after sh -s -- DIR SHA256
			m.recorded = append(m.recorded, cmd.Argv[i])
		}
	}
	if strings.HasPrefix(cmd.Name, "journal/") || cmd.Name == "lock.sh" {
		return host.Result{}, ctx.Err()
	}
	if len(cmd.Undo) > 0 {
		m.mu.Lock()
		m.undo = append(m.undo, host.Quote(cmd.Undo))
		m.mu.Unlock()
	}
	return m.Fake.Run(ctx, cmd)
}
