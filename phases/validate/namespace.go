package validate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	validatetmpl "slipway.io/slipway/templates/validate"
)

const (
	namespacePrefix = "slipway-validate-"
	// ownNamespaces selects the namespaces of all validations; see
	// templates/validate/namespace.yaml.tmpl.
	ownNamespaces = "app.kubernetes.io/managed-by=slipway,slipway.io/purpose=validate"
	// leftoverAge is the age from which a namespace is one that a killed run
	// left behind: no run of the same pace takes that long.
	leftoverAge = 15 * time.Minute

	probeName      = "slipway-probe"
	probeContainer = "agnhost"

	// apiTimeout is how long the API server may take to answer.
	apiTimeout = 60 * time.Second
	// podTimeout is how long the test pods may take to start.
	podTimeout = 60 * time.Second
	podPoll    = 200 * time.Millisecond
)

// namespaceBed is the testbed in a real cluster: a namespace of its own.
type namespaceBed struct {
	client *kube.Client
	image  string
	pace   pace
	// namespace is empty until it may exist.
	namespace string
}

// open makes the namespace. Pods made before its ServiceAccount is there are
// refused, and their controllers then take their time to try again.
func (n *namespaceBed) open(ctx context.Context, say func(string)) (string, error) {
	if n.image == "" {
		return "", errors.New("no test image is known")
	}
	// After a reboot of its machine the API server is a moment behind sshd.
	wait := kube.WaitOptions{Timeout: n.pace.limit(apiTimeout), Progress: say}
	if err := n.client.WaitFor(ctx, kube.APIReady(), wait); err != nil {
		return "", err
	}
	data := validatetmpl.Data{Namespace: namespacePrefix + strings.ToLower(rand.Text())[:8]}
	namespace, err := validatetmpl.Namespace(data)
	if err != nil {
		return "", err
	}
	n.namespace = data.Namespace
	if _, err := n.client.Apply(ctx, namespace); err != nil {
		return "", err
	}
	return n.namespace, n.client.WaitFor(ctx, kube.ServiceAccountExists(n.namespace, "default"), kube.WaitOptions{Timeout: n.pace.limit(podTimeout), Progress: say})
}

// lay fills the namespace.
func (n *namespaceBed) lay(ctx context.Context, say func(string)) (*fixture, error) {
	nodes, err := n.client.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	data := validatetmpl.Data{
		Namespace: n.namespace,
		Name:      probeName, Container: probeContainer, Image: n.image,
		HTTPPort: httpPort, UDPPort: udpPort, ServicePort: servicePort,
	}
	probe, err := validatetmpl.Probe(data)
	if err != nil {
		return nil, err
	}
	if _, err := n.client.Apply(ctx, probe); err != nil {
		return nil, err
	}
	b := &fixture{
		prober:    newPodProber(n.client, n.namespace, n.pace),
		namespace: n.namespace, service: probeName,
	}
	if err := n.addresses(ctx, b); err != nil {
		return nil, err
	}
	b.nodes = n.pods(ctx, nodes.Items, say)
	return b, nil
}

// addresses reads where the Services answer.
func (n *namespaceBed) addresses(ctx context.Context, b *fixture) error {
	services := n.client.Clientset().CoreV1().Services(n.namespace)
	service, err := services.Get(ctx, probeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	b.clusterIP = service.Spec.ClusterIP
	onNodes, err := services.Get(ctx, probeName+"-node-port", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if len(onNodes.Spec.Ports) == 0 || onNodes.Spec.Ports[0].NodePort == 0 {
		return errors.New("the NodePort service got no port")
	}
	b.nodePort = int(onNodes.Spec.Ports[0].NodePort)
	return nil
}

// pods waits until there is a ready test pod on each node, or the time is up;
// what is missing then is the trouble of its node.
func (n *namespaceBed) pods(ctx context.Context, nodes []corev1.Node, say func(string)) []bedNode {
	within := n.pace.limit(podTimeout)
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline)-evidenceRoom)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last := ""
	found := place(nodes, nil)
	for {
		pods, err := n.client.Clientset().CoreV1().Pods(n.namespace).List(ctx, metav1.ListOptions{})
		message := ""
		if err == nil {
			found = place(nodes, pods.Items)
			ready := len(slices.DeleteFunc(slices.Clone(found), func(node bedNode) bool { return node.trouble != "" }))
			if ready == len(found) {
				return found
			}
			message = fmt.Sprintf("test pods: %d of %d ready", ready, len(found))
		} else if ctx.Err() == nil {
			message = "test pods: " + err.Error()
		}
		if message != "" && message != last {
			say(message)
			last = message
		}
		if !pause(ctx, podPoll) {
			return found
		}
	}
}

// place puts each pod on its node.
func place(nodes []corev1.Node, pods []corev1.Pod) []bedNode {
	var found []bedNode
	for i := range nodes {
		node := bedNode{name: nodes[i].Name, address: internalIP(&nodes[i]), trouble: "no test pod was made for this node"}
		for j := range pods {
			pod := &pods[j]
			if pod.Spec.NodeName != node.name || pod.DeletionTimestamp != nil {
				continue
			}
			node.pod, node.podIP, node.trouble = pod.Name, pod.Status.PodIP, ""
			if ready, why := kube.PodIsReady(pod); !ready {
				node.trouble = fmt.Sprintf("test pod %s: %s", pod.Name, why)
			}
		}
		found = append(found, node)
	}
	return found
}

// clear deletes the namespace, in the background, waits for its volumes, and
// deletes the namespaces that killed runs have left behind.
func (n *namespaceBed) clear(ctx context.Context) error {
	err := n.sweep(ctx)
	if n.namespace != "" {
		err = errors.Join(n.delete(ctx, n.namespace), n.volumesGone(ctx), err)
	}
	return err
}

// volumesGone waits until the volumes of the namespace's claims are deleted:
// only while the cluster runs is there somebody who takes them off the nodes.
func (n *namespaceBed) volumesGone(ctx context.Context) error {
	for {
		volumes, err := n.client.Clientset().CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("look for volumes that are left: %w", err)
		}
		var left []string
		for _, v := range volumes.Items {
			if v.Spec.ClaimRef != nil && v.Spec.ClaimRef.Namespace == n.namespace {
				left = append(left, v.Name)
			}
		}
		if len(left) == 0 {
			return nil
		}
		if !pause(ctx, retryPause) {
			return fmt.Errorf("the volumes %s are not deleted yet", strings.Join(left, ", "))
		}
	}
}

func (n *namespaceBed) sweep(ctx context.Context) error {
	namespaces, err := n.client.Clientset().CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: ownNamespaces})
	if err != nil {
		return fmt.Errorf("list namespaces of earlier validations: %w", err)
	}
	var errs []error
	for _, namespace := range namespaces.Items {
		old := time.Since(namespace.CreationTimestamp.Time) > n.pace.limit(leftoverAge)
		if old && namespace.DeletionTimestamp == nil && strings.HasPrefix(namespace.Name, namespacePrefix) {
			errs = append(errs, n.delete(ctx, namespace.Name))
		}
	}
	return errors.Join(errs...)
}

// delete repeats until the API server has taken it: this is the last chance.
func (n *namespaceBed) delete(ctx context.Context, name string) error {
	background := metav1.DeletePropagationBackground
	for {
		err := n.client.Clientset().CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // a conflict: it is being deleted
			return nil
		}
		if apierrors.IsForbidden(err) || !pause(ctx, retryPause) {
			return fmt.Errorf("delete namespace %s: %w", name, err)
		}
	}
}
