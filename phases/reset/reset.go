// Package reset stops a cluster and undoes the changes that the journal of each host
// lists.
package reset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// kubeadmTimeout bounds kubeadm reset, with the containers that it stops. Phase facts
// waits longer for one that an earlier run has started.
const kubeadmTimeout = 5 * time.Minute

// unitName is the unit in which kubeadm reset runs. The script of the facts knows it.
const unitName = "kubeadm-reset"

// These files are on a file system that is empty after a boot, like the containers
// that podList lists.
const (
	configFile = "/run/slipway/reset.yaml"
	stopFile   = "/run/slipway/reset-stop.sh"
	podList    = "/run/slipway/reset-pods"
)

// bundles has a directory for each container of Kubernetes that containerd runs
// (containerd, core/runtime/v2).
const (
	tasks   = "/run/containerd/io.containerd.runtime.v2.task"
	bundles = tasks + "/k8s.io"
)

// notOurs reports that the host has no journal, and there is nothing to undo, or that
// another cluster has the host now.
func notOurs(_ context.Context, s *workflow.Step) (bool, error) {
	return !s.Facts().Exists(facts.Journal) || elsewhere(s), nil
}

// run runs a script of this stage without the journal, and shows each line that it
// prints to people. The script locks the directory of the journal: it continues to run
// if the installer is killed, and the next one waits for it (facts.Resetting).
func run(ctx context.Context, s *workflow.Step, name string, args ...string) error {
	script := locked(journal.Dir, templates.Script("reset/"+name))
	res, err := s.WithoutJournal().Run(ctx, host.Script(name, script, args...))
	for line := range strings.Lines(string(res.Stdout)) {
		s.Note("%s", strings.TrimSpace(line))
	}
	return err
}

// locked is a script that locks a directory until it ends, with the programs that it
// runs.
func locked(dir string, script []byte) []byte {
	return append(fmt.Appendf(nil, "exec 8<'%s'\nflock 8\n", dir), script...)
}

// Stop stops kubelet, all pods and containerd.
func Stop() workflow.Phase {
	return workflow.Phase{
		Name:  "stop",
		Title: "stop kubelet, the pods and containerd",
		Why:   "Files are deleted only when nothing uses them. Containers of other namespaces of containerd keep running.",
		Manual: []string{
			"systemctl disable --now kubelet",
			"ctr -n k8s.io tasks kill --signal SIGKILL --all TASK    # for each of: ctr -n k8s.io tasks list",
			"systemctl disable --now containerd    # unless it was installed before",
			"umount MOUNT    # for each below /var/lib/kubelet/pods and " + bundles,
		},
		On:    workflow.Nodes,
		Needs: []string{"lock", "etcd-member"},
		Done:  noted,
		Do:    stop,
	}
}

// StopEtcd stops etcd on the hosts that are not nodes.
func StopEtcd() workflow.Phase {
	p := Stop()
	p.Name, p.Title = "stop-etcd", "stop etcd on its hosts"
	p.Why = "etcd stops after the control planes: kubeadm reset asks the API server for its configuration. A member of a cluster " +
		"that stays is not removed: slipway does not change the members."
	p.On, p.Needs, p.NeedsAll = workflow.EtcdHosts, []string{"lock"}, []string{"stop"}
	p.Do = func(ctx context.Context, s *workflow.Step) error {
		if slices.ContainsFunc(staying(s), hasCluster) {
			return workflow.WithHint(errors.New("etcd has the data of the cluster, and a control plane stays"),
				"reset all hosts, without --hosts, or all control planes first")
		}
		return stop(ctx, s)
	}
	return p
}

func stop(ctx context.Context, s *workflow.Step) error {
	document, err := kubeadm.Reset(s.Cluster())
	if err != nil {
		return err
	}
	script := templates.Script("reset/stop.sh")
	if _, err := host.EnsureFiles(ctx, s.WithoutJournal(),
		host.File{Path: configFile, Content: document}, host.File{Path: stopFile, Content: script}); err != nil {
		return err
	}
	if err := run(ctx, s, "units.sh", systemd.UnitsDir); err != nil {
		return err
	}
	// kubelet starts no further container now.
	if err := run(ctx, s, "pods.sh", podList, bundles); err != nil {
		return err
	}
	if err := s.WithoutJournal().WriteFiles(ctx, host.File{Path: string(facts.ResetMark), Mode: 0o600}); err != nil {
		return err
	}
	// It begins to delete: as a unit, it does not stop halfway if the installer is
	// killed or the connection is lost.
	if _, err := systemd.Run(ctx, s.WithoutJournal(), systemd.Unit{
		Name:    unitName,
		Argv:    []string{"sh", stopFile, configFile},
		Input:   systemd.InputOf(document, script),
		Output:  s.Output(),
		Timeout: kubeadmTimeout,
	}); err != nil {
		return err
	}
	if err := run(ctx, s, "kill.sh", "/sys/fs/cgroup"); err != nil {
		return err
	}
	return run(ctx, s, "unmount.sh", "/proc/self/mountinfo")
}

// Network removes the network of the cluster from the kernel.
func Network() workflow.Phase {
	return workflow.Phase{
		Name:  "network",
		Title: "remove the cluster's packet filter rules, links and routes",
		Why: "Only what Kubernetes, its pod network and its pods added is deleted, one rule at a time. Rules, links and " +
			"routes of others stay.",
		Manual: []string{
			"iptables -t TABLE -D CHAIN RULE    # for each that jumps to a chain KUBE-*, FLANNEL-*, cali-*; see iptables-save",
			"iptables -t TABLE -F CHAIN; iptables -t TABLE -X CHAIN    # for each of those chains",
			"nft delete table ip kube-proxy; nft delete table arp calico-arp    # see: nft list tables",
			"ipset destroy SET    # for each KUBE-* and cali*; see ipset list -n",
			"ip link delete cni0; ip link delete flannel.1",
			"ip route delete ROUTE    # for each of: ip route show root POD_SUBNET; ip route show proto 80",
			"ip netns delete NAMESPACE    # for each of a pod; see ip netns list",
		},
		On:    workflow.EachHost,
		Needs: []string{"stop"},
		Done:  notOurs,
		Do:    removeNetwork,
	}
}

func removeNetwork(ctx context.Context, s *workflow.Step) error {
	if err := run(ctx, s, "rules.sh", podList); err != nil {
		return err
	}
	if err := run(ctx, s, "sets.sh"); err != nil {
		return err
	}
	return run(ctx, s, "network.sh", s.Cluster().Network.PodSubnet, podList)
}
