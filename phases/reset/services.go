package reset

import (
	"context"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host/journal"
	"slipway.io/slipway/provision/workflow"
)

const keepalivedService = "keepalived.service"

// packaged are the services whose packages stay on a host, in the order in which they
// stop: keepalived releases the address of the endpoint while haproxy still serves it.
// The scripts of the journal record their state before slipway.
var packaged = []string{keepalivedService, "haproxy.service"}

// changed returns those of the packaged services that slipway has changed on a host, also
// if the run was killed after it had installed the package.
func changed(entries []journal.Entry) []string {
	return slices.DeleteFunc(slices.Clone(packaged), func(service string) bool {
		name := strings.TrimSuffix(service, ".service")
		return !slices.ContainsFunc(entries, func(e journal.Entry) bool {
			return strings.HasPrefix(e.Path, "/etc/"+name+"/") || slices.Contains(strings.Fields(e.Run), name)
		})
	})
}

// stopServices stops services before their files are deleted or restored.
func stopServices(ctx context.Context, s *workflow.Step, services []string) error {
	if len(services) == 0 {
		return nil
	}
	address := ""
	c := s.Cluster()
	if slices.Contains(services, keepalivedService) && c.ControlPlane.LoadBalancer.Type == config.LoadBalancerKeepalived {
		address = c.EndpointHost()
	}
	return run(ctx, s, "stop-services.sh", append([]string{journal.Dir, address}, services...)...)
}
