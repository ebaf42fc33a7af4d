package workflow

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
)

// AdminConf is where kubeadm puts the administrator's kubeconfig.
const AdminConf = "/etc/kubernetes/admin.conf"

// revokeTimeout bounds the revocation of a token after a run was interrupted.
const revokeTimeout = 10 * time.Second

// diffMost is how many fields of a changed object are told.
const diffMost = 3

// kube connects to the API server with the administrator's rights, through
// the SSH connection of the first control plane: what the installer reaches by
// SSH is enough, whatever stands between.
func (r *Run) kube(ctx context.Context, s *Step) (*kube.Client, error) {
	r.kubes.Lock()
	defer r.kubes.Unlock()
	if r.kubes.client != nil {
		return r.kubes.client, nil
	}
	first := r.Hosts.Seed()
	conf, err := s.On(first).ReadFile(ctx, AdminConf)
	if err != nil {
		return nil, fmt.Errorf("the cluster's kubeconfig: %w", err)
	}
	client, err := kube.New(conf, dialer(first.Conn))
	if err != nil {
		return nil, err
	}
	r.kubes.client = client
	return client, nil
}

func dialer(h host.Host) func(context.Context, string, string) (net.Conn, error) {
	if d, ok := h.(host.Dialer); ok {
		return d.DialContext
	}
	return nil
}

// Set is a named set of objects in the cluster, at work in a step: what
// changes is counted, and in a plan only asked for.
type Set struct {
	step *Step
	set  *kube.ApplySet
}

// Set opens the set of that name, which may not exist yet.
func (s *Step) Set(ctx context.Context, name string) (*Set, error) {
	client, err := s.Kube(ctx)
	if err != nil {
		return nil, err
	}
	set, err := client.OpenApplySet(ctx, name, kube.ApplyOptions{DryRun: s.run.Plan})
	if err != nil {
		return nil, err
	}
	return &Set{step: s, set: set}, nil
}

// Apply makes the cluster have the objects.
func (t *Set) Apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	changes, err := t.set.Apply(ctx, objects)
	t.step.count(changes)
	return err
}

// Prune removes what the set had and was not applied since it was opened, and
// waits until it is gone; nothing applied removes the set.
func (t *Set) Prune(ctx context.Context) error {
	changes, err := t.set.Prune(ctx, t.step.waitOptions("removal"))
	t.step.count(changes)
	return err
}

func (s *Step) count(changes []kube.Change) {
	for _, c := range changes {
		if c.Action == kube.Unchanged || c.Action == kube.Absent {
			continue
		}
		told := fmt.Sprintf("%s %s %s", c.Action, strings.ToLower(c.Kind), objectName(c))
		if len(c.Diff) > 0 {
			told += ": " + strings.Join(c.Diff[:min(len(c.Diff), diffMost)], ", ")
			if more := len(c.Diff) - diffMost; more > 0 {
				told += fmt.Sprintf(" and %d more", more)
			}
		}
		s.Changed("%s", told)
	}
}

func objectName(c kube.Change) string {
	if c.Namespace == "" {
		return c.Name
	}
	return c.Namespace + "/" + c.Name
}

// SetNode makes the machine's Node carry the labels and taints, and counts
// that if it changed something.
func (s *Step) SetNode(ctx context.Context, labels map[string]string, taints []corev1.Taint) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	name := s.Target.Config.Name
	set := client.SetNode
	if s.run.Plan {
		set = client.PlanNode
	}
	changed, err := set(ctx, name, labels, taints)
	if changed {
		s.Changed("set the labels and taints of node %s", name)
	}
	return err
}

// JoinToken makes a bootstrap token that lives for ttl at most; revoke ends it
// earlier. A plan makes none: the rest of a join depends on it.
func (s *Step) JoinToken(ctx context.Context, ttl time.Duration) (token string, revoke func(), err error) {
	client, err := s.Kube(ctx)
	if err != nil {
		return "", nil, err
	}
	if s.run.Plan {
		return "", nil, host.ErrPlanned
	}
	token, err = client.CreateBootstrapToken(ctx, ttl)
	if err != nil {
		return "", nil, err
	}
	return token, func() {
		// Also after Ctrl-C.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
		defer cancel()
		if err := client.DeleteBootstrapToken(ctx, token); err != nil {
			s.Note("the join token could not be revoked, it expires after %s: %v", ttl, err)
		}
	}, nil
}

// WaitFor waits for a condition of the cluster, its observations shown. A
// timeout of 0 is the run's.
func (s *Step) WaitFor(ctx context.Context, condition kube.Condition, timeout time.Duration) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	options := s.waitOptions(condition.Name)
	if timeout > 0 {
		options.Timeout = timeout
	}
	return client.WaitFor(ctx, condition, options)
}

func (s *Step) waitOptions(what string) kube.WaitOptions {
	return kube.WaitOptions{
		Timeout:  s.run.Timeout,
		Progress: func(seen string) { s.Waiting(what + ": " + seen) },
	}
}
