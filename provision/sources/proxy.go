package sources

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

// Variables with the credentials of the proxy.
const (
	UsernameVariable = "SLIPWAY_PROXY_USERNAME"
	PasswordVariable = "SLIPWAY_PROXY_PASSWORD"
)

// Proxy is the proxy of an inventory, with its credentials.
type Proxy struct {
	// HTTP and HTTPS are the URLs for http and https; empty: no proxy.
	HTTP, HTTPS string
	// NoProxy is reached without the proxy.
	NoProxy []string
	// passwords are in the URLs.
	passwords []string
}

// Proxy returns the proxy of the inventory with the credentials of the environment.
func (c Credentials) Proxy(cluster *config.Cluster) Proxy {
	if !cluster.Proxy.Used() {
		return Proxy{}
	}
	p := Proxy{NoProxy: cluster.NoProxy()}
	p.HTTP = c.withLogin(cluster.Proxy.HTTPProxy, &p.passwords)
	p.HTTPS = c.withLogin(cluster.Proxy.HTTPSProxy, &p.passwords)
	return p
}

// EnvironmentProxy returns the proxy for https in the environment, and what it is not used
// for.
func (c Credentials) EnvironmentProxy() (proxy, exceptions string) {
	return c.env("HTTPS_PROXY", "https_proxy"), c.env("NO_PROXY", "no_proxy")
}

// withLogin adds the credentials of the environment to the URL of a proxy: those of
// SLIPWAY_PROXY_USERNAME, else those of the environment's proxy with the same address. A
// URL that has credentials keeps them.
func (c Credentials) withLogin(address string, passwords *[]string) string {
	u, err := parseProxy(address)
	if err != nil || u.Host == "" {
		return address
	}
	if u.User == nil {
		u.User = c.login(u)
	}
	if u.User == nil {
		return address
	}
	if password, set := u.User.Password(); set && password != "" {
		_, encoded, _ := strings.Cut(u.User.String(), ":")
		for _, secret := range []string{password, encoded} {
			if !slices.Contains(*passwords, secret) {
				*passwords = append(*passwords, secret)
			}
		}
	}
	return u.String()
}

func (c Credentials) login(proxy *url.URL) *url.Userinfo {
	if name := c.env(UsernameVariable); name != "" {
		return url.UserPassword(name, c.env(PasswordVariable))
	}
	for _, variable := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if u, err := parseProxy(c.env(variable)); err == nil && u.User != nil && address(u) == address(proxy) {
			return u.User
		}
	}
	return nil
}

// parseProxy parses the URL of a proxy. As in programs that read HTTP_PROXY, the scheme
// may be left out.
func parseProxy(text string) (*url.URL, error) {
	if text != "" && !strings.Contains(text, "://") {
		text = "http://" + text
	}
	return url.Parse(text)
}

// SameProxy reports whether two URLs of proxies have the same host and port.
func SameProxy(a, b string) bool {
	x, err1 := parseProxy(a)
	y, err2 := parseProxy(b)
	return err1 == nil && err2 == nil && x.Host != "" && y.Host != "" && address(x) == address(y)
}

// WithoutLogin returns the URL of a proxy without its credentials.
func WithoutLogin(text string) string {
	u, err := parseProxy(text)
	if err != nil {
		return "http://proxy.example:3128"
	}
	u.User = nil
	return u.String()
}

// address is the host and the port of a proxy.
func address(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[proxy.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(proxy.Hostname()), port)
}

// Used reports whether there is a proxy.
func (p Proxy) Used() bool { return p.HTTP != "" || p.HTTPS != "" }

// Secret reports whether the URLs have credentials.
func (p Proxy) Secret() bool { return len(p.passwords) > 0 }

// Environment returns the variables of the proxy, "HTTPS_PROXY=http://proxy.example:3128";
// none without a proxy.
func (p Proxy) Environment() []string {
	if !p.Used() {
		return nil
	}
	var variables []string
	for _, v := range []struct{ name, value string }{
		{"HTTP_PROXY", p.HTTP}, {"HTTPS_PROXY", p.HTTPS}, {"NO_PROXY", strings.Join(p.NoProxy, ",")},
	} {
		if v.value != "" {
			variables = append(variables, v.name+"="+v.value)
		}
	}
	return variables
}

// Through returns a script with the variables of the proxy in its environment. The
// variables are its standard input, where others on the host cannot read them.
func (p Proxy) Through(script host.Cmd) (host.Cmd, error) {
	if !p.Used() {
		return script, nil
	}
	text, err := io.ReadAll(script.Stdin)
	if err != nil {
		return script, err
	}
	var variables bytes.Buffer
	for _, v := range p.Environment() {
		name, value, _ := strings.Cut(v, "=")
		// libcurl reads http_proxy in lower case only.
		variables.WriteString(strings.ToLower(name) + "=" + value + "\n" + v + "\n")
	}
	arguments := script.Argv[slices.Index(script.Argv, "--")+1:]
	cmd := script
	cmd.Name = script.String()
	cmd.Argv = append([]string{
		"sh", "-c", string(templates.Script("hostprep/with-environment.sh")), "with-environment.sh",
		"sh", "-c", string(text), script.Name,
	}, arguments...)
	cmd.Stdin = &variables
	cmd.Secret = slices.Concat(script.Secret, p.passwords)
	return cmd, nil
}
