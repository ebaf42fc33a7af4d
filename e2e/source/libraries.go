package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
)

// checkLibraries reports shared libraries that programs of the tree need but that are not in the tree.
func checkLibraries(t tree) error {
	have := map[string]bool{}
	for name := range t {
		have[path.Base(name)] = true
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(t)) {
		body := t[name].body
		if !bytes.HasPrefix(body, []byte(elf.ELFMAG)) {
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(body))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		libraries, err := f.ImportedLibraries()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		for _, library := range libraries {
			if !have[library] {
				errs = append(errs, fmt.Errorf("%s needs %s, which is in no package", name, library))
			}
		}
	}
	return errors.Join(errs...)
}
