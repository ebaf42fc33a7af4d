package staticpod

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// manifests is where kubelet reads static pods.
const manifests = "/etc/kubernetes/manifests/"

// probe returns why a static pod is not healthy; nil if it is.
type probe func(context.Context) error

// probeOf returns the probe with which kubelet decides that a static pod is ready, or that
// it lives. An etcd must have a majority too.
func probeOf(ctx context.Context, s *workflow.Step, name string) (probe, error) {
	content, err := s.ReadFile(ctx, manifests+name+".yaml")
	if err != nil {
		return nil, err
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(content, &pod); err != nil {
		return nil, fmt.Errorf("%s%s.yaml: %w", manifests, name, err)
	}
	address, err := probeURL(s, name, pod)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if address != "" {
			if err := get(ctx, s.Target.Conn, address); err != nil {
				return err
			}
		}
		if name != Etcd {
			return nil
		}
		status, err := kube.ReadEtcdStatus(ctx, s.Target.Conn)
		if err != nil {
			return err
		}
		return status.Unhealthy
	}, nil
}

// probeURL returns what kubelet asks; empty if the container has no HTTP probe.
func probeURL(s *workflow.Step, name string, pod corev1.Pod) (string, error) {
	for _, c := range pod.Spec.Containers {
		if c.Name != name {
			continue
		}
		for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
			if p == nil || p.HTTPGet == nil {
				continue
			}
			address, err := hostOf(s, p.HTTPGet.Host)
			if err != nil {
				return "", err
			}
			port := p.HTTPGet.Port.String()
			for _, named := range c.Ports {
				if named.Name == port {
					port = fmt.Sprint(named.ContainerPort)
				}
			}
			scheme := strings.ToLower(string(cmp.Or(p.HTTPGet.Scheme, corev1.URISchemeHTTP)))
			return scheme + "://" + net.JoinHostPort(address, port) + p.HTTPGet.Path, nil
		}
		return "", nil
	}
	return "", fmt.Errorf("%s%s.yaml has no container %s", manifests, name, name)
}

// hostOf returns the address that a probe asks: that of the pod, which is the node's, if
// the probe names none.
func hostOf(s *workflow.Step, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	ip, err := s.Target.NodeIP()
	return ip.String(), err
}

// get asks a probe through the connection of a host. Like kubelet, it does not verify the
// certificate: the controller manager and the scheduler sign their own.
func get(ctx context.Context, through host.Host, address string) error {
	dialer, ok := through.(host.Dialer)
	if !ok {
		return errors.New(through.String() + " cannot forward connections")
	}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s", address, response.Status)
	}
	return nil
}
