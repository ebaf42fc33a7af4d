package upgrade

import (
	"slipway.io/slipway/provision/workflow"
)

// Settings writes the settings of the inventory to the cluster.
func Settings() workflow.Phase {
	return workflow.Phase{
		Name:  "cluster-settings",
		Title: "write the settings of the components to the cluster",
		Why: "kubeadm keeps the configuration of the components in the cluster. Hosts that join read it there, and the next phases " +
			"bring it to those that have joined. kube-proxy reads its own there too, and restarts.",
		Manual: []string{
			"kubectl -n kube-system edit configmap kubeadm-config kubelet-config kube-proxy",
			"kubectl -n kube-system rollout restart daemonset kube-proxy",
		},
		On:    workflow.Seed,
		Needs: []string{"kubeadm-init", "lost-hosts"},
		Do:    writeSettings,
	}
}

// ControlPlane updates the static pods of a control plane.
func ControlPlane(roll *workflow.Roll) workflow.Phase {
	return workflow.Phase{
		Name:  "control-plane-update",
		Title: "update the static pods of the control plane",
		Why: "API server, controller manager, scheduler and etcd get new settings, or a new version, when kubelet finds a new manifest. kubeadm renders " +
			"it, and only a pod whose manifest differs restarts, one after another and on one control plane at a time: the other " +
			"API servers answer meanwhile. The leader of etcd moves to another member before its own restarts.",
		Manual: []string{
			"kubeadm init phase control-plane all --config kubeadm.yaml --dry-run    # compare the manifests with /etc/kubernetes/manifests",
			"etcdctl move-leader MEMBER    # if etcd restarts",
			"kubeadm upgrade node phase control-plane",
			"kubeadm init phase certs apiserver --config kubeadm.yaml    # after moving apiserver.crt and apiserver.key away",
		},
		On:    workflow.JoinedControlPlanes,
		Needs: []string{"drain-control-planes"},
		Roll:  roll,
		Do:    updateControlPlane,
	}
}

// ControlPlaneKubelet updates the kubelet of a control plane.
func ControlPlaneKubelet(roll *workflow.Roll) workflow.Phase {
	p := kubelet(roll)
	p.Name, p.On = "control-plane-kubelet", workflow.JoinedControlPlanes
	p.Needs = []string{"control-plane-update"}
	return p
}

// WorkerKubelet updates the kubelet of a worker.
func WorkerKubelet(roll *workflow.Roll) workflow.Phase {
	p := kubelet(roll)
	p.Name, p.On = "worker-kubelet", workflow.JoinedWorkers
	p.Needs = []string{"drain-workers"}
	return p
}

func kubelet(roll *workflow.Roll) workflow.Phase {
	return workflow.Phase{
		Title: "update kubelet",
		Why: "kubelet reads its configuration when it starts, and running pods stay when it restarts. For another version, the node " +
			"is drained before. The next hosts take their turn when its node is ready again.",
		Manual: []string{"install -m 755 kubelet kubeadm kubectl /usr/local/bin/", "kubeadm upgrade node phase kubelet-config", "systemctl restart kubelet"},
		Roll:   roll,
		Do:     updateKubelet,
	}
}
