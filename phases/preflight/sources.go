package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/report/check"
	"slipway.io/slipway/provision/sources"
)

// sourcesCheck is the name of the check of what the inventory says about sources.
const sourcesCheck = "sources"

// sourceChecks are about the servers from which binaries and images come.
func sourceChecks() []Check {
	return []Check{{
		Description: check.Description{
			Name: sourcesCheck, Title: "CAs, credentials and proxies of this computer can be used", Kind: check.AllHosts, Severity: check.Error,
			Examines: "The files in artifacts.caFile and containerd.mirrors[].caFile, the credentials in Docker's configuration that " +
				"containerd.mirrors[].copyCredentials wants to copy, and the proxies in the environment of slipway.",
			Why: "Without them, hosts do not pull images that are not in the bundle. A proxy in the environment is also used by kubectl, " +
				"also for the API server.",
			Manual: []string{"openssl x509 -in CA_FILE -noout -subject", "docker login REGISTRY", "env | grep -i _proxy"},
		},
		run: func(cc *checkContext) []check.Finding {
			return slices.Concat(unreadableCAs(cc.cluster), cc.login, cc.environmentProxy())
		},
	}}
}

// unreadableCAs are the files that slipway cannot copy to hosts, or trust itself.
func unreadableCAs(c *config.Cluster) []check.Finding {
	var found []check.Finding
	seen := map[string]bool{"": true}
	examine := func(field, path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		if _, err := sources.ReadCAs(path); err != nil {
			found = append(found, check.Finding{Evidence: fmt.Sprintf("%s: %v", field, err), Fix: "correct " + field})
		}
	}
	examine("artifacts.caFile", c.Artifacts.CAFile)
	for i, m := range c.Containerd.Mirrors {
		examine(fmt.Sprintf("containerd.mirrors[%d].caFile", i), m.CAFile)
	}
	return found
}

// readLogins looks for the credentials of mirrors. A credential helper may take time.
func (cc *checkContext) readLogins(ctx context.Context) {
	for _, m := range cc.cluster.Containerd.Mirrors {
		if !m.CopyCredentials {
			continue
		}
		for _, endpoint := range m.Endpoints {
			_, err := cc.credentials.Authorization(ctx, endpoint)
			if err == nil {
				continue
			}
			fix := "correct Docker's configuration, or remove copyCredentials from the mirror"
			var missing *sources.NoLoginError
			if errors.As(err, &missing) {
				fix = missing.Remedy()
			}
			cc.login = append(cc.login, check.Finding{Evidence: fmt.Sprintf("mirror of %s: %v", m.Registry, err), Fix: fix})
		}
	}
}

// environmentProxy reports a proxy in the environment that programs on this computer would
// also use for the API server.
func (cc *checkContext) environmentProxy() []check.Finding {
	used, exceptions := cc.credentials.EnvironmentProxy()
	if used == "" {
		return nil
	}
	var missing []string
	for _, want := range cc.apiAddresses() {
		if !exempt(exceptions, want) {
			missing = append(missing, want)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []check.Finding{{
		Severity: check.Warning,
		Evidence: fmt.Sprintf("kubectl on this computer would use the proxy %s for the API server: NO_PROXY does not have %s", withoutPassword(used), names(missing)),
		Fix:      "export NO_PROXY=" + strings.Join(append(nonEmpty(exceptions), missing...), ","),
	}}
}

// apiAddresses are where people reach the API server.
func (cc *checkContext) apiAddresses() []string {
	if endpoint := cc.cluster.EndpointHost(); endpoint != "" {
		return []string{endpoint}
	}
	for _, h := range cc.hosts.ControlPlanes() {
		if addr, err := h.NodeIP(); err == nil {
			return []string{addr.String()}
		}
	}
	return nil
}
