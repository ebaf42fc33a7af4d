package container

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/retry"
)

// TestLab creates a real lab. It needs root, and the packages that it names if they
// are missing. The base tree is cached where slipway lab up caches it.
func TestLab(t *testing.T) {
	if os.Getenv("SLIPWAY_LAB_TEST") == "" {
		t.Skip("set SLIPWAY_LAB_TEST=1 to create a real lab (needs root)")
	}
	var events []string
	c := Containers{Progress: func(e lab.Event) {
		events = append(events, e.Machine+" "+e.Message)
		t.Log(e.Machine, e.Message)
	}}
	spec := lab.Spec{Name: "integration-test", ControlPlanes: 1, Workers: 1}
	if err := c.Down(t.Context(), spec.Name); err != nil {
		t.Fatal(err)
	}
	l := must(t)(c.Up(t.Context(), spec))
	t.Cleanup(func() { takeDown(t, c, l) })

	t.Run("machines are what an installer needs", func(t *testing.T) { testMachines(t, l) })
	t.Run("service addresses work", func(t *testing.T) { testServiceAddresses(t, l) })
	t.Run("nothing leaves the lab", func(t *testing.T) { testNothingLeaves(t, l) })

	t.Run("a second Up changes nothing", func(t *testing.T) {
		events = nil
		again := must(t)(c.Up(t.Context(), spec))
		if len(events) > 0 {
			t.Errorf("a second Up changed something: %q", events)
		}
		if fmt.Sprint(again.Machines) != fmt.Sprint(l.Machines) {
			t.Errorf("other machines:\n%v\n%v", l.Machines, again.Machines)
		}
	})
	t.Run("Up adds a machine and repairs one that is down", func(t *testing.T) {
		killMachine(t, l, "w1")
		spec.Workers++
		l = must(t)(c.Up(t.Context(), spec))
		for _, name := range []string{"cp1", "w1", "w2"} {
			if got := onMachine(t, l, name, "hostname"); got != name {
				t.Errorf("%s says it is %s", name, got)
			}
		}
	})
	t.Run("a killed supervisor loses no machine", func(t *testing.T) {
		m, _ := l.Machine("w1")
		if err := kill(supervisor(t, c, l, m)); err != nil {
			t.Fatal(err)
		}
		now := must(t)(c.Status(t.Context(), spec.Name))
		if m, _ := now.Machine("w1"); m.State != lab.Running {
			t.Errorf("w1 is %s, but systemd-nspawn runs", m.State)
		}
	})
	t.Run("Halt and Boot keep the disks", func(t *testing.T) {
		onMachine(t, l, "cp1", "sudo touch /root/kept")
		l = must(t)(c.Halt(t.Context(), spec.Name, lab.HaltOptions{}))
		for _, m := range l.Machines {
			if m.State != lab.Off {
				t.Errorf("%s is %s", m.Name, m.State)
			}
		}
		l = must(t)(c.Boot(t.Context(), spec.Name))
		onMachine(t, l, "cp1", "sudo test -e /root/kept")
		testMachines(t, l)
	})
	t.Run("a machine reboots itself", func(t *testing.T) {
		before := onMachine(t, l, "w1", "cat /proc/1/stat | cut -d' ' -f22")
		_ = sshCommand(t, l, "w1", "sudo systemctl reboot").Run() // the connection breaks
		// Up waits until the machine answers again. Its first attempt may still
		// reach the machine before the reboot.
		err := retry.Until(t.Context(), "w1 to boot again", rebooted(t, c, spec, before), retry.Options{Timeout: bootTimeout})
		if err != nil {
			t.Fatal(err)
		}
		testMachines(t, l)
	})
}

