package main

import (
	"bytes"
	_ "embed"
	"maps"
	"slices"
	"strings"
	"text/template"

	"slipway.io/slipway/provision/bundle"
)

//go:embed catalogue.yaml.tmpl
var catalogueTemplate string

// render returns the text of a catalogue, with the comments and the order of catalogue.yaml.
func render(c bundle.Catalogue) ([]byte, error) {
	t, err := template.New("catalogue.yaml").Funcs(template.FuncMap{"newestFirst": newestFirst, "join": strings.Join}).Parse(catalogueTemplate)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.Execute(&text, c)
	return text.Bytes(), err
}

// newestFirst returns the versions that have sums.
func newestFirst(sums map[string]map[string]string) []string {
	versions := slices.Collect(maps.Keys(sums))
	versions = slices.DeleteFunc(versions, func(v string) bool { return len(sums[v]) == 0 })
	slices.SortFunc(versions, func(a, b string) int { return bundle.CompareVersions(b, a) })
	return versions
}
