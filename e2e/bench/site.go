package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/templates"
)

// plugins are the CNI plugins in the configuration of Flannel.
var plugins = []string{"cni/bridge", "cni/host-local", "cni/loopback", "cni/portmap"}

// site is what an administrator prepares for by-hand.sh, which lists the files.
type site struct {
	dir     string
	lab     *lab.Lab
	cluster *config.Cluster
	bundle  *bundle.Bundle
	arch    string
}

// writeSite renders the inventory of the lab with slipway's own templates: both
// install the same cluster.
func writeSite(ctx context.Context, dir string, l *lab.Lab, bundleDir string) error {
	cluster, err := config.Load(l.InventoryFile())
	if err != nil {
		return err
	}
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return err
	}
	s := &site{dir: dir, lab: l, cluster: cluster, bundle: b, arch: runtime.GOARCH}
	return errors.Join(s.writeHosts(), s.writeRoot(), s.writeEndpoint(), s.writeKubeadm(), s.writeFlannel(), s.writeContents(ctx))
}

func (s *site) write(name string, content []byte) error {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// writeHosts writes the names and roles of the hosts, and how to reach them.
func (s *site) writeHosts() error {
	var hosts, block, ssh bytes.Buffer
	for _, h := range s.cluster.Hosts {
		fmt.Fprintf(&hosts, "%s %s\n", h.Name, install.Role(h))
		fmt.Fprintf(&block, "%s %s\n", h.Address, h.Name)
		fmt.Fprintf(&ssh, "Host %s\n  HostName %s\n", h.Name, h.Address)
	}
	fmt.Fprintf(&ssh, "Host *\n  User %s\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n"+
		"  StrictHostKeyChecking yes\n  BatchMode yes\n  ControlMaster auto\n  ControlPath %s/%%n.sock\n  ControlPersist 60\n",
		s.lab.Machines[0].User, s.lab.Machines[0].IdentityFile, s.lab.KnownHostsFile(), s.dir)
	return errors.Join(s.write("hosts", hosts.Bytes()), s.write("hosts-block", block.Bytes()), s.write("ssh_config", ssh.Bytes()))
}

// writeRoot writes the files that every host gets at the same path.
func (s *site) writeRoot() error {
	containerd, err := s.containerdConfig()
	if err != nil {
		return err
	}
	type setting struct {
		Key   string
		Value int
	}
	sysctl, err := templates.Render("hostprep/sysctl.conf.tmpl", struct{ Settings []setting }{[]setting{
		{"net.ipv4.ip_forward", 1},
		{"net.bridge.bridge-nf-call-iptables", 1},
		{"net.bridge.bridge-nf-call-ip6tables", 1},
		{"fs.inotify.max_user_instances", 8192},
		{"fs.inotify.max_user_watches", 524288},
	}})
	if err != nil {
		return err
	}
	const units = "root/etc/systemd/system/"
	return errors.Join(
		s.write("root/etc/containerd/config.toml", containerd),
		s.write("root/etc/sysctl.d/90-kubernetes.conf", sysctl),
		s.write("root/etc/modules-load.d/kubernetes.conf", templates.File("hostprep/modules.conf")),
		s.write(units+"containerd.service", templates.File("runtime/containerd.service")),
		s.write(units+"kubelet.service", templates.File("kubelet/kubelet.service")),
		s.write(units+"kubelet.service.d/10-kubeadm.conf", templates.File("kubelet/10-kubeadm.conf")),
	)
}

func (s *site) containerdConfig() ([]byte, error) {
	pause, err := s.bundle.Image("registry.k8s.io/pause", s.arch)
	if err != nil {
		return nil, err
	}
	text, err := templates.Render("runtime/config-v3.toml.tmpl", struct {
		PauseImage    string
		SystemdCgroup bool
	}{pause.Name, s.cluster.Containerd.CgroupDriver == config.CgroupDriverSystemd})
	if err != nil {
		return nil, err
	}
	var base map[string]any
	if err := toml.Unmarshal(text, &base); err != nil {
		return nil, err
	}
	return toml.Marshal(config.Merge(base, s.cluster.Containerd.Config))
}

// writeKubeadm writes the configuration of kubeadm. The token and the hash of the
// CA exist only after kubeadm init: a join has placeholders for them.
func (s *site) writeKubeadm() error {
	var endpoint string
	key := certificateKey()
	for i, h := range s.cluster.Hosts {
		ip, err := netip.ParseAddr(h.Address)
		if err != nil {
			return err
		}
		node := kubeadm.Node{Spec: h, IP: ip}
		if i == 0 {
			endpoint = s.cluster.Endpoint(h.Address)
			document, err := kubeadm.Init(s.cluster, node)
			if err == nil && len(s.cluster.ControlPlanes()) > 1 {
				document, err = withCertificateKey(document, key)
			}
			if err := errors.Join(err, s.write("init.yaml", document)); err != nil {
				return err
			}
			continue
		}
		document, err := kubeadm.Join(s.cluster, node, "", "")
		if err != nil {
			return err
		}
		if document, err = byToken(document, endpoint); err != nil {
			return err
		}
		if h.Has(config.RoleControlPlane) {
			if document, err = asControlPlane(document, h.Address, s.cluster.ControlPlane.BindPort, key); err != nil {
				return err
			}
		}
		if err := s.write("join-"+h.Name+".yaml", document); err != nil {
			return err
		}
	}
	return nil
}

// byToken replaces the discovery of a JoinConfiguration by a token and the hash of
// the CA, which `kubeadm token create --print-join-command` prints.
func byToken(document []byte, endpoint string) ([]byte, error) {
	var join map[string]any
	if err := yaml.Unmarshal(document, &join); err != nil {
		return nil, err
	}
	join["discovery"] = map[string]any{"bootstrapToken": map[string]any{
		"token": "TOKEN", "apiServerEndpoint": endpoint, "caCertHashes": []string{"HASH"},
	}}
	return yaml.Marshal(join)
}

func (s *site) writeFlannel() error {
	daemon, err := s.bundle.Image("ghcr.io/flannel-io/flannel", s.arch)
	if err != nil {
		return err
	}
	plugin, err := s.bundle.Image("ghcr.io/flannel-io/flannel-cni-plugin", s.arch)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.cluster.Endpoint(s.cluster.Hosts[0].Address))
	if err != nil {
		return err
	}
	network := s.cluster.Network
	manifest, err := templates.Render("network/flannel.yaml.tmpl", struct {
		PodSubnet, Backend    string
		MTU                   int
		Image, CNIPluginImage string
		APIHost, APIPort      string
	}{network.PodSubnet, network.CNI.Backend, network.CNI.MTU, daemon.Name, plugin.Name, host, port})
	if err != nil {
		return err
	}
	return s.write("flannel.yaml", manifest)
}

