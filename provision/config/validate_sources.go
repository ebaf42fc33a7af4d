package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// dockerLogin is where credentials of registries come from.
const dockerLogin = "remove them: slipway takes the credentials of registries from Docker's configuration (docker login)"

func (v *validator) mirror(at string, i int, m Mirror) {
	if strings.Contains(m.Registry, "/") {
		v.report(at+".registry", "write the first part of image references, such as docker.io",
			"%q is not the name of a registry", m.Registry)
	}
	first := slices.IndexFunc(v.c.Containerd.Mirrors, func(o Mirror) bool { return o.Registry == m.Registry })
	if m.Registry != "" && first < i {
		v.report(at+".registry", "list all endpoints there", "duplicate registry %s; first defined in %s",
			m.Registry, item("containerd.mirrors", first))
	}
	for j, endpoint := range m.Endpoints {
		at := item(at+".endpoints", j)
		switch u, err := webURL(endpoint); {
		case err != nil || strings.Contains(endpoint, "'"):
			v.report(at, "write a URL, such as https://mirror.example:5000", "%q is not a URL", withoutPassword(endpoint))
		case u.User != nil:
			v.report(at, "remove them; with copyCredentials: true, slipway copies those of `docker login` to the hosts",
				"the URL of %s has credentials", u.Host)
		}
	}
}

func (v *validator) artifacts() {
	for from, to := range v.c.Artifacts.Rewrites {
		if err := CheckRewrite(from, to); err != nil {
			v.report(child("artifacts.rewrites", withoutPassword(from)), rewriteRemedy(err), "%v", err)
		}
	}
	for registry, mirror := range v.c.Artifacts.Registries {
		if err := CheckRegistryMirror(registry, mirror); err != nil {
			v.report(child("artifacts.registries", withoutPassword(registry)), registryRemedy(err), "%v", err)
		}
	}
}

// errCredentials: a value has credentials, which do not belong there.
var errCredentials = errors.New("credentials")

// CheckRewrite returns an error unless both sides are prefixes of URLs.
func CheckRewrite(from, to string) error {
	for _, prefix := range []string{from, to} {
		switch u, err := webURL(prefix); {
		case err != nil:
			return fmt.Errorf("%q is not a URL prefix", withoutPassword(prefix))
		case u.User != nil:
			return fmt.Errorf("the URL of %s has %w", u.Host, errCredentials)
		}
	}
	return nil
}

func rewriteRemedy(err error) string {
	if errors.Is(err, errCredentials) {
		return "remove them: the credentials of a mirror of files are not supported"
	}
	return "write two URL prefixes, such as https://github.com/: https://mirror.example/github/"
}

// CheckRegistryMirror returns an error unless registry is the name of a registry and
// mirror that of another one, with or without a path. A mirror without TLS begins with
// http://.
func CheckRegistryMirror(registry, mirror string) error {
	if _, err := name.NewRegistry(registry, name.StrictValidation); err != nil || strings.Contains(registry, "/") {
		return fmt.Errorf("%q is not the name of a registry", withoutPassword(registry))
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(mirror, "http://"), "/")
	host, _, _ := strings.Cut(bare, "/")
	if strings.Contains(host, "@") {
		return fmt.Errorf("the mirror of %s has %w", registry, errCredentials)
	}
	_, err := name.NewRegistry(host, name.StrictValidation)
	if _, err2 := name.NewRepository(bare+"/image", name.StrictValidation); err != nil || err2 != nil || strings.Contains(bare, "://") {
		return fmt.Errorf("%q is not a registry with or without a path", mirror)
	}
	return nil
}

func registryRemedy(err error) string {
	if errors.Is(err, errCredentials) {
		return dockerLogin
	}
	return "write the name of a registry and its mirror, such as registry.k8s.io: mirror.example:5000/k8s"
}

// proxy checks the proxy of slipway and of the hosts.
func (v *validator) proxy() {
	p := v.c.Proxy
	for field, value := range map[string]string{"proxy.httpProxy": p.HTTPProxy, "proxy.httpsProxy": p.HTTPSProxy} {
		if value != "" && (field == "proxy.httpProxy" || value != p.HTTPProxy) {
			v.proxyURL(field, value)
		}
	}
	if len(p.NoProxy) > 0 && p.HTTPSProxy == "" {
		v.report("proxy.noProxy", "add httpProxy, or remove it", "there is no proxy")
	}
	for i, entry := range p.NoProxy {
		if entry == "" || strings.ContainsAny(entry, ", \t\r\n'\"\\$") || strings.Contains(entry, "://") {
			v.report(item("proxy.noProxy", i), "write one name, domain (.example), address or range (192.0.2.0/24) for each entry",
				"%q is not an entry of NO_PROXY", entry)
		}
	}
}

func (v *validator) proxyURL(at, value string) {
	const remedy = "write a URL such as http://proxy.example:3128"
	u, err := webURL(value)
	switch {
	case err != nil:
		v.report(at, remedy, "%q is not a URL", withoutPassword(value))
	case u.User != nil:
		v.report(at, "remove them, and set SLIPWAY_PROXY_USERNAME and SLIPWAY_PROXY_PASSWORD in the environment of slipway",
			"the URL of %s has credentials", u.Host)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || !plainHost(u.Host):
		v.report(at, remedy, "%q has more than a host and a port", value)
	}
}

// plainHost reports whether a host and a port have only characters that mean nothing to a
// shell or to systemd.
func plainHost(host string) bool {
	return !strings.ContainsFunc(host, func(r rune) bool { return !strings.ContainsRune(".-:[]_", r) && !isWord(string(r)) })
}

// webURL parses the URL of an HTTP server.
func webURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err == nil && (u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https") {
		err = errors.New("not a URL")
	}
	return u, err
}

// withoutPassword returns text for messages: what may be a password is left out.
func withoutPassword(s string) string {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		scheme, rest = "", s
	} else {
		scheme += "://"
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = "..." + rest[at:]
	}
	return scheme + rest
}

// Used reports whether there is a proxy.
func (p Proxy) Used() bool { return p.HTTPProxy != "" || p.HTTPSProxy != "" }

// NoProxy returns what is reached without the proxy: the loopback, the hosts, the
// endpoint, pods and Services with their domain, and proxy.noProxy.
func (c *Cluster) NoProxy() []string {
	all := []string{"localhost", "127.0.0.0/8"}
	for _, h := range c.Hosts {
		all = append(all, h.Address, h.NodeIP)
	}
	all = append(all, c.EndpointHost(), c.Network.PodSubnet, c.Network.ServiceSubnet, ".svc", "."+c.Network.DNSDomain)
	all = append(all, c.Proxy.NoProxy...)
	var list []string
	for _, entry := range all {
		if entry != "" && !slices.Contains(list, entry) {
			list = append(list, entry)
		}
	}
	return list
}
