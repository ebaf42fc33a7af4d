package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// built is what the build information of a binary and of a probe say.
func built() build {
	return build{
		target: target{"windows", "arm64"},
		info: &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
			{Path: "github.com/docker/cli", Version: "v29.7.2+incompatible", Sum: "h1:e+xYrA2jzg0NlcgJNdl20jq9ouDYSPlPi3nWCmaijQ4="},
			{Path: "github.com/cyphar/filepath-securejoin", Version: "v0.6.1"},
			{Path: "golang.org/x/sys", Version: "v0.49.0"},
		}},
		probes: []*debug.BuildInfo{{GoVersion: "go1.26.8", Deps: []*debug.Module{
			{Path: "golang.org/x/sys", Version: "v0.49.0"},
			{Path: "example.org/only-in-the-probe", Version: "v1.0.0"},
		}}},
	}
}

// licensed are the modules of built, under one license each except the second.
func licensed(t *testing.T) []module {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	apache, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	one := []text{{"LICENSE", string(apache)}}
	return []module{
		{path: "github.com/docker/cli", version: "v29.7.2+incompatible", texts: one},
		{path: "github.com/cyphar/filepath-securejoin", version: "v0.6.1", texts: append([]text{{"COPYING", isc}}, one...)},
		{path: "golang.org/x/sys", version: "v0.49.0", texts: append([]text{{"PATENTS", "a grant"}}, one...)},
		{path: "example.org/only-in-the-probe", version: "v1.0.0", texts: one},
		{path: "std", texts: one},
	}
}

func TestSBOMFollowsTheSchemaOfCycloneDX(t *testing.T) {
	t.Parallel()
	sbom, err := testReleaser(t).sbom(built(), sha256.Sum256([]byte("binary")), licensed(t))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(sbom))
	if err != nil {
		t.Fatal(err)
	}
	if err := cycloneDXSchema(t).Validate(document); err != nil {
		t.Errorf("%v\n%s", err, sbom)
	}
	// The schema finds mistakes.
	document.(map[string]any)["serialNumber"] = "1"
	if err := cycloneDXSchema(t).Validate(document); err == nil {
		t.Error("the schema accepts a wrong serial number")
	}
}

// cycloneDXSchema compiles the schema that the module of the library contains.
func cycloneDXSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		file, err := os.Open(filepath.Join(strings.TrimSpace(string(out)), "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		schema, err := jsonschema.UnmarshalJSON(file)
		if err != nil {
			t.Fatal(err)
		}
		// The schemas refer to each other by these addresses.
		address := "http://cyclonedx.org/schema/" + strings.Replace(name, "schemax", "schema", 1)
		if err := compiler.AddResource(address, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSBOMListsModulesWithVersionsLicensesAndSums(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("binary"))
	sbom, err := testReleaser(t).sbom(built(), sum, licensed(t))
	if err != nil {
		t.Fatal(err)
	}
	type component struct {
		Name, Version, Purl string
		Hashes              []struct{ Alg, Content string }
		Licenses            []struct{ License struct{ ID string } }
	}
	var got struct {
		SpecVersion, SerialNumber string
		Metadata                  struct {
			Timestamp string
			Component component
		}
		Components   []component
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(sbom, &got); err != nil {
		t.Fatal(err)
	}
	const binarySum = "9a3a45d01531a20e89ac6ae10b0b0beb0492acd7216a368aa062d1a5fecaf9cd"
	if got.Metadata.Component.Version != "v0.1.0" || got.Metadata.Component.Hashes[0].Content != binarySum || got.Metadata.Timestamp != "2026-03-14T15:09:26Z" {
		t.Errorf("the program is described as %+v", got.Metadata)
	}
	var lines, refs []string
	for _, c := range got.Components {
		line := c.Purl
		for _, l := range c.Licenses {
			line += " " + l.License.ID
		}
		for _, h := range c.Hashes {
			line += " " + h.Alg + ":" + h.Content
		}
		lines, refs = append(lines, line), append(refs, c.Purl)
	}
	want := []string{
		"pkg:golang/example.org/only-in-the-probe@v1.0.0 Apache-2.0",
		"pkg:golang/github.com/cyphar/filepath-securejoin@v0.6.1 Apache-2.0 ISC",
		"pkg:golang/github.com/docker/cli@v29.7.2%2Bincompatible Apache-2.0 SHA-256:7bec58ac0da3ce0d0d95c80935d976d23abda2e0d848f94f8b79d60a66a28d0e",
		"pkg:golang/golang.org/x/sys@v0.49.0 Apache-2.0",
		"pkg:golang/std@1.26.8 Apache-2.0",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("components (+), want (-):\n%s", diff)
	}
	if len(got.Dependencies) != 1 || !cmp.Equal(refs, got.Dependencies[0].DependsOn) {
		t.Errorf("the program depends on %v", got.Dependencies)
	}
	again, err := testReleaser(t).sbom(built(), sum, licensed(t))
	if err != nil || !bytes.Equal(sbom, again) {
		t.Errorf("the same binary has another SBOM: %v", err)
	}
	other, err := testReleaser(t).sbom(built(), sha256.Sum256([]byte("another binary")), licensed(t))
	if err != nil || strings.Contains(string(other), got.SerialNumber) {
		t.Errorf("another binary has the same serial number: %v", err)
	}
}

func TestUnlistedModulesFailARelease(t *testing.T) {
	t.Parallel()
	modules := licensed(t)
	if err := allListed(built().info, modules); err != nil {
		t.Error(err)
	}
	modules[2].version = "v0.48.0"
	if err := allListed(built().info, modules); err == nil || !strings.Contains(err.Error(), "golang.org/x/sys v0.49.0") {
		t.Errorf("another version of a module is accepted: %v", err)
	}
	if err := allListed(built().info, modules[:2]); err == nil {
		t.Error("a module without a license is accepted")
	}
}
