package preflight

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const company = `
hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]
containerd:
  mirrors: [{registry: docker.io, endpoints: ["https://m.example:5000", "https://n.example"], copyCredentials: true, caFile: /nonexistent/m.pem}]
artifacts: {caFile: /nonexistent/ca.pem}
`

type logins map[string]authn.AuthConfig

func (l logins) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if login, found := l[r.RegistryStr()]; found {
		return authn.FromConfig(login), nil
	}
	return authn.Anonymous, nil
}

// foundIn are the findings of the check, one line for each.
func foundIn(t *testing.T, inventory string, credentials sources.Credentials) []string {
	t.Helper()
	fixture := workflowtest.New(t, inventory)
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts, credentials: credentials}
	cc.readLogins(t.Context())
	var lines []string
	for _, r := range cc.report(Selection{Only: []string{sourcesCheck}}).Checks {
		for _, f := range r.Findings {
			lines = append(lines, string(f.Severity)+": "+f.Evidence+"; "+f.Fix)
		}
	}
	return lines
}

func TestSourcesThatCannotBeUsedAreFound(t *testing.T) {
	t.Parallel()
	env := func(name string) string {
		return map[string]string{"HTTPS_PROXY": "http://me:hunter2@p.example:3128", "NO_PROXY": "localhost"}[name]
	}
	got := foundIn(t, company, sources.Credentials{Env: env, Registries: logins{"n.example": {Username: "me", Password: "pw"}}})
	want := []string{
		"error: artifacts.caFile: /nonexistent/ca.pem: no such file or directory; correct artifacts.caFile",
		"error: containerd.mirrors[0].caFile: /nonexistent/m.pem: no such file or directory; correct containerd.mirrors[0].caFile",
		"error: mirror of docker.io: Docker's configuration has no credentials of m.example:5000; docker login m.example:5000",
		"warning: kubectl on this computer would use the proxy http://me:xxxxx@p.example:3128 for the API server: NO_PROXY does not have 192.0.2.11; export NO_PROXY=localhost,192.0.2.11",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOrdinarySourcesHaveNoFindings(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"no proxy":                     nil,
		"a proxy with the exception":   {"https_proxy": "http://p.example:3128", "no_proxy": "192.0.2.0/24"},
		"a proxy for plain HTTP alone": {"http_proxy": "http://p.example:3128"},
	} {
		if got := foundIn(t, two, sources.Credentials{Env: func(name string) string { return env[name] }}); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// The repositories of a host are asked as the package manager will be: through the proxy.
func TestRepositoriesAreAskedThroughTheProxy(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two+"proxy: {httpProxy: 'http://p.example:3128'}\n")
	asked := &asking{Host: fixture.Host("cp-1")}
	cc := &checkContext{cluster: fixture.Cluster, hosts: fixture.Hosts}
	cc.repositoryProblem(t.Context(), &workflow.Host{Config: fixture.Cluster.Hosts[0], Conn: asked}, []string{"haproxy"})
	if asked.cmd.String() != "repository.sh haproxy" || strings.Contains(strings.Join(asked.cmd.Argv, " "), "p.example") {
		t.Errorf("asked by %q", asked.cmd.Argv)
	}
	if !strings.Contains(asked.stdin, "https_proxy=http://p.example:3128\n") {
		t.Errorf("the standard input is %q", asked.stdin)
	}
}

// asking records a query.
type asking struct {
	host.Host
	cmd   host.Cmd
	stdin string
}

func (a *asking) Query(_ context.Context, cmd host.Cmd) (host.Result, error) {
	text, err := io.ReadAll(cmd.Stdin)
	a.cmd, a.stdin = cmd, string(text)
	return host.Result{}, err
}
