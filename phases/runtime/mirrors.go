package runtime

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/sources"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// mirrorHost is an endpoint in hosts.toml.
type mirrorHost struct {
	Endpoint   string
	SkipVerify bool
	// OverridePath: the path of the endpoint is the root of the API.
	OverridePath bool
	// CA is the path of certificates on the host. Authorization is the value of that
	// header. Both may be empty.
	CA, Authorization string
}

// mirrorFiles returns the hosts.toml of each mirrored registry, and the CAs of its
// mirrors. Credentials are a header: containerd removes registry.configs.auth in 2.4, and
// sends the headers of hosts.toml to token servers too.
func mirrorFiles(ctx context.Context, mirrors []config.Mirror, credentials sources.Credentials) ([]host.File, error) {
	var files []host.File
	for _, m := range mirrors {
		dir := certsDir + "/" + m.Registry
		var hosts []mirrorHost
		ca := ""
		for _, endpoint := range m.Endpoints {
			h := mirrorHost{Endpoint: endpoint, SkipVerify: m.SkipVerify, OverridePath: rootOfAPI(endpoint)}
			// With a CA, containerd would try TLS at an http endpoint, too.
			if m.CAFile != "" && !m.SkipVerify && strings.HasPrefix(endpoint, "https://") {
				ca = dir + "/ca.pem"
				h.CA = ca
			}
			if m.CopyCredentials {
				var err error
				if h.Authorization, err = credentials.Authorization(ctx, endpoint); err != nil {
					return nil, workflow.WithHint(fmt.Errorf("mirror of %s: %w", m.Registry, err), "see the preflight check sources")
				}
			}
			hosts = append(hosts, h)
		}
		if ca != "" {
			certificates, err := sources.ReadCAs(m.CAFile)
			if err != nil {
				return nil, fmt.Errorf("mirror of %s: caFile: %w", m.Registry, err)
			}
			files = append(files, host.File{Path: ca, Content: certificates})
		}
		content, err := templates.Render("runtime/hosts.toml.tmpl", map[string]any{"Registry": m.Registry, "Hosts": hosts})
		if err != nil {
			return nil, err
		}
		file := host.File{Path: dir + "/hosts.toml", Content: content}
		if m.CopyCredentials {
			file.Mode, file.Secret = fs.FileMode(0o600), true
		}
		files = append(files, file)
	}
	return files, nil
}

// rootOfAPI reports whether the path of an endpoint is below /v2, as in
// https://mirror.example:5000/v2/hub. containerd adds /v2 to other paths.
func rootOfAPI(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && strings.Contains(strings.TrimSuffix(u.Path, "/"), "/v2/")
}

// deleteMirrors deletes the configuration of mirrors that are no longer in the
// inventory. containerd does not look at _default for a registry that has a
// directory, so that an empty one is deleted too. An administrator's files stay.
func deleteMirrors(ctx context.Context, s *workflow.Step) error {
	var dirs, files []string
	for _, registry := range s.Facts().Software.Mirrors {
		if slices.ContainsFunc(s.Cluster().Containerd.Mirrors, func(m config.Mirror) bool { return m.Registry == registry }) {
			continue
		}
		dirs = append(dirs, certsDir+"/"+registry)
		files = append(files, certsDir+"/"+registry+"/hosts.toml", certsDir+"/"+registry+"/ca.pem")
	}
	if len(files) == 0 {
		return nil
	}
	if err := host.Remove(ctx, s, files...); err != nil {
		return err
	}
	_, err := s.Run(ctx, host.Cmd{Argv: append([]string{"rmdir", "--ignore-fail-on-non-empty"}, dirs...), Sudo: true})
	return err
}
