package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	// maxRestarts is after how many starts a container counts as failed: an API server may
	// end a few times while etcd starts.
	maxRestarts = 5
	// hashAnnotation identifies the manifest of a static pod: kubelet gives each content
	// another one.
	hashAnnotation = "kubernetes.io/config.hash"
)

// podOf returns the pod of a static pod in the API, or nil.
func podOf(ctx context.Context, client *kube.Client, component, node string) (*corev1.Pod, error) {
	pod, err := client.Clientset().CoreV1().Pods(metav1.NamespaceSystem).Get(ctx, component+"-"+node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return pod, err
}

// manifestHash returns what identifies the manifest with which a static pod runs; empty if
// it is not known.
func manifestHash(ctx context.Context, s *workflow.Step, component string) (string, error) {
	client, err := s.Kube(ctx)
	if err != nil {
		return "", err
	}
	pod, err := podOf(ctx, client, component, s.Target.Config.Name)
	if err != nil || pod == nil {
		return "", err
	}
	return pod.Annotations[hashAnnotation], nil
}

// runs: the static pod of the host runs with a manifest, and is ready.
func runs(s *workflow.Step, component string, manifest func(hash string) bool) kube.Condition {
	return kube.Condition{Name: component + " ready", Check: func(ctx context.Context, client *kube.Client) (bool, string, error) {
		pod, err := podOf(ctx, client, component, s.Target.Config.Name)
		switch {
		case err != nil:
			return false, "", err
		case pod == nil || !manifest(pod.Annotations[hashAnnotation]):
			return false, "kubelet has not started it yet", nil
		}
		for _, c := range pod.Status.ContainerStatuses {
			if c.RestartCount >= maxRestarts {
				return false, "", retry.Stop(fmt.Errorf("it has ended %d times", c.RestartCount))
			}
		}
		ready, why := kube.PodIsReady(pod)
		return ready, why, nil
	}}
}

// planes returns the control planes that have joined, but for the host of the step.
func planes(s *workflow.Step) []*workflow.Host {
	all := s.Hosts().WithLeaving()
	return all.Where(func(h *workflow.Host) bool {
		return h != s.Target && h.Unreachable() == nil && h.Config.Has(config.RoleControlPlane) && all.Joined(h)
	})
}

// othersHealthy: the API servers of the other control planes are ready, and their members
// of etcd healthy. Another one must not restart before.
func othersHealthy(s *workflow.Step) kube.Condition {
	return kube.Condition{Name: "the other control planes healthy", Check: func(ctx context.Context, client *kube.Client) (bool, string, error) {
		others := planes(s)
		for _, h := range others {
			ip, err := h.NodeIP()
			if err != nil {
				return false, "", err
			}
			address := net.JoinHostPort(ip.String(), strconv.Itoa(s.Cluster().ControlPlane.BindPort))
			if _, err := client.ReadyAt(ctx, h.Conn, address); err != nil {
				return false, "", fmt.Errorf("the API server of %s: %w", h.Config.Name, err)
			}
		}
		if len(others) == 0 || s.Cluster().ExternalEtcd() {
			return true, "", nil
		}
		return etcdHealthy(ctx, others)
	}}
}

// allMembersHealthy: all members of etcd that the hosts have are healthy.
func allMembersHealthy(s *workflow.Step) kube.Condition {
	return kube.Condition{Name: "the members of etcd healthy", Check: func(ctx context.Context, _ *kube.Client) (bool, string, error) {
		return etcdHealthy(ctx, append(planes(s), s.Target))
	}}
}

// etcdHealthy asks the members of etcd on these hosts.
func etcdHealthy(ctx context.Context, hosts []*workflow.Host) (bool, string, error) {
	health, err := kube.ReadEtcdHealth(ctx, connections(hosts))
	if err != nil {
		return false, "", err
	}
	for _, h := range hosts {
		m := health.Member(h.Config.Name)
		switch {
		case m == nil:
			return false, "", fmt.Errorf("etcd has no member %s", h.Config.Name)
		case m.Problem != nil:
			return false, "", fmt.Errorf("etcd member %s: %w", h.Config.Name, m.Problem)
		}
	}
	return true, "", nil
}

func connections(hosts []*workflow.Host) []host.Host {
	all := make([]host.Host, len(hosts))
	for i, h := range hosts {
		all[i] = h.Conn
	}
	return all
}

// moveLeader makes another member of etcd the leader, if that of the host leads: its
// restart would end in an election, during which no write succeeds.
func moveLeader(ctx context.Context, s *workflow.Step) error {
	others := planes(s)
	if len(others) == 0 {
		return nil
	}
	health, err := kube.ReadEtcdHealth(ctx, connections(append(others, s.Target)))
	if err != nil {
		return err
	}
	if own := health.Member(s.Target.Config.Name); own == nil || !own.Leader || own.Problem != nil {
		return nil
	}
	for _, m := range health.Members {
		if m.Name == s.Target.Config.Name || !m.Voting || m.Problem != nil {
			continue
		}
		if err := kube.NewEtcdClient(s.Target.Conn).MoveLeader(ctx, m.ID); err != nil {
			return err
		}
		s.Changed("make etcd member %s the leader", m.Name)
		return nil
	}
	return errors.New("no other member of etcd is healthy, and could lead")
}

// whyNot adds the end of the log of a static pod to an error.
func whyNot(ctx context.Context, s *workflow.Step, component string, err error) error {
	res, failed := s.Query(ctx, host.Script("log.sh", templates.Script("upgrade/log.sh"), component))
	if log := strings.TrimSpace(string(res.Stdout)); failed == nil && log != "" {
		return fmt.Errorf("%w; its log ends with:\n%s", err, log)
	}
	return err
}

// heartbeat returns when the kubelet of the host last reported the state of its Node.
func heartbeat(ctx context.Context, s *workflow.Step) (time.Time, error) {
	client, err := s.Kube(ctx)
	if err != nil {
		return time.Time{}, err
	}
	node, err := client.Node(ctx, s.Target.Config.Name)
	if err != nil {
		return time.Time{}, err
	}
	return reportedAt(node), nil
}

func reportedAt(node *corev1.Node) time.Time {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.LastHeartbeatTime.Time
		}
	}
	return time.Time{}
}

// reports: kubelet has reported its Node since its restart, and that it is ready.
func reports(s *workflow.Step, since func(*corev1.Node) bool) kube.Condition {
	name := s.Target.Config.Name
	return kube.Condition{Name: "node " + name + " ready", Check: func(ctx context.Context, client *kube.Client) (bool, string, error) {
		node, err := client.Node(ctx, name)
		if err != nil {
			return false, "", err
		}
		if !since(node) {
			return false, "its kubelet has not reported since the restart", nil
		}
		ready, why := kube.NodeIsReady(node)
		return ready, why, nil
	}}
}
