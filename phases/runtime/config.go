package runtime

import (
	"fmt"
	"strings"

	goversion "github.com/hashicorp/go-version"
	"github.com/pelletier/go-toml/v2"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// settings are the values that containerd's configuration must have.
type settings struct {
	// major is the major version of containerd: 1.x and 2.x name their plugins
	// differently.
	major         int
	PauseImage    string
	SystemdCgroup bool
}

func settingsOf(s *workflow.Step) (settings, error) {
	pause, err := s.Bundle().Image("registry.k8s.io/pause", s.Facts().Arch)
	if err != nil {
		return settings{}, err
	}
	version, err := goversion.NewVersion(s.Bundle().Version("containerd"))
	if err != nil {
		return settings{}, fmt.Errorf("the bundle's containerd: %w", err)
	}
	return settings{
		major:         version.Segments()[0],
		PauseImage:    pause.Name,
		SystemdCgroup: s.Cluster().Containerd.CgroupDriver == "systemd",
	}, nil
}

// plugins returns the paths of the settings in a configuration of that major
// version (containerd, docs/cri/config.md).
type plugins struct {
	template                         string
	sandbox, configPath, cgroupInUse []string
}

func (w settings) plugins() plugins {
	runc := []string{"containerd", "runtimes", "runc", "options", "SystemdCgroup"}
	if w.major < 2 {
		cri := []string{"plugins", "io.containerd.grpc.v1.cri"}
		return plugins{
			template:    "runtime/config-v2.toml.tmpl",
			sandbox:     append(cri[:2:2], "sandbox_image"),
			configPath:  append(cri[:2:2], "registry", "config_path"),
			cgroupInUse: append(cri[:2:2], runc...),
		}
	}
	images := []string{"plugins", "io.containerd.cri.v1.images"}
	return plugins{
		template:    "runtime/config-v3.toml.tmpl",
		sandbox:     append(images[:2:2], "pinned_images", "sandbox"),
		configPath:  append(images[:2:2], "registry", "config_path"),
		cgroupInUse: append([]string{"plugins", "io.containerd.cri.v1.runtime"}, runc...),
	}
}

// render returns the configuration file with the settings of the inventory merged
// over it.
func (w settings) render(overrides map[string]any) ([]byte, error) {
	text, err := templates.Render(w.plugins().template, w)
	if err != nil || len(overrides) == 0 {
		return text, err
	}
	var base map[string]any
	if err := toml.Unmarshal(text, &base); err != nil {
		return nil, fmt.Errorf("%s: %w", w.plugins().template, err)
	}
	merged, err := toml.Marshal(config.Merge(base, overrides))
	if err != nil {
		return nil, fmt.Errorf("containerd.config: %w", err)
	}
	const head = "# Written by slipway, with the inventory's containerd.config merged in.\n"
	return append([]byte(head), merged...), nil
}

// compare lists the settings in which a dumped configuration differs.
func (w settings) compare(dump []byte) []string {
	var have map[string]any
	if err := toml.Unmarshal(dump, &have); err != nil {
		return []string{err.Error()}
	}
	at := w.plugins()
	var problems []string
	expect := func(path []string, want any) {
		if got := lookup(have, path); got != want {
			problems = append(problems, fmt.Sprintf("%s is %v, not %v", strings.Join(path, "."), got, want))
		}
	}
	expect(at.sandbox, w.PauseImage)
	expect(at.configPath, certsDir)
	expect(at.cgroupInUse, w.SystemdCgroup)
	if disabled, _ := have["disabled_plugins"].([]any); len(disabled) > 0 {
		for _, p := range disabled {
			if name := fmt.Sprint(p); name == "cri" || strings.HasPrefix(name, "io.containerd.cri") || name == "io.containerd.grpc.v1.cri" {
				problems = append(problems, "disabled_plugins has "+name)
			}
		}
	}
	return problems
}

// lookup returns the value at a path of nested tables; nil if there is none.
func lookup(tables map[string]any, path []string) any {
	var at any = tables
	for _, key := range path {
		table, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = table[key]
	}
	return at
}
