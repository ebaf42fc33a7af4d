package sources

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// inventory is a cluster of one host, with more sections.
func inventory(t *testing.T, sections string) *config.Cluster {
	t.Helper()
	c, err := config.Parse(filepath.Join(t.TempDir(), "inventory.yaml"), []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]
`+sections))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestTheProxyGetsTheCredentialsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	const section = "proxy: {httpProxy: 'http://p.example:3128', noProxy: [.example]}"
	tests := map[string]struct {
		env    map[string]string
		want   string
		secret bool
	}{
		"none":      {nil, "http://p.example:3128", false},
		"variables": {map[string]string{UsernameVariable: "me", PasswordVariable: "p@ss/w'd"}, "http://me:p%40ss%2Fw%27d@p.example:3128", true},
		"a name":    {map[string]string{UsernameVariable: "me"}, "http://me:@p.example:3128", false},
		"those of the same proxy in the environment": {
			map[string]string{"HTTP_PROXY": "http://you:other@q.example:3128", "https_proxy": "you:pw@P.example:3128"},
			"http://you:pw@p.example:3128", true,
		},
		"those of another port": {map[string]string{"HTTPS_PROXY": "http://you:pw@p.example:8080"}, "http://p.example:3128", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Credentials{Env: environment(test.env)}.Proxy(inventory(t, section))
			want := []string{
				"HTTP_PROXY=" + test.want, "HTTPS_PROXY=" + test.want,
				"NO_PROXY=localhost,127.0.0.0/8,192.0.2.11,10.244.0.0/16,10.96.0.0/12,.svc,.cluster.local,.example",
			}
			if diff := cmp.Diff(want, p.Environment()); diff != "" {
				t.Error(diff)
			}
			if p.Secret() != test.secret {
				t.Errorf("secret: %v", p.Secret())
			}
		})
	}
	if p := (Credentials{Env: environment(tests["variables"].env)}).Proxy(inventory(t, "")); p.Used() || p.Environment() != nil {
		t.Errorf("without a proxy: %+v", p)
	}
}

// The script runs for real: it sees the variables, and nobody else does.
func TestAScriptGetsTheProxyInItsEnvironment(t *testing.T) {
	t.Parallel()
	c := Credentials{Env: environment(map[string]string{UsernameVariable: "me", PasswordVariable: `$(touch x) "'\`})}
	p := c.Proxy(inventory(t, "proxy: {httpProxy: 'http://p.example:3128'}"))
	script := host.Script("packages.sh", []byte("set -eu\necho \"$1 $2\"\nenv | grep -i proxy | sort\ncat\n"), "haproxy", "a b")
	cmd, err := p.Through(script)
	if err != nil {
		t.Fatal(err)
	}
	if got := cmd.String(); got != "packages.sh haproxy 'a b'" {
		t.Errorf("the journal and logs have %s", got)
	}
	if strings.Contains(strings.Join(cmd.Argv, " "), "p.example") || !cmd.Sudo {
		t.Errorf("the arguments are %q", cmd.Argv)
	}
	const encoded = "%24%28touch%20x%29%20%22%27%5C"
	for _, secret := range []string{encoded, `$(touch x) "'\`} {
		if got := host.Redact("x "+secret, cmd.Secret); strings.Contains(got, secret) && secret != encoded {
			t.Errorf("a log would have %s", got)
		}
	}
	cmd.Sudo = false
	res, err := hosttest.Local{}.Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	if len(lines) != 7 || lines[0] != "haproxy a b" || !strings.HasPrefix(lines[1], "HTTPS_PROXY=http://me:") || !strings.HasPrefix(lines[4], "http_proxy=http://me:") && !strings.HasPrefix(lines[5], "http_proxy=http://me:") {
		t.Errorf("the script printed %q", lines)
	}
	same, err := Proxy{}.Through(script)
	if err != nil || !cmp.Equal(same.Argv, script.Argv) {
		t.Errorf("without a proxy: %q, %v", same.Argv, err)
	}
}

// proxyServer is a proxy that demands credentials, for CONNECT and other requests.
type proxyServer struct {
	*httptest.Server
	mu        sync.Mutex
	connected []string
}

func newProxyServer(t *testing.T, userinfo *url.Userinfo) *proxyServer {
	t.Helper()
	p := &proxyServer{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		password, _ := userinfo.Password()
		login := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		if u, pw, ok := login.BasicAuth(); !ok || u != userinfo.Username() || pw != password {
			w.Header().Set("Proxy-Authenticate", `Basic realm="company"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		p.mu.Lock()
		p.connected = append(p.connected, r.Method+" "+r.Host)
		p.mu.Unlock()
		if r.Method != http.MethodConnect {
			_, _ = io.WriteString(w, "from the proxy")
			return
		}
		if r.Host == "forbidden.example:443" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		server, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}))
	t.Cleanup(p.Close)
	return p
}

