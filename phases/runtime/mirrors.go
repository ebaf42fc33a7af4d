package runtime

import (
	"context"
	"slices"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// mirrorFiles returns the hosts.toml of each mirrored registry.
func mirrorFiles(mirrors []config.Mirror) ([]host.File, error) {
	var files []host.File
	for _, m := range mirrors {
		content, err := templates.Render("runtime/hosts.toml.tmpl", m)
		if err != nil {
			return nil, err
		}
		files = append(files, host.File{Path: certsDir + "/" + m.Registry + "/hosts.toml", Content: content})
	}
	return files, nil
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
		files = append(files, certsDir+"/"+registry+"/hosts.toml")
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
