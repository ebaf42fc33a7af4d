package nodes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	// tokenTTL is how long the token of a join is valid if nothing revokes it.
	tokenTTL = 15 * time.Minute
	// joinTimeout bounds a join; kubeadm's own timeouts are shorter.
	joinTimeout = 10 * time.Minute
	// controllersTimeout bounds the wait for a controller manager that has just
	// started: its election may take 15 s (leader-elect-lease-duration).
	controllersTimeout = 2 * time.Minute
	// readyTimeout bounds the wait for an API server to which a control plane connects.
	readyTimeout = time.Minute
	// registerTimeout bounds the wait for a Node of a kubelet that has joined.
	registerTimeout = time.Minute

	unitName      = "kubeadm-join"
	discoveryFile = string(facts.JoinDiscovery)
	joinFile      = string(facts.JoinConfig)
)

// resumable lists kubeadm's checks that fail after an interrupted join.
var resumable = "FileAvailable--etc-kubernetes-kubelet.conf,FileAvailable--etc-kubernetes-bootstrap-kubelet.conf," +
	"FileAvailable--etc-kubernetes-pki-ca.crt,Port-10250,DirAvailable--etc-kubernetes-manifests"

// Join joins each worker to the cluster, all of them at once.
func Join() workflow.Phase {
	return workflow.Phase{
		Name:  "join",
		Title: "join the cluster",
		Why: "Each host joins with a token of its own, which is created just before and revoked after, and verifies the cluster " +
			"with the CA that it received over SSH: no token expires, and nothing is trusted on first use.",
		Manual: []string{
			"kubeadm token create --ttl 10m    # on the control plane",
			"kubeadm join --config join.yaml    # with discovery.file or discovery.bootstrapToken, criSocket, node-ip",
			"kubeadm token delete TOKEN    # on the control plane",
		},
		On:       workflow.Workers,
		Needs:    []string{"swap-off", "kernel", "network-manager", "hosts-file", "firewall", "images", "kubelet", "kubeadm-init", "haproxy", "endpoint", "lost-hosts", "cluster-version"},
		NeedsAll: []string{"uncordon-control-planes"},
		// kubeadm also starts kubelet.
		Creates: []string{"/etc/kubernetes/", "/var/lib/kubelet/"},
		Done: func(ctx context.Context, s *workflow.Step) (bool, error) {
			if len(secrets(s)) > 0 {
				return false, nil
			}
			return joined(ctx, s)
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			// A run that was interrupted after the join leaves the files of the join.
			if left := secrets(s); len(left) > 0 {
				if done, err := joined(ctx, s); err != nil {
					return err
				} else if done {
					return host.Remove(ctx, s, left...)
				}
			}
			return join(ctx, s)
		},
	}
}

// secrets returns the files of a join that existed on the host when the run started.
// They contain a token, or are of no use without one.
func secrets(s *workflow.Step) []string {
	var left []string
	for _, path := range []facts.Path{facts.BootstrapConf, facts.JoinDiscovery, facts.JoinConfig} {
		if s.Facts().Exists(path) {
			left = append(left, string(path))
		}
	}
	return left
}

