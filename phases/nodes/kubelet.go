// Package nodes turns a host into a node: kubelet and its tools, the join, labels
// and taints.
package nodes

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	service     = "kubelet.service"
	serviceFile = kubeadm.KubeletUnit
	dropIn      = kubeadm.KubeletDropIn
)

// directories are those that Kubernetes uses: reset deletes those that did not exist.
// etcd requires mode 0700 for its data.
func directories() []host.File {
	directories := []host.File{{Path: "/var/lib/etcd", Mode: fs.ModeDir | 0o700}}
	for _, path := range []string{
		"/etc/kubernetes", "/etc/kubernetes/manifests", "/opt/cni", "/opt/cni/bin",
		"/var/lib/kubelet", "/var/lib/cni", "/usr/libexec/kubernetes",
	} {
		directories = append(directories, host.File{Path: path, Mode: fs.ModeDir | 0o755})
	}
	return directories
}

// Kubelet installs kubelet, kubeadm, the CNI plugins, and on control planes
// kubectl. kubeadm starts kubelet for the first time.
func Kubelet() workflow.Phase {
	return workflow.Phase{
		Name:  "kubelet",
		Title: "install kubelet, kubeadm and the CNI plugins",
		Why: "They come from the bundle instead of a package repository: no expired key stops an installation, and no " +
			"unattended upgrade replaces a running kubelet. On a node, kubelet restarts only when its binary, configuration, " +
			"flags, unit or a drop-in has changed. The programs of another version wait in /usr/local/lib/slipway until the node is drained.",
		Manual: []string{
			"install -m 755 kubelet kubeadm kubectl /usr/local/bin/",
			"mkdir -p /opt/cni/bin && install -m 755 CNI_PLUGINS /opt/cni/bin/",
			"systemctl enable kubelet    # with a kubelet.service and kubeadm's drop-in 10-kubeadm.conf",
		},
		On:    workflow.EachHost,
		Bulk:  true,
		Needs: []string{"finish-reset"},
		Do:    installKubelet,
	}
}

func installKubelet(ctx context.Context, s *workflow.Step) error {
	// The directories come first: those that did not exist are slipway's.
	files := append(directories(), host.File{Path: serviceFile, Content: templates.File("kubelet/kubelet.service")})
	node := !s.Target.Config.Has(config.RoleEtcd)
	if node {
		files = append(files, host.File{Path: dropIn, Content: templates.File("kubelet/10-kubeadm.conf")})
	}
	written, err := host.WriteDiffering(ctx, s, files...)
	if err != nil {
		return err
	}
	names := install.KubernetesPrograms(s)
	if s.Upgrades() != "" {
		// The host switches to them in its turn of the upgrade.
		if err := install.Stage(ctx, s, names); err != nil {
			return err
		}
		names = nil
	}
	for _, file := range s.Bundle().Files(install.Role(s.Target.Config), s.Facts().Arch) {
		if node && wantedPlugin(s.Cluster().Network.CNI.Name, file.Name) {
			names = append(names, file.Name)
		}
	}
	uploaded, err := install.Binaries(ctx, s, names)
	if err != nil || !node { // etcd-host starts kubelet
		return err
	}
	if s.Facts().Exists(facts.KubeletConf) && s.Facts().Exists(facts.KubeletConfig) {
		return kubeadm.KubeletService().Ensure(ctx, s, append(written, uploaded...)...)
	}
	// The host has not joined a cluster: kubelet would fail until kubeadm configures it.
	if len(written) == 0 {
		if enabled, err := enabled(ctx, s); err != nil || enabled {
			return err
		}
	}
	return systemd.Enable(ctx, s, service)
}

// flannelPlugins are the plugins that Flannel's configuration uses.
var flannelPlugins = []string{"cni/bridge", "cni/host-local", "cni/loopback", "cni/portmap"}

// wantedPlugin reports whether the file is a CNI plugin that the host needs. Pod
// networks other than Flannel may need any of them.
func wantedPlugin(network, file string) bool {
	if network == config.CNIFlannel {
		return slices.Contains(flannelPlugins, file)
	}
	return strings.HasPrefix(file, "cni/")
}

// enabled reports whether systemd starts kubelet at boot.
func enabled(ctx context.Context, s *workflow.Step) (bool, error) {
	_, err := s.Query(ctx, host.Cmd{Argv: []string{"systemctl", "is-enabled", "--quiet", service}})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Stderr == "" { // with --quiet, systemctl prints errors only
		return false, nil
	}
	return err == nil, err
}