// writeContents writes the lists and the images of what each role gets from the
// bundle.
func (s *site) writeContents(ctx context.Context) error {
	var cni []string
	for _, name := range plugins {
		file, err := s.bundle.File(name, s.arch)
		if err != nil {
			return err
		}
		cni = append(cni, file.Path)
	}
	if err := s.write("plugins", lines(cni)); err != nil {
		return err
	}
	for _, role := range []string{string(config.RoleControlPlane), string(config.RoleWorker)} {
		var programs, pins []string
		for _, f := range s.bundle.Files(role, s.arch) {
			if !strings.HasPrefix(f.Name, "cni/") {
				programs = append(programs, f.Path)
			}
		}
		// As slipway's phase "images" has them.
		images := append(s.bundle.Images(role, s.arch), s.bundle.AddonImages(s.cluster.Network.CNI.Name, role, s.arch)...)
		for _, image := range images {
			pins = append(pins, image.Name)
		}
		if err := errors.Join(s.write(role+".bin", lines(programs)), s.write(role+".pins", lines(pins))); err != nil {
			return err
		}
		tar, err := os.Create(filepath.Join(s.dir, role+".tar"))
		if err != nil {
			return err
		}
		if err := errors.Join(s.bundle.WriteImages(ctx, tar, images), tar.Close()); err != nil {
			return err
		}
	}
	return nil
}

func lines(words []string) []byte {
	return []byte(strings.Join(slices.Clone(words), "\n") + "\n")
}
