package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
)

// overlayFile keeps the overlay for the next Up.
func (l *Lab) overlayFile() string { return filepath.Join(l.Dir, "overlay.yaml") }

// overlay is the overlay of a spec, or the current one of the lab.
func (l *Lab) overlay(spec Spec) ([]byte, error) {
	if spec.Overlay != nil {
		return spec.Overlay, nil
	}
	kept, err := os.ReadFile(l.overlayFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return kept, err
}

// merged merges an overlay into an inventory. The sections that describe the
// machines are the lab's alone.
func merged(inventory, overlay []byte) ([]byte, error) {
	var sections, under map[string]any
	if err := yaml.Unmarshal(overlay, &sections); err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	if len(sections) == 0 {
		return inventory, nil
	}
	for _, section := range []string{"apiVersion", "kind", "metadata", "ssh", "hosts"} {
		if _, found := sections[section]; found {
			return nil, fmt.Errorf("overlay: section %s is written by the lab: remove it", section)
		}
	}
	if err := yaml.Unmarshal(inventory, &under); err != nil {
		return nil, err
	}
	content, err := yaml.Marshal(config.Merge(under, sections))
	if err != nil {
		return nil, err
	}
	return append([]byte("# Written by slipway lab up, merged with overlay.yaml.\n"), content...), nil
}
