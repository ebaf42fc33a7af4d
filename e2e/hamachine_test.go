//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A machine without a network answers no SSH. These functions look at the processes of a
// machine container from localhost, and use its namespaces.

// leaderOf returns the process of localhost that is PID 1 in the machine with a tree.
func leaderOf(tree string) (int, error) {
	for _, nspawn := range processes() {
		argv := strings.Split(readProc(nspawn, "cmdline"), "\x00")
		if filepath.Base(argv[0]) != "systemd-nspawn" || !slices.Contains(argv, "--directory="+tree) {
			continue
		}
		for _, pid := range processes() {
			status := readProc(pid, "status")
			if statusField(status, "PPid") == strconv.Itoa(nspawn) && strings.HasSuffix(statusField(status, "NSpid"), "\t1") {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("no machine runs on %s", tree)
}

// processes lists all processes of localhost.
func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// readProc returns a file of a process; empty if the process has ended.
func readProc(pid int, name string) string {
	content, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
	return string(content)
}

// statusField returns a field of /proc/PID/status, proc_pid_status(5).
func statusField(status, name string) string {
	for line := range strings.Lines(status) {
		if value, found := strings.CutPrefix(line, name+":\t"); found {
			return strings.TrimRight(value, "\n")
		}
	}
	return ""
}

// hasAddress reports whether /proc/PID/net/fib_trie has a local address: the interfaces
// of the process's network namespace have it.
func hasAddress(fibTrie, address string) bool {
	inside := false
	for line := range strings.Lines(fibTrie) {
		line = strings.TrimSpace(line)
		if leaf, found := strings.CutPrefix(line, "|-- "); found {
			inside = leaf == address
			continue
		}
		if inside && line == "/32 host LOCAL" {
			return true
		}
	}
	return false
}

// leader returns PID 1 of a machine, which must run.
func (s *scenario) leader(t *testing.T, machine string) int {
	t.Helper()
	pid, err := leaderOf(s.lab.tree(machine))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// apiServerOf returns the process of a machine's API server, which is in the network
// namespace of the machine.
func (s *scenario) apiServerOf(t *testing.T, machine string) int {
	t.Helper()
	network := networkNamespace(s.leader(t, machine))
	for _, pid := range processes() {
		if strings.TrimSpace(readProc(pid, "comm")) == "kube-apiserver" && networkNamespace(pid) == network {
			return pid
		}
	}
	t.Fatalf("no API server runs on %s", machine)
	return 0
}

func networkNamespace(pid int) string {
	link, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns/net"))
	return link
}

// signal sends a signal to the API server of a machine.
func (s *scenario) signal(t *testing.T, machine string, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.apiServerOf(t, machine), signal); err != nil {
		t.Fatal(err)
	}
}

// inNetworkOf runs a command of localhost in the network namespace of a process.
func inNetworkOf(ctx context.Context, pid int, argv ...string) (string, error) {
	nsenter := []string{"--target", strconv.Itoa(pid), "--net", "--"}
	out, err := exec.CommandContext(ctx, "nsenter", append(nsenter, argv...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return string(out), err
}

// uplink is the interface of localhost that connects a machine to its bridge.
type uplink struct{ name, bridge string }

// peer matches the index of the interface at the other end, in the output of ip -o link.
var peer = regexp.MustCompile(`^\d+: host0@if(\d+):`)

func (s *scenario) uplinkOf(ctx context.Context, t *testing.T, machine string) uplink {
	t.Helper()
	out, err := inNetworkOf(ctx, s.leader(t, machine), "ip", "-o", "link", "show", "dev", "host0")
	if err != nil {
		t.Fatal(err)
	}
	found := peer.FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("%s: no peer of host0: %s", machine, out)
	}
	index, _ := strconv.Atoi(found[1]) // the pattern is a number
	link, err := net.InterfaceByIndex(index)
	if err != nil {
		t.Fatal(err)
	}
	bridge, err := os.Readlink(filepath.Join("/sys/class/net", link.Name, "master"))
	if err != nil {
		t.Fatal(err)
	}
	return uplink{name: link.Name, bridge: filepath.Base(bridge)}
}

// detach takes a machine off its bridge. Its interface stays up, as behind a switch that
// drops all packets.
func (u uplink) detach(ctx context.Context) error { return u.set(ctx, "nomaster") }

// attach connects the machine again.
func (u uplink) attach(ctx context.Context) error { return u.set(ctx, "master", u.bridge) }

func (u uplink) set(ctx context.Context, setting ...string) error {
	out, err := exec.CommandContext(ctx, "ip", append([]string{"link", "set", "dev", u.name}, setting...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", u.name, err, out)
	}
	return nil
}

func TestAnAddressIsFoundInTheRoutesOfANamespace(t *testing.T) {
	t.Parallel()
	const fibTrie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.7.0/24 2 0 1
        |-- 10.0.7.0
           /24 link UNICAST
        |-- 10.0.7.9
           /32 link UNICAST
Local:
  +-- 10.0.7.0/24 2 0 1
     |-- 10.0.7.11
        /32 host LOCAL
     |-- 10.0.7.100
        /32 host LOCAL
     |-- 10.0.7.255
        /32 link BROADCAST
`
	for address, want := range map[string]bool{
		"10.0.7.11": true, "10.0.7.100": true, "10.0.7.10": false, "10.0.7.9": false, "10.0.7.255": false, "0.7.100": false,
	} {
		if got := hasAddress(fibTrie, address); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
	if !hasAddress(readProc(os.Getpid(), "net/fib_trie"), "127.0.0.1") {
		t.Error("localhost has no 127.0.0.1")
	}
	if got := statusField(readProc(os.Getpid(), "status"), "PPid"); got != strconv.Itoa(os.Getppid()) {
		t.Errorf("the parent is %q", got)
	}
}
