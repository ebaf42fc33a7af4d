package validate

import (
	"context"
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/probe/httpprobe"
)

// The statuses of HTTP that count.
const (
	statusOK       = 200
	statusNotFound = 404
)

// answered says which test pod answered; another answer is an error.
func (r *run) answered(got httpprobe.Answer) (string, error) {
	if got.Status != statusOK || !r.fixture.isTestPod(got.Body) {
		return "", fmt.Errorf("answered %d %q, and no test pod", got.Status, head(got.Body, 80))
	}
	return got.Body, nil
}

// loadBalancerTasks ask an address of the load balancer from outside.
func loadBalancerTasks(_ context.Context, r *run) []task {
	if _, wanted := r.options.Cluster.Addon(config.AddonMetalLB); !wanted {
		return skipped("the inventory has no load balancer")
	}
	if r.fixture == nil {
		return skipped("there are no test pods")
	}
	return []task{{lasts: workloadTime, once: r.loadBalancer}}
}

func (r *run) loadBalancer(ctx context.Context) (string, error) {
	data := r.workload("outside")
	data.Target = probeName
	if err := r.apply(ctx, "load-balancer", data); err != nil {
		return "", err
	}
	var given netip.Addr
	if err := r.await(ctx, addressGiven(r.namespace, data.Name, &given), startTime); err != nil {
		return "", err
	}
	at := netip.AddrPortFrom(given, servicePort).String()
	return r.persist(ctx, task{once: func(ctx context.Context) (string, error) {
		got, err := r.options.Outside.Get(ctx, "http://"+at+"/hostname", at, nil)
		if err != nil {
			return "", fmt.Errorf("the Service has the address %s, and from %s: %w", given, r.options.Outside.From(), err)
		}
		by, err := r.answered(got)
		return fmt.Sprintf("%s answered by %s, asked from %s", at, by, r.options.Outside.From()), err
	}}, podPatience)
}

// addressGiven: the Service has an external address.
func addressGiven(namespace, name string, given *netip.Addr) kube.Condition {
	return kube.Condition{Name: "address of " + name, Check: func(ctx context.Context, c *kube.Client) (bool, string, error) {
		service, err := c.Clientset().CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if addr, err := netip.ParseAddr(ingress.IP); err == nil {
				*given = addr
				return true, addr.String(), nil
			}
		}
		return false, "the Service of type LoadBalancer has no address" + lastEvent(ctx, c, namespace, "Service", name), nil
	}}
}
