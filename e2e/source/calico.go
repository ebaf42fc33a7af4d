package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle"
)

// calicoAddon is the name of Calico in the catalogue.
const calicoAddon = "calico"

// calicoComponent is built without cgo, as upstream does where it has no libbpf: the data planes of iptables and nftables
// need none. Its module is older than the release of the catalogue: see CONTRIBUTING.md.
func calicoComponent() component {
	return component{
		name:   "calico",
		module: "github.com/projectcalico/calico",
		packages: append(under("github.com/projectcalico/calico/", "cni-plugin/cmd/calico", "cni-plugin/cmd/install",
			"kube-controllers/cmd/check-status", "kube-controllers/cmd/kube-controllers", "node/cmd/calico-node", "node/cmd/mountns"),
			modulesPath+"calico/kubecontrollers"),
		ldflags: func(version string) []string {
			// The first node writes its version to the cluster, and the others refuse one
			// before v3, which the tag of the module says: its code is of the branch
			// release-v3.28.
			version = strings.Replace(version, "v1.11.0-cni-plugin.", "v3.28.0-", 1)
			return []string{
				"-X", "main.VERSION=" + version,
				"-X", "github.com/projectcalico/calico/node/pkg/lifecycle/startup.VERSION=" + version,
				"-X", "github.com/projectcalico/calico/node/buildinfo.GitVersion=" + version,
			}
		},
		addon:    calicoAddon,
		upstream: true,
	}
}

// calicoSpecs lists the images of Calico, with the layout of cni-plugin/Dockerfile, node/Dockerfile.amd64 and
// kube-controllers/Dockerfile of its repository. Left out are BIRD and confd's templates, which VXLAN does not need,
// bpftool and the programs for eBPF, and the plugin for Canal.
func calicoSpecs() []imageSpec {
	cni := map[string]string{
		"opt/cni/bin/install":     "calico/install",
		"opt/cni/bin/calico":      "calico/calico",
		"opt/cni/bin/calico-ipam": "calico/calico", // it looks at its name
	}
	for _, plugin := range []string{"bandwidth", "host-local", "loopback", "portmap", "tuning"} {
		cni["opt/cni/bin/"+plugin] = "cni-plugins/" + plugin
	}
	// bin and sbin are links in the base.
	node := map[string]string{"usr/bin/calico-node": "calico/calico-node", "usr/bin/mountns": "calico/mountns"}
	for _, name := range runitPrograms() {
		node["usr/bin/"+name] = "runit/" + name
	}
	return []imageSpec{
		{
			repository: "quay.io/calico/cni",
			files:      cni,
			cmd:        []string{"/opt/cni/bin/install"},
		},
		{
			repository: "quay.io/calico/node",
			debian:     true, // for iptables, ipset and conntrack, and the shell of start_runit
			files:      node,
			scripts:    map[string]string{"etc": "calico/node/filesystem/etc", "usr/sbin": "calico/node/filesystem/sbin"},
			env:        []string{"SVDIR=/etc/service/enabled"},
			cmd:        []string{"start_runit"},
		},
		{
			repository: "quay.io/calico/kube-controllers",
			files: map[string]string{
				"usr/bin/kube-controllers": "calico/kube-controllers",
				"usr/bin/check-status":     "calico/check-status",
				"usr/bin/kubecontrollers":  "calico/kubecontrollers",
			},
			directories: []string{"status", "profiles"},
			entrypoint:  []string{"/usr/bin/kubecontrollers"},
			user:        "999",
		},
	}
}

// runitPrograms are the programs of the Debian package runit that start and restart the processes of calico-node.
func runitPrograms() []string { return []string{"runsv", "runsvdir", "sv"} }

// runit unpacks the programs of runit and returns their directory.
func (b *builder) runit(ctx context.Context) (string, error) {
	return b.cache.entry("runit", digest("runit 1", b.tc.debian, b.tc.arch), func(dir string) error {
		tmp, err := os.MkdirTemp("", "slipway-runit-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		cmd := exec.CommandContext(ctx, "apt-get", "download", "--quiet", "--quiet", "runit")
		cmd.Dir = tmp
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get download runit: %w: %s", err, tail(string(out), 20))
		}
		t, err := unpackDebs(ctx, tmp)
		if err != nil {
			return err
		}
		for _, name := range runitPrograms() {
			program, ok := t["usr/bin/"+name]
			if !ok {
				return fmt.Errorf("the package runit has no /usr/bin/%s", name)
			}
			if err := os.WriteFile(filepath.Join(dir, name), program.body, 0o755); err != nil {
				return err
			}
		}
		return nil
	})
}

// addScripts adds the scripts of a spec from the source of its components.
func (b *builder) addScripts(ctx context.Context, t tree, s imageSpec) error {
	for target, from := range s.scripts {
		name, dir, _ := strings.Cut(from, "/")
		source, err := b.moduleSource(ctx, name)
		if err != nil {
			return err
		}
		if err := addFiles(t, target, filepath.Join(source, filepath.FromSlash(dir))); err != nil {
			return err
		}
	}
	return nil
}

// addFiles adds the files of a directory, which become executable: a module does not record modes.
func addFiles(t tree, target, dir string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		t.add(path.Join(target, filepath.ToSlash(inside)), entry{mode: 0o755, body: body})
		return nil
	})
}

// moduleSource returns the directory with the source of a component's module.
func (b *builder) moduleSource(ctx context.Context, name string) (string, error) {
	all := b.components()
	i := slices.IndexFunc(all, func(c component) bool { return c.name == name })
	if i < 0 {
		return "", fmt.Errorf("no component %s", name)
	}
	cmd := goCommand(ctx, all[i], b.moduleDir(all[i]), b.tc.arch, "mod", "download", "-json", all[i].module)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w: %s", all[i].module, err, tail(stderr.String(), 20))
	}
	var module struct{ Dir string }
	return module.Dir, json.Unmarshal(out, &module)
}

// upstreamManifest returns the path of a published manifest that is in no module: NAME-VERSION/FILE in the directory
// SLIPWAY_UPSTREAM, by default shared/upstream beside the repository.
func (b *builder) upstreamManifest(addon bundle.Addon, m bundle.AddonManifest) (string, error) {
	dir := os.Getenv("SLIPWAY_UPSTREAM")
	if dir == "" {
		dir = filepath.Join(b.dir, "..", "..", "..", "shared", "upstream")
	}
	file := filepath.Join(dir, addon.Name+"-"+addon.Version, m.Name)
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("%w: download %s, and set SLIPWAY_UPSTREAM to the directory with %s-%s", err, m.URL, addon.Name, addon.Version)
	}
	return file, nil
}
