package runtime

import (
	"context"
	"io/fs"
	"path"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

const (
	proxyDropIn = string(facts.ContainerdProxy)
	// proxyFile has the variables: systemd shows those in a unit to all users, and a proxy
	// may have credentials.
	proxyFile = "/etc/containerd/proxy.env"
)

// proxyFiles give containerd the proxy of the inventory. systemd does not read
// /etc/environment.
func proxyFiles(p sources.Proxy) []host.File {
	if !p.Used() {
		return nil
	}
	text := "# Written by slipway; changes are overwritten.\n"
	for _, variable := range p.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		text += name + "='" + value + "'\n"
	}
	return []host.File{
		{Path: proxyFile, Content: []byte(text), Mode: fs.FileMode(0o600), Secret: p.Secret()},
		{Path: proxyDropIn, Content: templates.File("runtime/proxy.conf")},
	}
}

// deleteProxy deletes the proxy of containerd if the inventory has none any more. It
// returns what it deletes.
func deleteProxy(ctx context.Context, s *workflow.Step) ([]string, error) {
	if s.Proxy().Used() || !s.Facts().Exists(facts.ContainerdProxy) {
		return nil, nil
	}
	gone := []string{proxyDropIn, proxyFile}
	if err := host.Remove(ctx, s, gone...); err != nil {
		return nil, err
	}
	_, err := s.Run(ctx, host.Cmd{Argv: []string{"rmdir", "--ignore-fail-on-non-empty", path.Dir(proxyDropIn)}, Sudo: true})
	return gone, err
}
