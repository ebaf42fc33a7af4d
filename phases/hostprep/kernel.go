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

// modules are loaded now and at each boot. Since 1.30 kubeadm no longer checks
// br_netfilter, and Flannel fails without it.
var modules = []string{"overlay", "br_netfilter"}

// setting is a sysctl with its required or its minimum value.
type setting struct {
	Key     facts.Sysctl
	Value   int
	atLeast bool
}

// settings enable forwarding and netfilter for bridged traffic, which pod
// networks need, and raise the inotify limits, which the watches of kubelet and
// its pods exhaust (k0s#8113).
var settings = []setting{
	{Key: facts.IPForward, Value: 1},
	{Key: facts.BridgeIPTables, Value: 1},
	{Key: facts.BridgeIP6Tables, Value: 1},
	{Key: facts.InotifyInstances, Value: 8192, atLeast: true},
	{Key: facts.InotifyWatches, Value: 524288, atLeast: true},
}

// Kernel loads the modules and sets the sysctls, now and for each boot.
func Kernel() workflow.Phase {
	return workflow.Phase{
		Name:  "kernel",
		Title: "load kernel modules and set sysctls",
		Why: "Pods on different nodes reach each other only if the kernel forwards packets, and Services work only if " +
			"bridged packets pass through netfilter. Both must also hold after a reboot.",
		Manual: []string{
			"dnf install -y kernel-modules-extra-$(uname -r)    # on RHEL-like systems, if modules of iptables are missing",
			"printf 'overlay\\nbr_netfilter\\n' > /etc/modules-load.d/slipway.conf && modprobe -a overlay br_netfilter",
			"printf 'net.ipv4.ip_forward = 1\\nnet.bridge.bridge-nf-call-iptables = 1\\nnet.bridge.bridge-nf-call-ip6tables = 1\\nfs.inotify.max_user_instances = 8192\\nfs.inotify.max_user_watches = 524288\\n' > /etc/sysctl.d/90-slipway.conf && sysctl --system",
		},
		On:    workflow.EachHost,
		Needs: []string{"lock"},
		Do:    setKernel,
	}
}

func setKernel(ctx context.Context, s *workflow.Step) error {
	if err := extraModules(ctx, s); err != nil {
		return err
	}
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

// loadModules loads the modules that the kernel lacks.
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

// modulesFolder creates /lib/modules on a host that has none, such as a
// container: kube-proxy's pod mounts it.
func modulesFolder(ctx context.Context, s *workflow.Step) error {
	if s.Facts().Exists(facts.KernelModules) {
		return nil
	}
	_, err := s.Run(ctx, host.Cmd{
		Argv: []string{"mkdir", "-p", "/lib/modules"},
		Undo: []string{"rmdir", "--ignore-fail-on-non-empty", "/lib/modules"},
		Sudo: true,
	})
	return err
}

// wantedSettings keeps a limit that is already higher.
func wantedSettings(f *facts.Facts) []setting {
	var wanted []setting
	for _, set := range settings {
		value, _ := f.Sysctl(set.Key)
		if have, err := strconv.Atoi(value); err == nil && set.atLeast && have > set.Value {
			set.Value = have
		}
		wanted = append(wanted, set)
	}
	return wanted
}

// applySettings sets the sysctls that differ, records their old values for reset,
// and reads all of them back: the kernel ignores some without an error.
func applySettings(ctx context.Context, s *workflow.Step, wanted []setting) error {
	set := host.Cmd{Argv: []string{"sysctl", "-q", "-w"}, Sudo: true}
	for _, w := range wanted {
		old, known := s.Facts().Sysctl(w.Key)
		want := strconv.Itoa(w.Value)
		if old == want {
			continue
		}
		set.Argv = append(set.Argv, string(w.Key)+"="+want)
		if known {
			set.Undo = append(set.Undo, string(w.Key)+"="+old)
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
		argv = append(argv, string(set.Key))
		expected += strconv.Itoa(set.Value) + "\n"
	}
	res, err := s.Query(ctx, host.Cmd{Argv: argv, Sudo: true})
	if err != nil {
		return err
	}
	if string(res.Stdout) != expected {
		return workflow.WithHint(
			fmt.Errorf("sysctls %v have the values %q after setting them to %q", argv[2:], res.Stdout, expected),
			"remove the file in /etc/sysctl.d that sets them; a container may not be permitted to set them")
	}
	return nil
}
