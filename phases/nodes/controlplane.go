package nodes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// unitService is the unit in which kubeadm join runs.
const unitService = "slipway-" + unitName + ".service"

// resumableControlPlane lists kubeadm's checks that fail on a control plane after an
// interrupted join (Kubernetes 1.36, cmd/kubeadm/app/preflight/checks.go).
func resumableControlPlane(c *config.Cluster) string {
	names := fmt.Sprintf("%s,Port-%d,Port-10259,Port-10257,Port-2379,Port-2380,DirAvailable--var-lib-etcd", resumable, c.ControlPlane.BindPort)
	for _, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"} {
		names += ",FileAvailable--etc-kubernetes-manifests-" + component + ".yaml"
	}
	return names
}

// JoinControlPlane joins each control plane but the seed to the cluster.
func JoinControlPlane() workflow.Phase {
	return workflow.Phase{
		Name:  "join-control-plane",
		Title: "join the cluster as a control plane",
		Why: "Each control plane joins as soon as it is prepared and the etcd member of the one before it is healthy: etcd adds " +
			"one member at a time, and only if all others are healthy. The keys that control planes share are copied over SSH and are " +
			"never stored in the cluster.",
		Manual: []string{
			"etcdctl member list -w table    # each member is started, and none is a learner",
			"scp /etc/kubernetes/pki/{ca,front-proxy-ca,etcd/ca}.{crt,key} /etc/kubernetes/pki/sa.{pub,key} HOST:    # to the same paths",
			"kubeadm token create --ttl 10m    # on a control plane",
			"kubeadm join --config join.yaml    # with controlPlane.localAPIEndpoint, discovery.file, criSocket, node-ip",
			"kubeadm token delete TOKEN    # on a control plane",
		},
		On:         workflow.OtherControlPlanes,
		OneAtATime: true,
		Needs:      []string{"swap-off", "kernel", "network-manager", "hosts-file", "firewall", "images", "kubelet", "kubeadm-init", "haproxy", "keepalived-start", "kube-vip", "endpoint", "lost-hosts", "etcd-client", "api-server-files", "cluster-version"},
		NeedsAll:   []string{"uncordon-control-planes"},
		Creates:    []string{"/etc/kubernetes/", "/var/lib/kubelet/", "/var/lib/etcd/"},
		Done: func(ctx context.Context, s *workflow.Step) (bool, error) {
			if len(secrets(s)) > 0 || !s.Facts().Exists(facts.APIServerManifest) || emptied(s) || expelled(s) {
				return false, nil
			}
			return joined(ctx, s)
		},
		Do: joinControlPlane,
	}
}

// emptied reports whether the host has lost the data of etcd. Preflight refuses it; if the
// inventory ignores that, the host joins again as a new member.
func emptied(s *workflow.Step) bool { return !kubeadm.HasData(s.Cluster(), s.Facts()) }

// expelled reports whether the host has data of etcd, and the cluster has no member for
// it.
func expelled(s *workflow.Step) bool {
	state := s.Hosts().State()
	if !s.Facts().Exists(facts.EtcdMember) || state == nil || len(state.Members) == 0 {
		return false
	}
	for _, m := range state.Members {
		if s.Target.HasMember(m) {
			return false
		}
	}
	return true
}

func joinControlPlane(ctx context.Context, s *workflow.Step) error {
	run := &joinRun{
		// The endpoint may lead to the host that joins.
		endpoint: func(ctx context.Context) (string, error) { return readyAPIServer(ctx, s) },
		ignored:  resumableControlPlane(s.Cluster()),
	}
	resume := false
	run.prepare = func(ctx context.Context) (err error) {
		if resume, err = prepareControlPlane(ctx, s); err != nil || !resume {
			return err
		}
		// kubeadm refuses to configure the kubelet of a Node that is ready.
		skip, err := joined(ctx, s)
		if skip {
			run.flags = []string{"--skip-phases", "kubelet-start"}
		}
		return err
	}
	// The files of the join come first: with them, the host is not the seed of another run.
	run.copyFiles = func(ctx context.Context) error {
		if err := copySharedFiles(ctx, s); err != nil || !resume {
			return err
		}
		return removeDamagedPairs(ctx, s)
	}
	run.meanwhile = func(ctx context.Context) {
		if !s.Planning() {
			followJoin(ctx, s, resume)
		}
	}
	run.verify = func(ctx context.Context) error {
		if len(run.flags) == 0 {
			if err := restartKubelet(ctx, s); err != nil {
				return err
			}
		}
		if s.Cluster().ExternalEtcd() {
			return nil
		}
		return s.WaitFor(ctx, memberHealthy(s), memberTimeout)
	}
	return run.do(ctx, s)
}

// followJoin does what need not wait for the end of kubeadm join. It lets the next control
// plane in once the member of this one is healthy: etcd can add another one then. With
// external etcd, it does at once, since there is no member to add. Once its
// API server is ready, it restarts the kubelet, which may wait another 8 s or 16 s before
// it asks for its certificate again. It does not when a join resumes: kubeadm may still
// have to configure the kubelet. At an error it gives up, and kubeadm continues alone.
func followJoin(ctx context.Context, s *workflow.Step, resume bool) {
	client, err := s.Kube(ctx)
	if err != nil {
		return
	}
	quiet := kube.WaitOptions{Timeout: joinTimeout, Interval: 500 * time.Millisecond}
	if !s.Cluster().ExternalEtcd() && client.WaitFor(ctx, memberServes(s), quiet) != nil {
		return
	}
	s.NextHost()
	if resume || client.WaitFor(ctx, ownAPIReady(s), quiet) != nil {
		return
	}
	// If kubeadm ends now, the restart is not cut off.
	_ = restartKubelet(context.WithoutCancel(ctx), s)
}

