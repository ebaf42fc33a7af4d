package endpoint

import (
	"context"
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/version"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/workflow"
)

// oldestHAProxy is the first release with all of haproxy.cfg.tmpl: `http-request return`.
const oldestHAProxy = "2.2"

// "HAProxy version 2.6.12-1+deb12u1 2023/12/16", and "HA-Proxy version" before 2.4.
var haproxyVersion = regexp.MustCompile(`^HA-?Proxy version (\d+\.\d+)`)

// recent returns an error if the haproxy of the host is too old. A version that is not
// known is not too old.
func recent(ctx context.Context, s *workflow.Step) error {
	if s.Planning() && !s.Facts().Command(string(distro.HAProxy)) {
		return nil // apply installs it first
	}
	// /usr/sbin is not in the PATH of other users than root.
	res, err := s.Query(ctx, host.Cmd{Argv: []string{"haproxy", "-v"}, Sudo: true})
	if err != nil {
		return err
	}
	found := haproxyVersion.FindSubmatch(res.Stdout)
	if found == nil {
		return nil
	}
	have, err := version.ParseGeneric(string(found[1]))
	if err != nil || have.AtLeast(version.MustParseGeneric(oldestHAProxy)) {
		return nil
	}
	return workflow.WithHint(
		fmt.Errorf("haproxy %s is too old: the configuration needs %s or later", found[1], oldestHAProxy),
		"install a newer haproxy, or set controlPlane.loadBalancer.type to kube-vip or external before the cluster is created")
}
