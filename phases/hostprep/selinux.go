package hostprep

import (
	"context"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// haproxyBoolean of SELinux's policy lets haproxy use any port.
const haproxyBoolean = "haproxy_connect_any"

// SELinux permits haproxy to use the port of the endpoint and those of the API servers.
func SELinux() workflow.Phase {
	return workflow.Phase{
		Name:  "selinux",
		Title: "permit haproxy the ports of the API servers",
		Why: "The policy of SELinux confines the haproxy of the distribution to the ports of web servers: it can neither listen " +
			"on the port of the endpoint nor connect to the API servers. Hosts without SELinux are not changed.",
		Manual:  []string{"setsebool -P haproxy_connect_any on"},
		On:      workflow.Nodes,
		Needs:   []string{"lock"},
		Enabled: (*config.Cluster).HAProxy,
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			on, known := s.Facts().SELinuxBooleans[haproxyBoolean]
			return on || !known, nil
		},
		Do: func(ctx context.Context, s *workflow.Step) error {
			_, err := s.Run(ctx, host.Cmd{
				Argv: []string{"setsebool", "-P", haproxyBoolean, "on"},
				Undo: []string{"setsebool", "-P", haproxyBoolean, "off"},
				Sudo: true,
			})
			return workflow.WithHint(err, "dnf install -y policycoreutils, which has setsebool")
		},
	}
}
