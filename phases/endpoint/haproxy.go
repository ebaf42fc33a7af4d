package endpoint

import (
	"context"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	haproxyConf    = "/etc/haproxy/haproxy.cfg"
	haproxyUnit    = "/etc/systemd/system/haproxy.service.d/slipway.conf"
	haproxyService = "haproxy.service"

	// The intervals of health checks, which also bound the time of a TLS handshake. A
	// hung API server is out after at most one interval and three timeouts. With the
	// load balancer local, each host of the cluster checks each API server.
	fewChecks  = "2s"
	manyChecks = "600ms"
)

// HAProxy runs haproxy on the port of the endpoint.
func HAProxy() workflow.Phase {
	return workflow.Phase{
		Name:  "haproxy",
		Title: "run haproxy on the port of the endpoint",
		Why: "haproxy sends each connection to an API server that is ready: one that is down, hung or without etcd is left " +
			"out within seconds. With keepalived it runs on each control plane, with the load balancer local on each node.",
		Manual: []string{
			"apt-get install -y haproxy    # dnf install -y haproxy on RHEL-like systems",
			"vi /etc/haproxy/haproxy.cfg    # a TCP frontend on the port of the endpoint; a backend with NODE_IP:BIND_PORT of each control plane",
			"haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl enable --now haproxy && systemctl reload haproxy",
		},
		On: workflow.Nodes,
		// storage installs packages too, and the package manager has one lock.
		Needs: []string{"lock", "kernel", "storage", "selinux"},
		// The addresses of all control planes are facts.
		NeedsAll: []string{"facts"},
		Enabled:  (*config.Cluster).HAProxy,
		Do: func(ctx context.Context, s *workflow.Step) error {
			if !balances(s) {
				return nil
			}
			return runHAProxy(ctx, s)
		},
	}
}

// balances reports whether haproxy runs on the host of the step.
func balances(s *workflow.Step) bool {
	return s.Target.Config.Has(config.RoleControlPlane) || s.Cluster().ControlPlane.LoadBalancer.Type == config.LoadBalancerLocal
}

func runHAProxy(ctx context.Context, s *workflow.Step) error {
	// One call installs both: it takes less time, and needs the lock once.
	wanted := []distro.Package{distro.HAProxy}
	if usesKeepalived(s.Cluster()) {
		wanted = append(wanted, distro.Keepalived)
	}
	if err := install(ctx, s, wanted...); err != nil {
		return err
	}
	content, err := haproxyConfig(s)
	if err != nil {
		return err
	}
	differ, err := s.Differs(ctx,
		host.File{Path: haproxyUnit, Content: templates.File("endpoint/haproxy-unit.conf")},
		host.File{Path: haproxyConf, Content: content},
	)
	if err != nil {
		return err
	}
	if len(differ) > 0 { // otherwise this haproxy has read the files before
		if err := recent(ctx, s); err != nil {
			return err
		}
	}
	written, err := host.WriteAll(ctx, s, differ...)
	if err != nil {
		return err
	}
	service := systemd.Service{Name: haproxyService, Files: []string{haproxyConf, haproxyUnit}, Reload: []string{haproxyConf}}
	return service.Ensure(ctx, s, written...)
}

// haproxyData is the input of haproxy.cfg.tmpl.
type haproxyData struct {
	Endpoint, Cluster, Bind, Interval string
	Servers                           []server
	// StatePort is where haproxy tells keepalived its state; 0 without keepalived. Own
	// is the server of this host, KubeletPort the port of kubelet's health check; 0 if
	// it has none.
	StatePort, KubeletPort int
	Own                    string
}

func haproxyConfig(s *workflow.Step) ([]byte, error) {
	c := s.Cluster()
	port, err := port(c)
	if err != nil {
		return nil, err
	}
	data := haproxyData{
		Endpoint: config.WithPort(c.ControlPlane.Endpoint), Cluster: c.Metadata.Name,
		Bind: "127.0.0.1:" + port, Interval: fewChecks, Servers: servers(s), Own: s.Target.Config.Name,
	}
	if s.Target.Config.Has(config.RoleControlPlane) {
		// All addresses: haproxy starts without the virtual address, and continues when
		// it comes and goes.
		data.Bind = "*:" + port
	}
	if usesKeepalived(c) {
		data.Interval, data.StatePort, data.KubeletPort = manyChecks, config.HAProxyStatePort, kubeletPort(c)
	}
	return templates.Render("endpoint/haproxy.cfg.tmpl", data)
}

// kubeletPort returns the port on which kubelet tells that it is healthy; 0 if haproxy
// cannot ask.
func kubeletPort(c *config.Cluster) int {
	settings := c.Kubernetes.KubeletConfiguration
	if address, set := settings["healthzBindAddress"]; set && address != "127.0.0.1" && address != "0.0.0.0" {
		return 0
	}
	switch port := settings["healthzPort"].(type) {
	case int64:
		return int(port)
	case float64:
		return int(port)
	}
	return 10248
}
