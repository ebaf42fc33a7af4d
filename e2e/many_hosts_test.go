//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/report/check"
)

// The number of simulated hosts, the round-trip time to each, and the limit for
// the checks of all hosts.
const (
	simulated = 100
	roundTrip = 20 * time.Millisecond
	maxTime   = 15 * time.Second
)

// TestPreflightOfAHundredHosts runs the checks of hosts against SSH
// servers in this process that answer with the facts of a suitable host, delayed by
// the round-trip time. Two have the same machine-id; the clock of one is wrong.
func TestPreflightOfAHundredHosts(t *testing.T) {
	path := absolute(t, "SLIPWAY_BIN", "../bin/slipway")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make build", err)
	}
	slipway := newBinary(path, t.TempDir())
	servers := make([]*hosttest.Server, simulated)
	for i := range servers {
		servers[i] = hosttest.NewServer(t, hosttest.ServerConfig{Latency: roundTrip, Exec: answerAs(i)})
	}

	alone, r := slipway.preflightOf(t, servers[:1])
	t.Logf("1 host at %s: %.1f s, of them %.2f s for the host", roundTrip, r.took.Seconds(), alone.Seconds)
	if len(alone.Hosts) != 1 || len(alone.Findings(check.Error))+len(alone.Findings(check.Unknown)) > 0 {
		t.Errorf("one host alone: %s", r)
	}
	// SSH needs at least five round trips: keys, service, user, session, command.
	if least := 5 * roundTrip; alone.Seconds < least.Seconds() {
		t.Errorf("one host alone took %.3f s: nothing was delayed", alone.Seconds)
	}

	report, r := slipway.preflightOf(t, servers)
	t.Logf("%d hosts at %s: %.1f s, of them %.2f s for the hosts", simulated, roundTrip, r.took.Seconds(), report.Seconds)
	if r.took > maxTime || r.code != exitCodes[check.Error] || len(report.Hosts) != simulated {
		t.Errorf("%d hosts, exit code %d after %s", len(report.Hosts), r.code, r.took)
	}
	for i, server := range servers {
		// The first server also had the connection of the run with one host.
		if n := server.Connections(); n != 1 && (i > 0 || n != 2) {
			t.Errorf("%d connections to %s", n, nameOf(i))
		}
	}
	allRan(t, report)
	var found []string
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			found = append(found, strings.Join(strings.Fields(f.Check+" "+f.Host+" "+f.Evidence), " "))
		}
	}
	if len(found) != 2 || !strings.HasPrefix(found[0], "clock-skew node-42 the clock is 1m") ||
		!strings.HasPrefix(found[1], "duplicate-machine-id node-7 and node-77 have the same machine-id ") {
		t.Errorf("found %d:\n%s", len(found), strings.Join(found, "\n"))
	}
}

// everythingExpected is an inventory without hosts. It expects every addon that a
// check needs, so that no check is skipped.
const everythingExpected = `apiVersion: slipway.io/v1alpha1
kind: Cluster
ssh: {user: root, knownHostsFile: known_hosts}
preflight:
  expect:
    - name: calico
    - name: longhorn
    - name: ingress
    - name: metrics-server
    - {name: load-balancer, addresses: [198.51.100.200/29]}
hosts:
`

// preflightOf runs preflight on these servers. The first is the control plane.
func (b binary) preflightOf(t *testing.T, servers []*hosttest.Server) (check.Report, result) {
	t.Helper()
	dir := t.TempDir()
	var hosts, known strings.Builder
	for i, server := range servers {
		lines, err := os.ReadFile(server.KnownHosts())
		if err != nil {
			t.Fatal(err)
		}
		known.Write(lines)
		role := "worker"
		if i == 0 {
			role = "control-plane"
		}
		fmt.Fprintf(&hosts, "  - {name: %s, address: %s, nodeIP: %s, roles: [%s], ssh: {port: %d, identityFile: %s}}\n",
			nameOf(i), server.Address, addressOf(i), role, server.Port, server.KeyFile)
	}
	inventory := filepath.Join(dir, "inventory.yaml")
	write(t, filepath.Join(dir, "known_hosts"), known.String())
	write(t, inventory, everythingExpected+hosts.String())

	r := b.run(t.Context(), t, "preflight", "--no-pairs", "-o", "json", "-i", inventory)
	var report check.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return report, r
}