// TestHighlyAvailableLab is like TestLab, for what such labs have in addition.
func TestHighlyAvailableLab(t *testing.T) {
	if os.Getenv("SLIPWAY_LAB_TEST") == "" {
		t.Skip("set SLIPWAY_LAB_TEST=1 to create a real lab (needs root)")
	}
	c := Containers{Progress: func(e lab.Event) { t.Log(e.Machine, e.Message) }}
	spec := lab.Spec{Name: "integration-test-ha", ControlPlanes: 2, HA: true}
	if err := c.Down(t.Context(), spec.Name); err != nil {
		t.Fatal(err)
	}
	l := must(t)(c.Up(t.Context(), spec))
	t.Cleanup(func() { takeDown(t, c, l) })
	const install = "set -eu; apt-get -q update && apt-get -q -y install keepalived haproxy && systemctl is-active haproxy"

	t.Run("machines install the load balancer", func(t *testing.T) {
		if got := onMachine(t, l, "cp1", "ls /usr/sbin/keepalived /usr/sbin/haproxy 2>/dev/null || :"); got != "" {
			t.Fatalf("preinstalled: %s", got)
		}
		if out := asRoot(t, l, "cp1", install); !strings.HasSuffix(out, "\nactive") {
			t.Errorf("haproxy does not run:\n%s", out)
		}
	})
	t.Run("a machine without power leaves the others alone", func(t *testing.T) {
		l = must(t)(c.Halt(t.Context(), spec.Name, lab.HaltOptions{Machines: []string{"cp2"}, Force: true}))
		if l.Machines[0].State != lab.Running || l.Machines[1].State != lab.Off {
			t.Errorf("cp1 is %s, cp2 is %s", l.Machines[0].State, l.Machines[1].State)
		}
		l = must(t)(c.Boot(t.Context(), spec.Name, "cp2"))
		if l.Machines[1].State != lab.Running {
			t.Errorf("cp2 is %s", l.Machines[1].State)
		}
	})
	t.Run("packages are served again after a halt", func(t *testing.T) {
		l = must(t)(c.Halt(t.Context(), spec.Name, lab.HaltOptions{}))
		if pid := serverOf(t, c, l); pid != 0 {
			t.Errorf("the package server still runs: process %d", pid)
		}
		l = must(t)(c.Boot(t.Context(), spec.Name))
		asRoot(t, l, "cp2", install)
	})
}

// testMachines checks each machine over SSH.
func testMachines(t *testing.T, l *lab.Lab) {
	ids := map[string]string{}
	for _, m := range l.Machines {
		for command, want := range map[string]string{
			"hostname":                             m.Name,
			"sudo -n id -u":                        "0",
			"systemctl is-system-running":          "running",
			"findmnt -no PROPAGATION /":            "shared",
			"findmnt -no FSTYPE /":                 outerFS(t, treeOf(l, m)),
			"getent hosts " + m.Name:               fmt.Sprintf("%-15s %s", m.Address, m.Name),
			"ls -d /sys/fs/cgroup/*/kubepods || :": "",
			// Writable cgroups, each machine's its own.
			"cd /sys/fs/cgroup && { cd pids || :; } 2>/dev/null && sudo mkdir probe && sudo rmdir probe && echo yes": "yes",
		} {
			if got := onMachine(t, l, m.Name, command+" 2>/dev/null"); got != want {
				t.Errorf("%s: %s: %q, want %q", m.Name, command, got, want)
			}
		}
		id := onMachine(t, l, m.Name, "cat /etc/machine-id")
		if other := ids[id]; other != "" {
			t.Errorf("%s and %s have one machine-id", m.Name, other)
		}
		ids[id] = m.Name
	}
}

// testServiceAddresses does what kube-proxy does: it translates an unused address
// to one in use, for the machine and for a pod on it.
func testServiceAddresses(t *testing.T, l *lab.Lab) {
	w1, err := l.Machine("w1")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.ReplaceAll(`set -eu
		for chain in OUTPUT PREROUTING; do
			iptables -t nat -A $chain -d 10.96.0.1 -p tcp --dport 443 -j DNAT --to-destination TARGET:22
		done
		iptables -t nat -A POSTROUTING -s 10.244.0.0/24 -j MASQUERADE
		echo 1 >/proc/sys/net/ipv4/ip_forward
		ip netns add pod
		ip link add pod0 type veth peer name eth0 netns pod
		ip address add 10.244.0.1/24 dev pod0 && ip link set pod0 up
		ip -n pod address add 10.244.0.5/24 dev eth0 && ip -n pod link set eth0 up
		ip -n pod route add default via 10.244.0.1
		banner() { timeout 5 "$@" bash -c 'exec 3<>/dev/tcp/10.96.0.1/443; head -c 4 <&3'; echo; }
		banner env
		banner ip netns exec pod
		ip netns delete pod
		iptables -t nat -F
		echo 0 >/proc/sys/net/ipv4/ip_forward`, "TARGET", w1.Address.String())
	if got, want := asRoot(t, l, "cp1", script), "SSH-\nSSH-"; got != want {
		t.Errorf("through the service address: %q, want %q", got, want)
	}
}

