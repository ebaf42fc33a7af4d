// Package controlplane makes the first control plane with kubeadm.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
)

const (
	initFile = kubeadm.Dir + "/init.yaml"
	// apiServerManifest is what kubelet runs the API server from.
	apiServerManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	// initTimeout bounds init; kubeadm's own (4 minutes for the control plane
	// to come up) come before it.
	initTimeout = 15 * time.Minute
	// apiTimeout is for an API server that was stopped and starts again.
	apiTimeout = 60 * time.Second
)

// resumable are kubeadm's checks that an earlier try of ours does not pass.
// Another installation's leftovers are refused before, by preflight.
var resumable = "Port-6443,Port-10259,Port-10257,Port-10250,Port-2379,Port-2380,DirAvailable--var-lib-etcd," +
	"FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml," +
	"FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml," +
	"FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml," +
	"FileAvailable--etc-kubernetes-manifests-etcd.yaml"

// Init runs kubeadm init.
func Init() workflow.Phase {
	return workflow.Phase{
		Name:  "kubeadm-init",
		Title: "make the first control plane",
		Why: "kubeadm makes certificates, etcd and the control plane; it runs as a unit of the machine's own, so that a " +
			"lost connection does not end it, and the next run finds it.",
		Manual: []string{"kubeadm init --config kubeadm.yaml    # apiVersion: kubeadm.k8s.io/v1beta4, with nodeRegistration.criSocket and localAPIEndpoint.advertiseAddress"},
		On:     workflow.Seed,
		Needs:  []string{"swap-off", "kernel", "hosts-file", "images", "kubelet"},
		Done:   initialised,
		Do:     initialise,
	}
}

// initialised says whether init went through to its end: the API server
// answers, and has what the last of kubeadm's phases leave there.
func initialised(ctx context.Context, s *workflow.Step) (bool, error) {
	if !s.Facts().Exists(apiServerManifest) {
		return false, nil
	}
	client, err := s.Kube(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := client.WaitFor(ctx, kube.APIReady(), kube.WaitOptions{Timeout: apiTimeout}); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, nil // an API server that does not answer is what init is for
	}
	set := client.Clientset()
	for _, get := range []func() error{
		func() error {
			_, err := set.CoreV1().Nodes().Get(ctx, s.Target.Config.Name, metav1.GetOptions{})
			return err
		},
		func() error {
			_, err := set.CoreV1().ConfigMaps("kube-system").Get(ctx, "kubeadm-config", metav1.GetOptions{})
			return err
		},
		func() error {
			_, err := set.CoreV1().ConfigMaps("kube-public").Get(ctx, "cluster-info", metav1.GetOptions{})
			return err
		},
		func() error {
			_, err := set.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
			return err
		},
		func() error {
			_, err := set.AppsV1().DaemonSets("kube-system").Get(ctx, "kube-proxy", metav1.GetOptions{})
			return err
		},
	} {
		if err := get(); unfinished(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// unfinished says whether the API server's answer is one that init, killed
// half-way, leaves: something is not there yet, or admin.conf has no rights,
// since the binding that gives them is made late.
func unfinished(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

func initialise(ctx context.Context, s *workflow.Step) error {
	ip, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	document, err := kubeadm.Init(s.Cluster(), kubeadm.Node{Spec: s.Target.Config, IP: ip})
	if err != nil {
		return err
	}
	if _, err := host.EnsureFiles(ctx, s, host.File{Path: initFile, Content: document, Mode: 0o600}); err != nil {
		return err
	}
	_, err = systemd.Run(ctx, s, systemd.Unit{
		Name:    "kubeadm-init",
		Argv:    []string{install.BinDir + "/kubeadm", "init", "--config", initFile, "--ignore-preflight-errors", resumable},
		Output:  s.Output(),
		Timeout: initTimeout,
	})
	if err != nil {
		return workflow.WithHint(err, fmt.Sprintf("look at `journalctl -u kubelet` on %s, then run apply again: it goes on from here", s.Target.Config.Name))
	}
	return nil
}
