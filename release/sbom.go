package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// sbom describes the binary of an archive as a CycloneDX document: the program, the
// modules that its build information and that of the embedded probes name, and the
// standard library. It depends only on its arguments.
func (r releaser) sbom(b build, binarySum [32]byte, modules []module) ([]byte, error) {
	main := cyclonedx.Component{
		BOMRef: packageURL(ownModule, r.version), PackageURL: packageURL(ownModule, r.version),
		Type: cyclonedx.ComponentTypeApplication, Name: "slipway", Version: r.version,
		Licenses: licenseChoices([]string{"Apache-2.0"}),
		Hashes:   sha256Of(binarySum[:]),
		Properties: &[]cyclonedx.Property{
			{Name: "slipway:file", Value: b.target.binary()},
			{Name: "slipway:target", Value: b.target.String()},
		},
	}
	components, err := componentsOf(append(slices.Clone(b.probes), b.info), modules)
	if err != nil {
		return nil, err
	}
	dependencies := []cyclonedx.Dependency{{Ref: main.BOMRef, Dependencies: &[]string{}}}
	for _, c := range components {
		*dependencies[0].Dependencies = append(*dependencies[0].Dependencies, c.BOMRef)
	}
	bom := cyclonedx.NewBOM()
	// A name-based UUID: the same binary has the same number.
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(main.PackageURL+"#"+hex.EncodeToString(binarySum[:]))).URN()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: r.modified.UTC().Format(time.RFC3339),
		Tools: &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{
			{Type: cyclonedx.ComponentTypeApplication, Name: "make release", Group: "slipway", Version: r.version},
		}},
		Component: &main,
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	var out bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := encoder.EncodeVersion(bom, cyclonedx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("write the SBOM for %s: %w", b.target, err)
	}
	return out.Bytes(), nil
}

// ownModule is the path of the module of slipway.
const ownModule = "slipway.io/slipway"

// componentsOf lists the modules in the programs and the standard library, sorted.
func componentsOf(programs []*debug.BuildInfo, modules []module) ([]cyclonedx.Component, error) {
	found := map[string]cyclonedx.Component{}
	for _, program := range programs {
		standard := debug.Module{Path: standardLibrary, Version: strings.TrimPrefix(program.GoVersion, "go")}
		for _, dependency := range append([]*debug.Module{&standard}, program.Deps...) {
			c, err := componentOf(dependency, modules)
			if err != nil {
				return nil, err
			}
			found[c.BOMRef] = c
		}
	}
	var components []cyclonedx.Component
	for _, ref := range slices.Sorted(maps.Keys(found)) {
		components = append(components, found[ref])
	}
	return components, nil
}

func componentOf(linked *debug.Module, modules []module) (cyclonedx.Component, error) {
	i := slices.IndexFunc(modules, func(m module) bool { return m.path == linked.Path })
	if i < 0 {
		return cyclonedx.Component{}, fmt.Errorf("no license of %s is known", linked.Path)
	}
	ids, err := licensesOf(modules[i])
	if err != nil {
		return cyclonedx.Component{}, err
	}
	c := cyclonedx.Component{
		BOMRef: packageURL(linked.Path, linked.Version), PackageURL: packageURL(linked.Path, linked.Version),
		Type: cyclonedx.ComponentTypeLibrary, Name: linked.Path, Version: linked.Version,
		Scope: cyclonedx.ScopeRequired, Licenses: licenseChoices(ids),
	}
	// The sum in go.sum is the SHA-256 of the sums of the files of the module.
	if sum, found := strings.CutPrefix(linked.Sum, "h1:"); found {
		raw, err := base64.StdEncoding.DecodeString(sum)
		if err != nil {
			return cyclonedx.Component{}, fmt.Errorf("read the sum of %s: %w", linked.Path, err)
		}
		c.Hashes = sha256Of(raw)
	}
	return c, nil
}

// packageURL identifies a module as https://github.com/package-url/purl-spec does. Go
// modules have no other characters to escape than the plus sign of a version.
func packageURL(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

func sha256Of(sum []byte) *[]cyclonedx.Hash {
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
}

// licenseChoices lists licenses that all apply.
func licenseChoices(ids []string) *cyclonedx.Licenses {
	var choices cyclonedx.Licenses
	for _, id := range ids {
		choices = append(choices, cyclonedx.LicenseChoice{License: &cyclonedx.License{ID: id}})
	}
	return &choices
}