// mayBeSkipped are checks that --no-pairs skips, or that need an addon, an endpoint, an
// external etcd or another Kubernetes version, which the inventory does not have.
var mayBeSkipped = []string{
	"disk-latency", "ingress-nginx-retired", "vip-taken",
	"endpoint-port", "load-balancer-packages", "endpoint-address", "virtual-router-id",
	"etcd-endpoints",
	"upgrade-skew", "upgrade-budgets", "upgrade-apis", "upgrade-etcd", "upgrade-disk", "upgrade-hosts",
}

// allRan fails the test if a check was skipped that could run.
func allRan(t *testing.T, report check.Report) {
	t.Helper()
	ran := 0
	for _, c := range report.Checks {
		switch {
		case c.Status != check.Skipped:
			ran++
		case c.Kind != check.Pair && !slices.Contains(mayBeSkipped, c.Name):
			t.Errorf("%s was skipped: %s", c.Name, c.Reason)
		}
	}
	t.Logf("%d checks ran", ran)
}

func nameOf(i int) string    { return fmt.Sprintf("node-%d", i) }
func addressOf(i int) string { return fmt.Sprintf("198.51.100.%d", i+1) }

// answerAs answers the facts script as the i-th host.
func answerAs(i int) func(context.Context, hosttest.Exec) int {
	return func(_ context.Context, e hosttest.Exec) int {
		e.Begin()
		script, _ := io.ReadAll(e.Stdin)
		if !strings.Contains(string(script), "Prints the facts of this host") {
			return 127
		}
		id, now := i, time.Now()
		if i == 77 {
			id = 7
		}
		if i == 42 {
			now = now.Add(90 * time.Second)
		}
		fmt.Fprintf(e.Stdout, "time\t%d.%09d\n", now.Unix(), now.Nanosecond())
		for _, fact := range []string{
			"hostname\t" + nameOf(i), "arch\tx86_64", "kernel\t6.1.0-40-amd64", "cpus\t4", "memoryKiB\t8000000", "cgroup\tcgroup2fs", "init\tsystemd",
			fmt.Sprintf("machineID\t%032d", id+1), fmt.Sprintf("productUUID\tuuid-%d", i), fmt.Sprintf("mac\teth0 02:00:00:00:00:%02x", i),
			"osID\tdebian", "osVersion\t13", "osName\tDebian GNU/Linux 13", "address\teth0 " + addressOf(i) + "/24", "mtu\teth0 1500",
			"route\tdefault via 198.51.100.254 dev eth0", "route\t198.51.100.0/24 dev eth0 proto kernel scope link src " + addressOf(i), "resolver\t198.51.100.253",
			"module\toverlay", "module\tbr_netfilter", "module\tnf_conntrack", "loadable\tvxlan", "controllers\tcpuset cpu io memory hugetlb pids",
			"loadable\tnft_compat", "loadable\txt_addrtype", "loadable\txt_comment", "loadable\txt_conntrack", "loadable\txt_mark",
			"loadable\txt_MASQUERADE", "loadable\txt_multiport", "loadable\txt_nat", "loadable\txt_statistic",
			"sysctl\tnet.ipv4.ip_forward 1", "sysctl\tfs.inotify.max_user_instances 8192", "sysctl\tfs.inotify.max_user_watches 524288", "maxSessions\t10", "active\tchrony.service",
			"active\tiscsid.service", "command\tiscsiadm", "command\tmount.nfs", "command\ttar", "exists\t/etc/iscsi/initiatorname.iscsi", "loadable\tiscsi_tcp",
			"disk\t/var/lib/containerd 50000000 40000000 / 3000000 2900000", "disk\t/var/lib/etcd 50000000 40000000 / 3000000 2900000",
			"disk\t/usr/local/bin 50000000 40000000 / 3000000 2900000", "disk\t/opt/cni/bin 50000000 40000000 / 3000000 2900000", "disk\t/var/lib/kubelet 50000000 40000000 / 3000000 2900000",
		} {
			fmt.Fprintln(e.Stdout, fact)
		}
		return 0
	}
}
