package preflight

import (
	"context"
	"strings"
	"sync"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/distro"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// balancerPackages returns the packages that a host needs for the load balancer of the
// endpoint.
func balancerPackages(c *config.Cluster, h config.Host) []distro.Package {
	plane := h.Has(config.RoleControlPlane)
	switch kind := c.ControlPlane.LoadBalancer.Type; {
	case kind == config.LoadBalancerKeepalived && plane:
		return []distro.Package{distro.HAProxy, distro.Keepalived}
	case kind == config.LoadBalancerLocal && !h.Has(config.RoleEtcd):
		return []distro.Package{distro.HAProxy}
	}
	return nil
}

// lacking returns those of the packages whose programs the host does not have.
func lacking(f *facts.Facts, packages []distro.Package) []distro.Package {
	var missing []distro.Package
	for _, p := range packages {
		if !f.Command(string(p)) {
			missing = append(missing, p)
		}
	}
	return missing
}

// readRepositories finds out which hosts cannot install the packages that they lack. It
// asks no host that lacks none.
func (cc *checkContext) readRepositories(ctx context.Context) {
	cc.repositories, cc.moreModules = map[string]string{}, map[string]string{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	ask := func(h *workflow.Host, problems map[string]string, packages []string) {
		if len(packages) == 0 {
			return
		}
		wait.Go(func() {
			problem := cc.repositoryProblem(ctx, h, packages)
			mu.Lock()
			defer mu.Unlock()
			problems[h.Config.Name] = problem
		})
	}
	for _, h := range cc.reachable() {
		family, err := distro.Of(h.Facts().OS)
		if err != nil { // the check distribution reports it
			continue
		}
		ask(h, cc.repositories, family.Names(lacking(h.Facts(), balancerPackages(cc.cluster, h.Config))...))
		ask(h, cc.moreModules, cc.missingModules(h, family))
	}
	wait.Wait()
}

// missingModules returns the package with modules that apply installs on a host.
func (cc *checkContext) missingModules(h *workflow.Host, family distro.Family) []string {
	f := h.Facts()
	extra := family.MoreModules(f.Kernel)
	if extra == "" || len(f.Lacking(cc.cluster.KernelModules(h.Config))) == 0 || f.FixedKernel() {
		return nil
	}
	return []string{extra}
}

// repositoryProblem returns why the host cannot install the packages; empty if it can.
func (cc *checkContext) repositoryProblem(ctx context.Context, h *workflow.Host, packages []string) string {
	cmd, err := cc.credentials.Proxy(cc.cluster).Through(host.Script("repository.sh", templates.Script("preflight/repository.sh"), packages...))
	if err != nil {
		return err.Error()
	}
	res, err := h.Conn.Query(ctx, cmd)
	if err != nil {
		return "the package manager does not work: " + err.Error()
	}
	return strings.ReplaceAll(strings.TrimSpace(string(res.Stdout)), "\n", "; ")
}
