package etcd

import (
	"context"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// The service that runs etcd.
const (
	kubeletService = "kubelet.service"
	serviceFile    = "/etc/systemd/system/kubelet.service"
	dropIn         = string(facts.EtcdService)
	kubeletConfig  = string(facts.KubeletConfig)
)

// Member runs a member of etcd on each host with the role etcd.
func Member() workflow.Phase {
	return workflow.Phase{
		Name:  "etcd-host",
		Title: "run a member of etcd",
		Why: "A kubelet without an API server runs etcd as a static pod, as the documentation of kubeadm describes it, with the " +
			"image that kubeadm names. The host is not a node, and runs nothing else.",
		Manual: []string{
			"scp /etc/kubernetes/pki/etcd/ca.{crt,key} HOST:/etc/kubernetes/pki/etcd/    # from the first host of etcd",
			"kubeadm init phase certs etcd-server --config " + configFile + "    # and etcd-peer, etcd-healthcheck-client, apiserver-etcd-client",
			"kubeadm init phase etcd local --config " + configFile,
			"systemctl enable --now kubelet    # with 20-etcd-service-manager.conf",
		},
		On:      workflow.EtcdHosts,
		Needs:   []string{"swap-off", "kernel", "firewall", "images", "kubelet", "etcd-ca"},
		Creates: []string{"/etc/kubernetes/pki/", "/etc/kubernetes/manifests/"},
		Enabled: hasHosts,
		Do:      runMember,
	}
}

func runMember(ctx context.Context, s *workflow.Step) error {
	if all, err := members(s); err == nil { // without, writeConfig decides
		if err := sameCluster(ctx, s, all); err != nil {
			return err // says more than members that do not answer
		}
	}
	if err := neverStarted(ctx, s); err != nil {
		return err
	}
	if err := copyAuthority(ctx, s); err != nil {
		return err
	}
	changed, err := writeConfig(ctx, s)
	if err != nil {
		return err
	}
	files := []host.File{
		{Path: "/etc/kubernetes/manifests", Mode: fs.ModeDir | 0o755},
		{Path: dropIn, Content: templates.File("etcd/20-etcd-service-manager.conf")},
	}
	if !keepsKubelet(s) {
		kubelet, err := kubeadm.EtcdKubelet(s.Cluster())
		if err != nil {
			return err
		}
		files = append(files, host.File{Path: kubeletConfig, Content: kubelet})
	}
	written, err := host.WriteDiffering(ctx, s, files...)
	if err != nil {
		return err
	}
	if changed || !kubeadm.EtcdComplete(s.Facts().Kubernetes) {
		if err := removeFiles(ctx, s, kubeadm.RecreateEtcd(s.Facts().Kubernetes)); err != nil {
			return err
		}
		if err := runPhases(ctx, s, "certs etcd-server", "certs etcd-peer", "certs etcd-healthcheck-client", "certs apiserver-etcd-client", "etcd local"); err != nil {
			return err
		}
	}
	service := systemd.Service{Name: kubeletService, Files: []string{install.BinDir + "/kubelet", serviceFile, dropIn, kubeletConfig}}
	return service.Ensure(ctx, s, written...)
}

// keepsKubelet reports whether kubelet keeps its configuration, as it does on the nodes: a
// change of kubernetes.kubeletConfiguration is not applied to a cluster that has settings. An
// interrupted init has none: the next one uses those of the inventory.
func keepsKubelet(s *workflow.Step) bool {
	state := s.Hosts().State()
	return state != nil && state.Version != "" && s.Facts().Kubernetes.Intact(kubeletConfig)
}

// copyAuthority copies the CA of etcd from the host that has created it.
func copyAuthority(ctx context.Context, s *workflow.Step) error {
	seed := s.Hosts().EtcdSeed()
	if seed == s.Target {
		return nil
	}
	files, err := read(ctx, s.On(seed), kubeadm.EtcdAuthority())
	if err != nil {
		return err
	}
	_, err = host.EnsureFiles(ctx, s, files...)
	return err
}

// read fills in the content of files of a host.
func read(ctx context.Context, from host.Host, files []host.File) ([]host.File, error) {
	group, reading := errgroup.WithContext(ctx)
	for i := range files {
		group.Go(func() (err error) {
			files[i].Content, err = from.ReadFile(reading, files[i].Path)
			return err
		})
	}
	return files, group.Wait()
}
