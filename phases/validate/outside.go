package validate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/kube"
)

// outsideTimeout bounds one request from outside.
const outsideTimeout = 4 * time.Second

// visitor asks over HTTP from outside of the cluster.
type visitor struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// at is the address that every request goes to, whatever its URL says.
	at string
	// trust is the one certificate that is accepted.
	trust *x509.CertPool
}

// get gives the status and the beginning of the answer.
func (v visitor) get(ctx context.Context, url string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, outsideTimeout)
	defer cancel()
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: v.trust},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return v.dial(ctx, network, v.at)
			},
		},
		// A redirect is an answer that is not the wanted one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	return response.StatusCode, strings.TrimSpace(string(text)), err
}

// answered says which test pod answered; another answer is an error.
func (r *run) answered(status int, body string) (string, error) {
	if status != http.StatusOK || !r.bed.isTestPod(body) {
		return "", fmt.Errorf("answered %d %q, and no test pod", status, head(body, 80))
	}
	return body, nil
}

// loadBalancerTasks ask an address of the load balancer from outside.
func loadBalancerTasks(_ context.Context, r *run) []task {
	if _, wanted := r.options.Cluster.Addon(config.AddonMetalLB); !wanted {
		return skipped("the inventory has no load balancer")
	}
	if r.bed == nil {
		return skipped("there are no test pods")
	}
	return []task{{lasts: workloadTime, once: r.loadBalancer}}
}

func (r *run) loadBalancer(ctx context.Context) (string, error) {
	data := r.workload("outside")
	data.Target = probeName
	if err := r.make(ctx, "load-balancer", data); err != nil {
		return "", err
	}
	var given netip.Addr
	if err := r.await(ctx, addressGiven(r.namespace, data.Name, &given), startTime); err != nil {
		return "", err
	}
	at := net.JoinHostPort(given.String(), fmt.Sprint(servicePort))
	v := visitor{dial: r.options.Outside, at: at}
	return persist(ctx, task{once: func(ctx context.Context) (string, error) {
		status, body, err := v.get(ctx, "http://"+at+"/hostname")
		if err != nil {
			return "", fmt.Errorf("%s has the address %s, and from %s: %w", data.Name, given, r.options.OutsideName, err)
		}
		by, err := r.answered(status, body)
		return fmt.Sprintf("%s answered by %s, asked from %s", at, by, r.options.OutsideName), err
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
