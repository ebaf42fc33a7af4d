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
	"slipway.io/slipway/provision/retry"
	validatetmpl "slipway.io/slipway/templates/validate"
)

const (
	namespacePrefix = "slipway-validate-"
	// namespaceSelector selects the namespaces of all validations; see
	// templates/validate/namespace.yaml.tmpl.
	namespaceSelector = "app.kubernetes.io/managed-by=slipway,slipway.io/purpose=validate"
	// leftoverAge is the age from which a namespace is a leftover of a killed
	// run: no run of the same scale takes that long.
	leftoverAge = 15 * time.Minute

	probeName      = "slipway-probe"
	probeContainer = "agnhost"

	// apiTimeout bounds the wait for the API server.
	apiTimeout = 60 * time.Second
	// podTimeout bounds the start of the test pods.
	podTimeout  = 60 * time.Second
	podInterval = 200 * time.Millisecond
)

// namespaceHarness sets up what probes need in a namespace of this run.
type namespaceHarness struct {
	client *kube.Client
	image  string
	scale  timeoutScale
	// namespace is empty until it may exist.
	namespace string
}

// createNamespace also waits for the default ServiceAccount: without it, pods
// are refused, and their controllers wait before they try again.
func (n *namespaceHarness) createNamespace(ctx context.Context, say func(string)) (string, error) {
	// After a reboot of its host, the API server starts later than sshd.
	if err := n.await(ctx, kube.APIReady(), apiTimeout, say); err != nil {
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
	return n.namespace, n.await(ctx, kube.ServiceAccountExists(n.namespace, "default"), podTimeout, say)
}

func (n *namespaceHarness) await(ctx context.Context, condition kube.Condition, timeout time.Duration, say func(string)) error {
	return n.client.WaitFor(ctx, condition, kube.WaitOptions{Timeout: n.scale.extend(timeout), Progress: say})
}

// startPods creates the DaemonSet of test pods and its Services.
func (n *namespaceHarness) startPods(ctx context.Context, without []string, say func(string)) (*fixture, error) {
	list, err := n.client.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes := slices.DeleteFunc(list.Items, func(node corev1.Node) bool { return slices.Contains(without, node.Name) })
	manifest, err := validatetmpl.Probe(validatetmpl.Data{
		Namespace: n.namespace,
		Name:      probeName, Container: probeContainer, Image: n.image,
		HTTPPort: httpPort, UDPPort: udpPort, ServicePort: servicePort, Without: without,
	})
	if err != nil {
		return nil, err
	}
	if _, err := n.client.Apply(ctx, manifest); err != nil {
		return nil, err
	}
	f := &fixture{
		prober:    newPodProber(n.client, n.namespace, n.scale),
		namespace: n.namespace, service: probeName,
	}
	if err := n.readAddresses(ctx, f); err != nil {
		return nil, err
	}
	f.nodes = n.awaitPods(ctx, nodes, say)
	return f, nil
}

// readAddresses reads the ClusterIP and the NodePort of the Services.
func (n *namespaceHarness) readAddresses(ctx context.Context, f *fixture) error {
	services := n.client.Clientset().CoreV1().Services(n.namespace)
	service, err := services.Get(ctx, probeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	f.clusterIP = service.Spec.ClusterIP
	onNodes, err := services.Get(ctx, probeName+"-node-port", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if len(onNodes.Spec.Ports) == 0 || onNodes.Spec.Ports[0].NodePort == 0 {
		return fmt.Errorf("service %s has no NodePort", onNodes.Name)
	}
	f.nodePort = int(onNodes.Spec.Ports[0].NodePort)
	return nil
}

// awaitPods waits until each node has a ready test pod, or the time is up. A node
// that has none then has the reason.
func (n *namespaceHarness) awaitPods(ctx context.Context, nodes []corev1.Node, say func(string)) []testNode {
	found := match(nodes, nil)
	_ = retry.Do(ctx, func(ctx context.Context) error {
		// Other probes have pods in the namespace at the same time.
		pods, err := n.client.Clientset().CoreV1().Pods(n.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + probeName})
		if err != nil {
			return fmt.Errorf("test pods: %w", err)
		}
		found = match(nodes, pods.Items)
		ready := len(slices.DeleteFunc(slices.Clone(found), func(node testNode) bool { return node.failure != "" }))
		if ready < len(found) {
			return fmt.Errorf("test pods: %d of %d ready", ready, len(found))
		}
		return nil
	}, retry.Options{
		Timeout: beforeDeadline(ctx, n.scale.extend(podTimeout)), Pause: retry.Every(podInterval),
		Progress: func(err error) { say(err.Error()) },
	}) // the nodes have the reasons
	return found
}

// match finds the test pod of each node.
func match(nodes []corev1.Node, pods []corev1.Pod) []testNode {
	var found []testNode
	for i := range nodes {
		node := testNode{name: nodes[i].Name, address: internalIP(&nodes[i]), failure: "the DaemonSet created no test pod for this node"}
		for j := range pods {
			pod := &pods[j]
			if pod.Spec.NodeName != node.name || pod.DeletionTimestamp != nil {
				continue
			}
			node.pod, node.podIP, node.failure = pod.Name, pod.Status.PodIP, ""
			if ready, why := kube.PodIsReady(pod); !ready {
				node.failure = fmt.Sprintf("test pod %s: %s", pod.Name, why)
			}
		}
		found = append(found, node)
	}
	return found
}

// tearDown deletes the namespace, waits for its volumes, and deletes leftover
// namespaces of killed runs.
func (n *namespaceHarness) tearDown(ctx context.Context) error {
	err := n.deleteLeftovers(ctx)
	if n.namespace != "" {
		err = errors.Join(n.delete(ctx, n.namespace), n.awaitVolumesGone(ctx), err)
	}
	return err
}

// awaitVolumesGone waits until the volumes of the namespace are deleted: their
// provisioner deletes them only while the cluster runs.
func (n *namespaceHarness) awaitVolumesGone(ctx context.Context) error {
	return retry.Until(ctx, "the deletion of volumes", func(ctx context.Context) error {
		volumes, err := n.client.Clientset().CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return retry.Stop(fmt.Errorf("list the volumes of namespace %s: %w", n.namespace, err))
		}
		var left []string
		for _, v := range volumes.Items {
			if v.Spec.ClaimRef != nil && v.Spec.ClaimRef.Namespace == n.namespace {
				left = append(left, v.Name)
			}
		}
		if len(left) > 0 {
			return errors.New(strings.Join(left, ", "))
		}
		return nil
	}, retry.Options{Pause: retry.Every(retryInterval)})
}

func (n *namespaceHarness) deleteLeftovers(ctx context.Context) error {
	namespaces, err := n.client.Clientset().CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: namespaceSelector})
	if err != nil {
		return fmt.Errorf("list namespaces of earlier validations: %w", err)
	}
	var errs []error
	for _, namespace := range namespaces.Items {
		old := time.Since(namespace.CreationTimestamp.Time) > n.scale.extend(leftoverAge)
		if old && namespace.DeletionTimestamp == nil && strings.HasPrefix(namespace.Name, namespacePrefix) {
			errs = append(errs, n.delete(ctx, namespace.Name))
		}
	}
	return errors.Join(errs...)
}

// delete retries until the API server accepts the deletion.
func (n *namespaceHarness) delete(ctx context.Context, name string) error {
	background := metav1.DeletePropagationBackground
	err := retry.Do(ctx, func(ctx context.Context) error {
		err := n.client.Clientset().CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err): // a conflict: it is being deleted
			return nil
		case apierrors.IsForbidden(err):
			return retry.Stop(err)
		}
		return err
	}, retry.Options{Pause: retry.Every(retryInterval)})
	if err != nil {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}
