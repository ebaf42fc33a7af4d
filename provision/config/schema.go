package config

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of an inventory for editors. It
// is generated from the types. Rules that concern two fields are only in Parse.
func Schema() []byte { return slices.Clone(schema) }
