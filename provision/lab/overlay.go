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

// overlayFile keeps the overlay for the next time.
func (l *Lab) overlayFile() string { return filepath.Join(l.Dir, "overlay.yaml") }

// overlay is the one that a spec has, or the one that was kept.
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

// overlaid lays sections over an inventory. What the lab knows better than
// anybody is not to be changed.
func overlaid(inventory, overlay []byte) ([]byte, error) {
	var over, under map[string]any
	if err := yaml.Unmarshal(overlay, &over); err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	if len(over) == 0 {
		return inventory, nil
	}
	for _, section := range []string{"apiVersion", "kind", "metadata", "ssh", "hosts"} {
		if _, there := over[section]; there {
			return nil, fmt.Errorf("overlay: section %s: the lab writes it itself, take it out", section)
		}
	}
	if err := yaml.Unmarshal(inventory, &under); err != nil {
		return nil, err
	}
	content, err := yaml.Marshal(config.Merge(under, over))
	if err != nil {
		return nil, err
	}
	return append([]byte("# Written by slipway lab up, with the sections of overlay.yaml.\n"), content...), nil
}
