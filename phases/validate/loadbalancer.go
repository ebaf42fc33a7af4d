package validate

import (
	"context"
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
)

// loadBalancerTasks request a Service of type LoadBalancer from outside.
func loadBalancerTasks(_ context.Context, r *run) []task {
	if _, wanted := r.cluster.Addon(config.AddonMetalLB); !wanted {
		return skipped("the inventory has no load balancer addon")
	}
	return []task{{timeout: workloadTimeout, try: r.loadBalancer}}
}

func (r *run) loadBalancer(ctx context.Context) (string, error) {
	data := r.workload("load-balancer")
	data.Target = probeName
	if err := r.apply(ctx, "load-balancer", data); err != nil {
		return "", err
	}
	var assigned netip.Addr
	if err := r.await(ctx, addressAssigned(r.namespace, data.Name, &assigned), startTimeout); err != nil {
		return "", err
	}
	at := netip.AddrPortFrom(assigned, servicePort).String()
	return r.retry(ctx, podRetryTime, func(ctx context.Context) (string, error) {
		got, err := r.http.Get(ctx, "http://"+at+"/hostname", at, nil)
		if err != nil {
			return "", fmt.Errorf("the Service has the address %s, but a request from %s fails: %w", assigned, r.http.From(), err)
		}
		pod, err := r.fixture.answeredBy(got)
		if err != nil {
			return "", fmt.Errorf("%s: %w", at, err)
		}
		return fmt.Sprintf("%s answered by %s, requested from %s", at, pod, r.http.From()), nil
	})
}

// addressAssigned: the Service has an external address.
func addressAssigned(namespace, name string, assigned *netip.Addr) kube.Condition {
	return kube.Condition{Name: "address of " + name, Check: func(ctx context.Context, c *kube.Client) (bool, string, error) {
		service, err := c.Clientset().CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if addr, err := netip.ParseAddr(ingress.IP); err == nil {
				*assigned = addr
				return true, addr.String(), nil
			}
		}
		return false, "the Service of type LoadBalancer has no address" + lastEvent(ctx, c, namespace, "Service", name), nil
	}}
}
