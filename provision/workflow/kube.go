package workflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
)

// revokeTimeout bounds the revocation of a token after a run was interrupted.
const revokeTimeout = 10 * time.Second

// maxDiffLines bounds the fields of a changed object in a message.
const maxDiffLines = 3

// ControlPlanes are the control planes, in the order of the inventory.
func (h *Hosts) ControlPlanes() []*Host { return h.Where((*Host).isControlPlane) }

// entrances are the control planes through which the API server may be reached: those
// that leave the cluster come last.
func (h *Hosts) entrances() []*Host { return h.WithLeaving().ControlPlanes() }

// Connect returns a client that reaches the API server through the SSH
// connections of the control planes, with the administrator's rights.
func (h *Hosts) Connect(ctx context.Context, options kube.Options) (*kube.Client, error) {
	client, err := kube.Connect(ctx, connections(h.entrances()), options)
	return client, withoutCluster(err)
}

// AdminConf reads the administrator's kubeconfig on the first control plane that
// has it, and returns that host.
func (h *Hosts) AdminConf(ctx context.Context) ([]byte, *Host, error) {
	controlPlanes := h.entrances()
	conf, from, err := kube.ReadAdminConf(ctx, connections(controlPlanes))
	if err != nil {
		return nil, nil, withoutCluster(err)
	}
	return conf, controlPlanes[from], nil
}

func connections(hosts []*Host) []host.Host {
	all := make([]host.Host, 0, len(hosts))
	for _, h := range hosts {
		all = append(all, h.Conn)
	}
	return all
}

// withoutCluster adds how to create the cluster that does not exist yet.
func withoutCluster(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return WithHint(err, "create it with `slipway apply`")
	}
	return err
}

// kubeClient is the run's connection to the API server.
type kubeClient struct {
	sync.Mutex
	client *kube.Client
	// planned: a plan has recorded that the cluster is created.
	planned bool
}

// kube returns the run's client, which all steps share. In a plan it changes
// nothing, and does not exist if the plan creates the cluster.
func (r *Run) kube(ctx context.Context) (*kube.Client, error) {
	r.kubes.Lock()
	defer r.kubes.Unlock()
	if r.kubes.planned {
		return nil, fmt.Errorf("the API server: %w", host.ErrPlanned)
	}
	if r.kubes.client != nil {
		return r.kubes.client, nil
	}
	client, err := r.Hosts.Connect(ctx, kube.Options{DryRun: r.Plan, Port: r.Cluster.ControlPlane.BindPort})
	if err != nil {
		return nil, err
	}
	r.kubes.client = client
	return client, nil
}

// CreatesCluster says that this step creates the cluster, or completes it after an
// interrupted run. Later steps find another state than the API server reports now,
// so in a plan they depend on a planned change.
func (s *Step) CreatesCluster() {
	s.run.kubes.Lock()
	defer s.run.kubes.Unlock()
	s.run.kubes.client, s.run.kubes.planned = nil, s.run.Plan
}

// Set is a named set of objects in the cluster, as a step applies it: the changes
// are counted.
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
	set, err := client.OpenApplySet(ctx, name)
	if err != nil {
		return nil, err
	}
	return &Set{step: s, set: set}, nil
}

// Apply applies the objects.
func (t *Set) Apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	changes, err := t.set.Apply(ctx, objects)
	t.step.count(changes)
	return err
}

// Prune deletes the members that were not applied since the set was opened, and
// waits until they are gone. If nothing was applied, the set is deleted.
func (t *Set) Prune(ctx context.Context) error {
	changes, err := t.set.Prune(ctx, t.step.WaitOptions("removal"))
	t.step.count(changes)
	return err
}

func (s *Step) count(changes []kube.Change) {
	for _, c := range changes {
		if c.Action == kube.Unchanged || c.Action == kube.Absent {
			continue
		}
		message := fmt.Sprintf("%s %s %s", c.Action, strings.ToLower(c.Kind), objectName(c))
		if len(c.Diff) > 0 {
			message += ": " + strings.Join(c.Diff[:min(len(c.Diff), maxDiffLines)], ", ")
			if more := len(c.Diff) - maxDiffLines; more > 0 {
				message += fmt.Sprintf(" and %d more", more)
			}
		}
		s.Record(message, c.Unified)
	}
}

func objectName(c kube.Change) string {
	if c.Namespace == "" {
		return c.Name
	}
	return c.Namespace + "/" + c.Name
}

// SetNode sets the labels and taints of the host's Node, and counts the change, if
// any.
func (s *Step) SetNode(ctx context.Context, labels map[string]string, taints []corev1.Taint) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	name := s.Target.Config.Name
	changed, diff, err := client.SetNode(ctx, name, labels, taints)
	if apierrors.IsNotFound(err) && (s.Planned(string(facts.KubeletConf)) || s.Planned("kubelet.service")) {
		changed, diff, err = true, "", nil // its kubelet registers it before
	}
	if changed {
		s.Record("set the labels and taints of node "+name, diff)
	}
	return err
}

// DeleteNode deletes the Node of the host, and counts the change. A Node of another
// machine is an error: it has joined with the name of the host.
func (s *Step) DeleteNode(ctx context.Context) error {
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	name := s.Target.Config.Name
	node, err := client.Node(ctx, name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if id, own := node.Status.NodeInfo.MachineID, s.Facts().MachineID; id != "" && own != "" && id != own {
		return WithHint(fmt.Errorf("node %s belongs to another machine, with the ID %s", name, id),
			fmt.Sprintf("give the host another name; or, if the other machine does not exist any more: kubectl delete node %s", name))
	}
	deleted, err := client.DeleteNode(ctx, name, node.UID)
	if deleted {
		s.Changed("delete node %s", name)
	}
	return err
}

// JoinToken creates a bootstrap token that expires after ttl; revoke deletes it
// earlier. A plan creates none: the rest of a join depends on it.
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
		// Even after Ctrl-C.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
		defer cancel()
		if err := client.DeleteBootstrapToken(ctx, token); err != nil {
			s.Note("could not revoke the join token, which expires after %s: %v", ttl, err)
		}
	}, nil
}

// WaitFor waits for a condition of the cluster, and shows what it observes. A
// timeout of 0 is the run's. A plan does not wait: what would meet the condition
// has not happened.
func (s *Step) WaitFor(ctx context.Context, condition kube.Condition, timeout time.Duration) error {
	if s.run.Plan {
		return nil
	}
	client, err := s.Kube(ctx)
	if err != nil {
		return err
	}
	options := s.WaitOptions(condition.Name)
	if timeout > 0 {
		options.Timeout = timeout
	}
	return client.WaitFor(ctx, condition, options)
}

// WaitOptions are those of a wait for a condition of the cluster, which also a plan
// waits for: the timeout is the run's, and what is observed is shown.
func (s *Step) WaitOptions(what string) kube.WaitOptions {
	return kube.WaitOptions{
		Timeout:  s.run.Timeout,
		Progress: func(seen string) { s.Waiting(what + ": " + seen) },
	}
}