// testNothingLeaves counts, in the machine, the packets that leave it for an
// address outside of the lab while it tries to send some. The addresses are for
// documentation (RFC 5737).
func testNothingLeaves(t *testing.T, l *lab.Lab) {
	script := strings.ReplaceAll(`set -eu
		iptables -t mangle -A POSTROUTING -o host0 ! -d SUBNET
		iptables -t mangle -A POSTROUTING -o host0 -d SUBNET
		ping -c 1 -W 2 GATEWAY >/dev/null
		timeout 1 bash -c '</dev/tcp/198.51.100.7/80' 2>/dev/null || :
		timeout 1 ping -c 2 -i 0.2 198.51.100.7 >/dev/null || :
		echo x | timeout 1 socat -u - UDP-SENDTO:203.0.113.9:53 || :
		iptables -t mangle -L POSTROUTING -v -n -x | awk 'NR > 2 { print ($1 == 0) }'
		iptables -t mangle -F POSTROUTING`, "SUBNET", l.Subnet.String())
	script = strings.ReplaceAll(script, "GATEWAY", lab.Nth(l.Subnet, 1).String())
	// No packet for outside, and at least one for the lab, the first ping.
	if got, want := asRoot(t, l, "cp1", script), "1\n0"; got != want {
		t.Errorf("no packet for outside, no packet for the lab: %q, want %q", got, want)
	}
}

// takeDown deletes the lab and checks that nothing of it remains.
func takeDown(t *testing.T, c Containers, l *lab.Lab) {
	for range 2 {
		// The test's context has ended already.
		if err := c.Down(context.WithoutCancel(t.Context()), l.Name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(l.Dir); err == nil {
		t.Errorf("%s still exists", l.Dir)
	}
	if _, err := os.Stat(filepath.Join("/sys/class/net", inside(l).bridgeName())); err == nil {
		t.Errorf("the bridge %s still exists", inside(l).bridgeName())
	}
	mounts, err := readMounts()
	if err != nil {
		t.Fatal(err)
	}
	if left := below(mounts, l.Dir); len(left) > 0 {
		t.Errorf("mounts remain: %v", left)
	}
	for _, m := range l.Machines {
		if left := proc.runners(treeOf(l, m)); len(left) > 0 {
			t.Errorf("processes of %s remain: %v", m.Name, left)
		}
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + inside(l).bridgeName() + "-*"); len(left) > 0 {
		t.Errorf("cgroups remain: %v", left)
	}
}

// must ends the test on an error, and otherwise returns the lab.
func must(t *testing.T) func(*lab.Lab, error) *lab.Lab {
	return func(l *lab.Lab, err error) *lab.Lab {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

func sshCommand(t *testing.T, l *lab.Lab, machine, command string) *exec.Cmd {
	t.Helper()
	argv, err := l.SSHArgv(machine, command)
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), argv[0], argv[1:]...)
}

func onMachine(t *testing.T, l *lab.Lab, machine, command string) string {
	t.Helper()
	return output(t, sshCommand(t, l, machine, command))
}

func asRoot(t *testing.T, l *lab.Lab, machine, script string) string {
	t.Helper()
	cmd := sshCommand(t, l, machine, "sudo sh -s")
	cmd.Stdin = strings.NewReader(script)
	return output(t, cmd)
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s%s", cmd.Args[len(cmd.Args)-1], err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// killMachine ends a machine as a power cut would.
func killMachine(t *testing.T, l *lab.Lab, name string) {
	t.Helper()
	m, err := l.Machine(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range proc.runners(treeOf(l, m)) {
		if err := kill(pid); err != nil {
			t.Fatal(err)
		}
	}
}

// outerFS is the type of the file system that holds a tree.
func outerFS(t *testing.T, tree string) string {
	t.Helper()
	return output(t, exec.CommandContext(t.Context(), "findmnt", "--noheadings", "--output", "FSTYPE", "--target", tree))
}

// rebooted reports whether a machine's init started later than before.
func rebooted(t *testing.T, c Containers, spec lab.Spec, before string) func(context.Context) error {
	return func(ctx context.Context) error {
		l, err := c.Up(ctx, spec)
		if err != nil {
			return err
		}
		now, err := sshCommand(t, l, "w1", "cat /proc/1/stat | cut -d' ' -f22").Output()
		after := strings.TrimSpace(string(now))
		if err == nil && after == before {
			return fmt.Errorf("init started at tick %s, as before", after)
		}
		return err
	}
}

// inside is the part of a session that only depends on where the lab is.
func inside(l *lab.Lab) *session { return &session{name: l.Name, dir: l.Dir} }

func treeOf(l *lab.Lab, m lab.Machine) string { return inside(l).treePath(&machine{Name: m.Name}) }

// supervisor is the process that was recorded for a machine.
func supervisor(t *testing.T, c Containers, l *lab.Lab, of lab.Machine) int {
	t.Helper()
	s, err := c.session(l.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.state.Machines {
		if m.Name == of.Name {
			return s.pidOf(m)
		}
	}
	t.Fatalf("no machine %s", of.Name)
	return 0
}

// serverOf is the process that serves the packages of a lab, 0 if none does.
func serverOf(t *testing.T, c Containers, l *lab.Lab) int {
	t.Helper()
	s, err := c.session(l.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	return s.serverPID()
}