func TestDownloadsGoThroughTheProxyAndTrustTheCA(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	// The loopback would be exempt from the proxy: the name of the server is one that only
	// its certificate knows.
	proxy := newProxyServer(t, url.UserPassword("me", "pw"))
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	section := "proxy: {httpProxy: '" + proxy.URL + "'}\nartifacts: {caFile: " + ca + "}\n"
	login := map[string]string{UsernameVariable: "me", PasswordVariable: "pw"}
	tests := map[string]struct {
		section string
		env     map[string]string
		url     string
		want    string
	}{
		"a proxy without credentials": {section, nil, "https://x.example/", "the proxy HOST demands credentials: 407 Proxy Authentication Required"},
		"a proxy with others":         {section, map[string]string{UsernameVariable: "me", PasswordVariable: "no"}, "https://x.example/", "the proxy HOST refuses the credentials: 407"},
		"a proxy for http":            {section, nil, "http://x.example/", "the proxy demands credentials: 407"},
		"a proxy for http, logged in": {section, login, "http://x.example/", ""},
		"a server that is forbidden":  {section, login, "https://forbidden.example/", "the proxy HOST does not connect to forbidden.example:443: 403 Forbidden"},
		"a server that is away":       {section, login, "https://x.invalid/", "the proxy HOST does not connect to x.invalid:443: 502 Bad Gateway"},
		"a server without the proxy":  {"artifacts: {caFile: " + ca + "}\n", nil, server.URL, ""},
		"a server without the CA":     {"", nil, server.URL, "certificate signed by unknown authority"},
		"the proxy of the environment": {"", map[string]string{
			"https_proxy": strings.Replace(proxy.URL, "http://", "http://me:pw@", 1),
		}, "https://forbidden.example/", "does not connect to forbidden.example:443: 403 Forbidden"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := Credentials{Env: environment(test.env)}.Client(inventory(t, test.section))
			if err != nil {
				t.Fatal(err)
			}
			client.Transport = Watch(client.Transport, 10*time.Second)
			resp, err := client.Get(test.url)
			if err == nil {
				_ = resp.Body.Close()
			}
			want := strings.ReplaceAll(test.want, "HOST", strings.TrimPrefix(proxy.URL, "http://"))
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// A request to another name than the loopback's goes through the tunnel of the proxy.
func TestTLSGoesThroughTheTunnelOfTheProxy(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(server.Close)
	proxy := newProxyServer(t, url.UserPassword("me", "pw"))
	c := Credentials{Env: environment(map[string]string{UsernameVariable: "me", PasswordVariable: "pw"})}
	choose := c.proxyFunc(inventory(t, "proxy: {httpProxy: '"+proxy.URL+"'}"))
	client, err := c.Client(inventory(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	transport.Proxy = func(r *http.Request) (*url.URL, error) {
		elsewhere := r.Clone(r.Context())
		elsewhere.URL.Host = "x.example"
		return choose(elsewhere)
	}
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := strings.Join(proxy.connected, "\n"); got != "CONNECT "+strings.TrimPrefix(server.URL, "https://") {
		t.Errorf("the proxy connected %s", got)
	}
}

func TestAFileWithAuthoritiesHasOnlyCertificates(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for text, want := range map[string]string{
		"":                           "no certificate in PEM",
		"certificate":                "no certificate in PEM",
		certificate:                  "",
		"# our CA\n" + certificate:   "",
		certificate + certificate:    "",
		certificate + key:            "unexpected PRIVATE KEY: only certificates are allowed",
		pemOf("CERTIFICATE", "what"): "certificate 1: x509: malformed certificate",
	} {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadCAs(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := ReadCAs("/nonexistent/ca.pem"); err == nil || err.Error() != "/nonexistent/ca.pem: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func pemOf(kind, content string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(content)}))
}

var key = pemOf("PRIVATE KEY", "secret")

type keychain map[string]authn.AuthConfig

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	login, found := k[r.RegistryStr()]
	if !found {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(login), nil
}

func TestCredentialsOfRegistriesAreThoseOfDocker(t *testing.T) {
	t.Parallel()
	c := Credentials{Registries: keychain{
		"m.example:5000": {Username: "me", Password: "pw"}, "token.example": {IdentityToken: "abc"}, "bearer.example": {RegistryToken: "abc"},
	}}
	for endpoint, want := range map[string]string{"https://m.example:5000/v2/proxy": "Basic bWU6cHc=", "https://bearer.example": "Bearer abc"} {
		if got, err := c.Authorization(t.Context(), endpoint); err != nil || got != want {
			t.Errorf("%s: got %q, %v", endpoint, got, err)
		}
	}
	for endpoint, want := range map[string]string{
		"https://other.example": "Docker's configuration has no credentials of other.example",
		"https://token.example": "the credentials of token.example in Docker's configuration are an identity token, which containerd cannot use: log in with a password or an access token",
	} {
		_, err := c.Authorization(t.Context(), endpoint)
		var missing *NoLoginError
		if !errors.As(err, &missing) || err.Error() != want || missing.Remedy() != "docker login "+strings.TrimPrefix(endpoint, "https://") {
			t.Errorf("%s: got %v", endpoint, err)
		}
	}
	if _, err := (Credentials{}).Authorization(t.Context(), "https://m.example"); err == nil {
		t.Error("the zero value has credentials")
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "7": 7 * time.Second, "Mon, 30 Nov 2026 12:00:09 GMT": 9 * time.Second, "Mon, 30 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}
