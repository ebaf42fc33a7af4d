package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// readyTimeout bounds the wait for the members: kubelet starts them within seconds, and an
// election takes a second.
const readyTimeout = 3 * time.Minute

// Ready waits until etcd works on its hosts.
func Ready() workflow.Phase {
	return workflow.Phase{
		Name:  "etcd-ready",
		Title: "wait until etcd works",
		Why: "kubeadm init needs all members of etcd. A cluster that exists needs a majority of them: apply leaves out those " +
			"whose hosts are unreachable.",
		Manual: []string{
			"etcdctl --endpoints ENDPOINTS --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/healthcheck-client.crt --key /etc/kubernetes/pki/etcd/healthcheck-client.key endpoint health",
		},
		On:       workflow.Localhost,
		NeedsAll: []string{"etcd-host", "etcd-certificates"},
		Enabled:  hasHosts,
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return s.Planning() || s.Hosts().State().Answers(), nil
		},
		Do: awaitMembers,
	}
}

func awaitMembers(ctx context.Context, s *workflow.Step) error {
	state := s.Hosts().State()
	exists := state != nil && state.Exists
	var hosts []*workflow.Host
	var conns []host.Host
	for _, h := range s.Hosts().EtcdHosts() {
		if h.Facts() == nil || h.Unreachable() != nil {
			if !exists {
				return workflow.WithHint(fmt.Errorf("%s was not read: kubeadm init needs all members of etcd", h.Config.Name),
					"make the host reachable, and rerun `slipway apply` without --hosts")
			}
			continue
		}
		hosts, conns = append(hosts, h), append(conns, h.Conn)
	}
	var unhealthy []string
	err := retry.Until(ctx, "etcd", func(ctx context.Context) error {
		health, err := kube.ReadEtcdHealth(ctx, conns)
		if err != nil {
			unhealthy = s.Hosts().Names()
			return err
		}
		unhealthy, err = problems(health, s.Hosts().EtcdHosts(), exists)
		return err
	}, retry.Options{Timeout: readyTimeout, Progress: func(err error) { s.Waiting(err.Error()) }})
	if err == nil {
		return nil
	}
	for _, h := range hosts {
		for _, name := range unhealthy {
			if h.Config.Name == name {
				err = fmt.Errorf("%w%s", err, lastLines(ctx, s, h))
			}
		}
	}
	return workflow.WithHint(err, "see `journalctl -u kubelet` and /var/log/pods/kube-system_etcd-* on the hosts of etcd, fix the problem and rerun `slipway apply` to resume")
}

// problems returns the hosts whose member is not healthy, and why etcd does not work.
func problems(health kube.EtcdHealth, hosts []*workflow.Host, exists bool) (unhealthy []string, err error) {
	var all []error
	for _, h := range hosts {
		name := h.Config.Name
		switch m := health.Member(name); {
		case m == nil:
			unhealthy = append(unhealthy, name)
			all = append(all, fmt.Errorf("the member %s has not started", name))
		case m.Problem != nil:
			unhealthy = append(unhealthy, name)
			all = append(all, fmt.Errorf("the member %s is not healthy: %w", name, m.Problem))
		}
	}
	switch quorum := health.Quorum(); {
	case len(health.Members) > len(hosts):
		all = append(all, fmt.Errorf("etcd has %d members, and the inventory %d hosts with the role etcd", len(health.Members), len(hosts)))
	case exists && quorum.Holds() && health.Leader() != "":
		return nil, nil
	case health.Leader() == "":
		all = append(all, errors.New("no member leads"))
	}
	return unhealthy, errors.Join(all...)
}

// lastLines returns the end of the log of etcd on a host.
func lastLines(ctx context.Context, s *workflow.Step, h *workflow.Host) string {
	res, err := s.On(h).Query(ctx, host.Script("etcd-log.sh", templates.Script("etcd/log.sh")))
	text := strings.TrimSpace(string(res.Stdout))
	if err != nil || text == "" {
		return ""
	}
	return fmt.Sprintf("\n%s: %s", h.Config.Name, strings.ReplaceAll(text, "\n", "\n"+h.Config.Name+": "))
}