// joined reports whether the host's kubelet has the cluster's credentials and runs,
// and the cluster has a Node for it.
func joined(ctx context.Context, s *workflow.Step) (bool, error) {
	if !s.Facts().Exists(facts.KubeletConf) || len(kubeadm.RecreateNode(s.Facts().Kubernetes)) > 0 {
		return false, nil
	}
	if node := s.Facts().Kubernetes.NodeName(); node != "" && node != s.Target.Config.Name {
		return false, fmt.Errorf("the kubelet of this host is node %s: a join would take over its identity", node)
	}
	running := host.Cmd{Argv: []string{"systemctl", "is-active", "--quiet", service}, Requires: []string{service}}
	_, err := s.Query(ctx, running)
	var exit *host.ExitError
	switch {
	case err == nil, errors.Is(err, host.ErrPlanned): // in a plan, phase kubelet starts it
	case errors.As(err, &exit) && (exit.Code == 3 || exit.Code == 4): // it is not active, or has no unit
		return false, nil
	default:
		return false, err
	}
	client, err := s.Kube(ctx)
	if err != nil {
		return false, err
	}
	_, err = client.Clientset().CoreV1().Nodes().Get(ctx, s.Target.Config.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// controllersRun waits until the controller manager works, which signs the
// certificates of new kubelets. A kubelet that starts earlier loses more time than
// the wait takes: it tries to register at growing intervals (up to 7 s), and if its
// Node does not exist 4 s later, it becomes Ready another 19 s later (the retries of
// kubelet's CSINode).
func controllersRun(ctx context.Context, s *workflow.Step) error {
	// One controller creates this account, and all of them start together.
	return s.WaitFor(ctx, kube.ServiceAccountExists("kube-system", "default"), controllersTimeout)
}

func join(ctx context.Context, s *workflow.Step) error {
	run := &joinRun{
		endpoint: func(context.Context) (string, error) {
			ip, err := s.Hosts().Seed().NodeIP()
			return s.Cluster().Endpoint(ip.String()), err
		},
		ignored: resumable,
		prepare: func(ctx context.Context) error { return removeDamaged(ctx, s) },
	}
	return run.do(ctx, s)
}

// joinRun is one run of kubeadm join on a host.
type joinRun struct {
	// endpoint returns the host:port of the API server.
	endpoint func(context.Context) (string, error)
	// ignored are the checks of kubeadm that fail after an interrupted join, flags its
	// other flags.
	ignored string
	flags   []string
	// prepare runs before the host receives the files of the join, copyFiles when it has
	// them, and verify after kubeadm. The last two may be nil.
	prepare, copyFiles, verify func(context.Context) error
	// meanwhile runs while kubeadm does, until its context ends. It may be nil.
	meanwhile func(context.Context)
}

func (r *joinRun) do(ctx context.Context, s *workflow.Step) error {
	ip, err := s.Target.NodeIP()
	if err != nil {
		return err
	}
	discovery, err := r.discovery(ctx, s)
	if err != nil {
		return err
	}
	if err := controllersRun(ctx, s); err != nil {
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	token, revoke, err := s.JoinToken(ctx, tokenTTL)
	if err != nil {
		return err
	}
	defer revoke()
	document, err := kubeadm.Join(s.Cluster(), kubeadm.Node{Spec: s.Target.Config, IP: ip}, discoveryFile, token)
	if err != nil {
		return err
	}
	if _, err := host.EnsureFiles(ctx, s,
		host.File{Path: discoveryFile, Content: discovery, Mode: 0o600},
		host.File{Path: joinFile, Content: document, Mode: 0o600, Secret: true},
	); err != nil {
		return err
	}
	if r.copyFiles != nil {
		if err := r.copyFiles(ctx); err != nil {
			return err
		}
	}
	argv := []string{install.BinDir + "/kubeadm", "join", "--config", joinFile, "--ignore-preflight-errors", r.ignored}
	stop := r.start(ctx)
	_, err = systemd.Run(ctx, s, systemd.Unit{
		Name:    unitName,
		Argv:    append(argv, r.flags...),
		Input:   systemd.InputOf(document, discovery),
		Sync:    kubeadm.Directories(),
		Secret:  []string{token},
		Output:  s.Output(),
		Timeout: joinTimeout,
	})
	stop()
	if err != nil {
		return workflow.WithHint(err, fmt.Sprintf("see `journalctl -u kubelet` on %s, fix the problem and rerun `slipway apply` to resume", s.Target.Config.Name))
	}
	// kubelet registers its Node a moment later, once it has its certificate.
	if err := s.WaitFor(ctx, kube.NodeRegistered(s.Target.Config.Name), registerTimeout); err != nil {
		return err
	}
	if r.verify != nil {
		if err := r.verify(ctx); err != nil {
			return err
		}
	}
	return host.Remove(ctx, s, string(facts.BootstrapConf), discoveryFile, joinFile)
}

// start starts meanwhile; stop ends it.
func (r *joinRun) start(ctx context.Context) (stop func()) {
	if r.meanwhile == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { r.meanwhile(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// discovery returns the file with which kubeadm verifies the cluster.
func (r *joinRun) discovery(ctx context.Context, s *workflow.Step) ([]byte, error) {
	ca, err := s.On(s.Hosts().Seed()).ReadFile(ctx, "/etc/kubernetes/pki/ca.crt")
	if err != nil {
		return nil, err
	}
	endpoint, err := r.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	return kubeadm.Discovery(endpoint, ca)
}

// readyAPIServer returns the own host:port of an API server that is ready: that of the
// seed, or else of another control plane that has joined.
func readyAPIServer(ctx context.Context, s *workflow.Step) (address string, err error) {
	planes := joinedPlanes(s)
	addresses := make([]string, len(planes))
	for i, h := range planes {
		if addresses[i], err = ownAPIServer(s, h); err != nil {
			return "", err
		}
	}
	if len(planes) == 1 {
		return addresses[0], nil // kubeadm waits for it
	}
	ready := kube.Condition{Name: "an API server that is ready", Check: func(ctx context.Context, client *kube.Client) (bool, string, error) {
		errs := make([]error, len(planes))
		var group errgroup.Group
		for i, h := range planes {
			group.Go(func() error {
				if _, err := client.ReadyAt(ctx, h.Conn, addresses[i]); err != nil {
					errs[i] = fmt.Errorf("%s: %w", h.Config.Name, err)
				}
				return nil
			})
		}
		_ = group.Wait() // one of them is enough
		if first := slices.Index(errs, nil); first >= 0 {
			address = addresses[first]
			return true, "", nil
		}
		return false, "", errors.Join(errs...)
	}}
	if s.Planning() {
		client, err := s.Kube(ctx)
		if err == nil {
			_, _, err = ready.Check(ctx, client)
		}
		return address, err
	}
	err = s.WaitFor(ctx, ready, readyTimeout)
	return address, err
}

// ownAPIServer returns the host:port of the API server of a control plane.
func ownAPIServer(s *workflow.Step, h *workflow.Host) (string, error) {
	ip, err := h.NodeIP()
	return net.JoinHostPort(ip.String(), strconv.Itoa(s.Cluster().ControlPlane.BindPort)), err
}

// joinedPlanes returns the seed, and after it the other control planes that have joined.
func joinedPlanes(s *workflow.Step) []*workflow.Host {
	seed := s.Hosts().Seed()
	others := s.Hosts().WithLeaving().Where(func(h *workflow.Host) bool {
		f := h.Facts()
		return h != seed && h != s.Target && h.Unreachable() == nil && f != nil && f.Exists(facts.APIServerManifest) && !f.Joining()
	})
	return append([]*workflow.Host{seed}, others...)
}

// removeDamaged deletes files of an earlier join that cannot be read: kubeadm keeps a
// CA that exists, and kubelet stops at a certificate that it cannot read. What the
// facts show may be the middle of a join that still runs.
func removeDamaged(ctx context.Context, s *workflow.Step) error {
	files := kubeadm.RecreateNode(s.Facts().Kubernetes)
	if len(files) == 0 {
		return nil
	}
	if _, err := s.Run(ctx, host.Script("stop.sh", templates.Script("kubeadm/stop.sh"), "slipway-"+unitName+".service")); err != nil {
		return err
	}
	if !s.Planning() {
		now, err := facts.Read(ctx, s)
		if err != nil {
			return err
		}
		files = kubeadm.RecreateNode(now.Kubernetes)
	}
	if len(files) == 0 {
		return nil
	}
	return host.Remove(ctx, s, files...)
}