// ownAPIReady: the API server of the host is ready.
func ownAPIReady(s *workflow.Step) kube.Condition {
	return kube.Condition{Name: "the API server of " + s.Target.Config.Name, Check: func(ctx context.Context, client *kube.Client) (bool, string, error) {
		address, err := ownAPIServer(s, s.Target)
		if err != nil {
			return false, "", err
		}
		_, err = client.ReadyAt(ctx, s.Target.Conn, address)
		return err == nil, "ready", err
	}}
}

// restartKubelet restarts the kubelet of a control plane that joins. It was started before
// the API server of its host, to which it connects. Until it has a certificate, its
// attempts to get one are 2 s, 4 s, 8 s and 16 s apart (client-go, util/certificate). If it
// has no Node in its first seconds, its next attempt to initialize CSINode comes 19 s
// later, and the Node is not ready until then.
func restartKubelet(ctx context.Context, s *workflow.Step) error {
	_, err := s.Run(ctx, host.Cmd{Argv: []string{"systemctl", "restart", service}, Sudo: true})
	return err
}

// prepareControlPlane brings the host and etcd to a state in which kubeadm join works.
// resume: the host is a voting member of etcd with its data, or etcd is external, so that
// the interrupted join continues. Otherwise, nothing of it is left.
func prepareControlPlane(ctx context.Context, s *workflow.Step) (resume bool, err error) {
	interrupted := s.Facts().Joined() || len(secrets(s)) > 0
	if interrupted {
		if err := stopJoin(ctx, s.Host); err != nil {
			return false, err
		}
		// It may have ended since the facts were read.
		if err := readAgain(ctx, s); err != nil {
			return false, err
		}
	}
	if s.Cluster().ExternalEtcd() {
		return interrupted, nil
	}
	member, err := settleEtcd(ctx, s)
	switch {
	case err != nil || member:
		return member, err
	case s.Facts().Exists(facts.EtcdMember) && !s.Facts().Joining():
		return false, workflow.WithHint(
			errors.New("the host has data of etcd, but is no member of it: it was removed from the cluster"),
			fmt.Sprintf("let it join again: slipway reset --yes --hosts %s, then slipway apply", s.Target.Config.Name))
	case interrupted:
		return false, startOver(ctx, s)
	}
	return false, nil
}

// readAgain reads the facts of the host again. In a plan, nothing has changed.
func readAgain(ctx context.Context, s *workflow.Step) error {
	if s.Planning() {
		return nil
	}
	now, err := facts.Read(ctx, s)
	if err == nil {
		s.Target.SetFacts(now)
	}
	return err
}

// stopJoin stops the kubeadm join of a run that was killed.
func stopJoin(ctx context.Context, h host.Host) error {
	_, err := h.Run(ctx, host.Cmd{Argv: []string{"systemctl", "stop", unitService}, Sudo: true})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == 5 { // systemd forgets a unit that has ended
		return nil
	}
	return err
}

// startOver removes what the interrupted join has left: etcd does not start with the data
// of a member that was removed.
func startOver(ctx context.Context, s *workflow.Step) error {
	if _, err := s.Run(ctx, host.Script("stop.sh", templates.Script("kubeadm/stop.sh"), unitService, "containers")); err != nil {
		return err
	}
	clean := host.Cmd{Argv: append([]string{"rm", "-rf"}, kubeadm.Leftovers(s.Cluster())...), Sudo: true}
	if _, err := s.Run(ctx, clean); err != nil {
		return err
	}
	// As long as its Node is ready, kubeadm refuses the join.
	return s.DeleteNode(ctx)
}

// copySharedFiles copies the files that all control planes have in common from the seed.
func copySharedFiles(ctx context.Context, s *workflow.Step) error {
	seed := s.Hosts().Seed()
	source, files := s.On(seed), kubeadm.SharedFiles(s.Cluster())
	group, reading := errgroup.WithContext(ctx)
	for i := range files {
		group.Go(func() (err error) {
			files[i].Content, err = source.ReadFile(reading, files[i].Path)
			if err == nil && len(files[i].Content) == 0 {
				err = fmt.Errorf("%s: %s is empty", seed.Config.Name, files[i].Path)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = workflow.WithHint(err, fmt.Sprintf("control planes need this file to join: put it back on %s", seed.Config.Name))
		}
		return err
	}
	_, err := host.EnsureFiles(ctx, s, files...)
	return err
}

// removeDamagedPairs deletes certificates, keys and kubeconfigs that a power loss has
// truncated: kubeadm creates them again.
func removeDamagedPairs(ctx context.Context, s *workflow.Step) error {
	if err := readAgain(ctx, s); err != nil {
		return err
	}
	files, err := kubeadm.Recreate(s.Cluster(), s.Facts().Kubernetes, false, true)
	if err != nil || len(files) == 0 {
		return err
	}
	return host.Remove(ctx, s, files...)
}

// memberTimeout bounds the wait for members of etcd that start or elect a leader.
const memberTimeout = 2 * time.Minute
