// Package runtime installs containerd with a configuration that slipway owns
// completely, and imports the images.
package runtime

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	configFile  = "/etc/containerd/config.toml"
	serviceFile = "/etc/systemd/system/containerd.service"
	service     = "containerd.service"
	certsDir    = "/etc/containerd/certs.d"
)

// binaries are the programs of containerd, by their names in the bundle.
var binaries = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc"}

// directories are those that containerd uses: reset deletes those that did not exist.
// containerd itself restricts the mode of its state.
func directories() []host.File {
	return []host.File{
		{Path: "/etc/containerd", Mode: fs.ModeDir | 0o755},
		{Path: "/var/lib/containerd", Mode: fs.ModeDir | 0o700},
		{Path: "/opt/containerd", Mode: fs.ModeDir | 0o755},
		// containerd creates this one when it starts.
		{Path: "/etc/cni", Mode: fs.ModeDir | 0o755},
		{Path: "/etc/cni/net.d", Mode: fs.ModeDir | 0o755},
	}
}

// Containerd installs and starts containerd.
func Containerd() workflow.Phase {
	return workflow.Phase{
		Name:  "containerd",
		Title: "install containerd",
		Why: "The containerd of a distribution is often too old, disables CRI or uses another cgroup driver than kubelet. " +
			"This one has a pinned version and one configuration, whose effect is verified. It restarts only when its binary, " +
			"configuration or unit has changed, and pods keep running.",
		Manual: []string{
			"install -m 755 containerd containerd-shim-runc-v2 ctr runc /usr/local/bin/",
			"containerd config default > /etc/containerd/config.toml    # then set SystemdCgroup = true and the pause image",
			"systemctl enable --now containerd",
			"containerd config dump | grep -E 'SystemdCgroup|sandbox'",
		},
		On:    workflow.EachHost,
		Bulk:  true,
		Needs: []string{"finish-reset", "kernel"},
		Do:    installContainerd,
	}
}

func installContainerd(ctx context.Context, s *workflow.Step) error {
	want, err := settingsOf(s)
	if err != nil {
		return err
	}
	config, err := want.render(s.Cluster().Containerd.Config)
	if err != nil {
		return err
	}
	uploaded, err := install.Binaries(ctx, s, binaries)
	if err != nil {
		return err
	}
	files := append(directories(),
		host.File{Path: configFile, Content: config},
		host.File{Path: serviceFile, Content: templates.File("runtime/containerd.service")},
	)
	mirrors, err := mirrorFiles(ctx, s.Cluster().Containerd.Mirrors, s.Credentials())
	if err != nil {
		return err
	}
	proxy := proxyFiles(s.Proxy())
	written, err := host.WriteDiffering(ctx, s, slices.Concat(files, mirrors, proxy)...)
	if err != nil {
		return err
	}
	if err := deleteMirrors(ctx, s); err != nil {
		return err
	}
	gone, err := deleteProxy(ctx, s)
	if err != nil {
		return err
	}
	// containerd reads mirrors without a restart, and new pods run the current shim
	// and runc. Pods keep running while containerd restarts: see KillMode in its unit.
	containerd := systemd.Service{Name: service, Files: []string{configFile, serviceFile, install.BinDir + "/containerd"}}
	for _, f := range proxy {
		containerd.Files = append(containerd.Files, f.Path)
	}
	containerd.Files = append(containerd.Files, gone...)
	if err := containerd.Ensure(ctx, s, slices.Concat(written, uploaded, gone)...); err != nil {
		return err
	}
	if s.Planned(configFile) || s.Planned(install.BinDir+"/containerd") {
		return nil // the host has another configuration until then
	}
	return want.assert(ctx, s)
}

// assert verifies the configuration that containerd has in effect: it ignores keys
// of another version without an error.
func (w settings) assert(ctx context.Context, s *workflow.Step) error {
	dump := host.Cmd{Argv: []string{install.BinDir + "/containerd", "--config", configFile, "config", "dump"}, Sudo: true}
	res, err := s.Query(ctx, dump)
	if err != nil {
		return err
	}
	problems := w.compare(res.Stdout)
	if len(problems) == 0 {
		return nil
	}
	return workflow.WithHint(
		fmt.Errorf("containerd does not have the configuration of %s: %s", configFile, strings.Join(problems, "; ")),
		"check containerd.config in the inventory, which is merged over it")
}
