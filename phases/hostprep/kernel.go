package hostprep

import (
	"context"
	"fmt"
	"strconv"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	modulesConf = "/etc/modules-load.d/slipway.conf"
	sysctlConf  = "/etc/sysctl.d/90-slipway.conf"
)

// modules are loaded now and at each boot. kubeadm does not look for
// br_netfilter since 1.30, and Flannel fails without it.
var modules = []string{"overlay", "br_netfilter"}

// setting is a sysctl with the value it must have, or at least have.
type setting struct {
	Key     string
	Value   int
	atLeast bool
}

// settings: forwarding and bridged traffic through netfilter are what pod
// networking needs; the inotify limits are what many kubelets' watches need
// (k0s#8113).
var settings = []setting{
	{Key: "net.ipv4.ip_forward", Value: 1},
	{Key: "net.bridge.bridge-nf-call-iptables", Value: 1},
	{Key: "net.bridge.bridge-nf-call-ip6tables", Value: 1},
	{Key: "fs.inotify.max_user_instances", Value: 8192, atLeast: true},
	{Key: "fs.inotify.max_user_watches", Value: 524288, atLeast: true},
}

// Kernel loads the modules and sets the sysctls, now and for each boot.
func Kernel() workflow.Phase {
	return workflow.Phase{
		Name:  "kernel",
		Title: "load kernel modules and set sysctls",
		Why: "Pods on different nodes reach each other only where the kernel forwards, and Services work only where " +
			"bridged packets pass through netfilter; both must hold after a reboot too.",
		Manual: []string{
			"printf 'overlay\\nbr_netfilter\\n' > /etc/modules-load.d/slipway.conf && modprobe -a overlay br_netfilter",
			"printf 'net.ipv4.ip_forward = 1\\nnet.bridge.bridge-nf-call-iptables = 1\\nnet.bridge.bridge-nf-call-ip6tables = 1\\nfs.inotify.max_user_instances = 8192\\nfs.inotify.max_user_watches = 524288\\n' > /etc/sysctl.d/90-slipway.conf && sysctl --system",
		},
		On:    workflow.EachHost,
		Needs: []string{"lock"},
		Do:    setKernel,
	}
}

func setKernel(ctx context.Context, s *workflow.Step) error {
	wanted := wantedSettings(s.Facts())
	sysctls, err := templates.Render("hostprep/sysctl.conf.tmpl", struct{ Settings []setting }{wanted})
	if err != nil {
		return err
	}
	if _, err := host.EnsureFiles(ctx, s,
		host.File{Path: modulesConf, Content: templates.File("hostprep/modules.conf")},
		host.File{Path: sysctlConf, Content: sysctls},
	); err != nil {
		return err
	}
	if err := loadModules(ctx, s); err != nil {
		return err
	}
	return applySettings(ctx, s, wanted)
}

// loadModules loads those that the kernel does not have yet.
func loadModules(ctx context.Context, s *workflow.Step) error {
	if err := modulesFolder(ctx, s); err != nil {
		return err
	}
	var missing []string
	for _, module := range modules {
		if !s.Facts().Module(module) {
			missing = append(missing, module)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err := s.Run(ctx, host.Cmd{Argv: append([]string{"modprobe", "--all"}, missing...), Sudo: true})
	return err
}

// modulesFolder makes /lib/modules where a machine has none, as a container
// without a kernel of its own: kube-proxy's pod mounts it.
func modulesFolder(ctx context.Context, s *workflow.Step) error {
	if s.Facts().Exists("/lib/modules") {
		return nil
	}
	_, err := s.Run(ctx, host.Cmd{
		Argv: []string{"mkdir", "-p", "/lib/modules"},
		Undo: []string{"rmdir", "--ignore-fail-on-non-empty", "/lib/modules"},
		Sudo: true,
	})
	return err
}

// wantedSettings keeps a limit that is higher already.
func wantedSettings(f *facts.Facts) []setting {
	var wanted []setting
	for _, set := range settings {
		if have, err := strconv.Atoi(f.Sysctls[set.Key]); err == nil && set.atLeast && have > set.Value {
			set.Value = have
		}
		wanted = append(wanted, set)
	}
	return wanted
}

// applySettings sets those that differ, each with its old value to go back to,
// and reads all of them back: some are refused without an error.
func applySettings(ctx context.Context, s *workflow.Step, wanted []setting) error {
	set := host.Cmd{Argv: []string{"sysctl", "-q", "-w"}, Sudo: true}
	for _, w := range wanted {
		old, known := s.Facts().Sysctls[w.Key]
		want := strconv.Itoa(w.Value)
		if old == want {
			continue
		}
		set.Argv = append(set.Argv, w.Key+"="+want)
		if known {
			set.Undo = append(set.Undo, w.Key+"="+old)
		}
	}
	if len(set.Argv) == 3 {
		return nil
	}
	if len(set.Undo) > 0 {
		set.Undo = append([]string{"sysctl", "-q", "-w"}, set.Undo...)
	}
	if _, err := s.Run(ctx, set); err != nil || s.Planning() {
		return err
	}
	return readBack(ctx, s, wanted)
}

func readBack(ctx context.Context, s *workflow.Step, wanted []setting) error {
	argv := []string{"sysctl", "-n"}
	expected := ""
	for _, set := range wanted {
		argv = append(argv, set.Key)
		expected += strconv.Itoa(set.Value) + "\n"
	}
	res, err := s.Query(ctx, host.Cmd{Argv: argv, Sudo: true})
	if err != nil {
		return err
	}
	if string(res.Stdout) != expected {
		return workflow.WithHint(
			fmt.Errorf("sysctls %v read back as %q, not as %q", argv[2:], res.Stdout, expected),
			"look for another file in /etc/sysctl.d that sets them, or a container that may not")
	}
	return nil
}
