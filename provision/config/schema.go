package config

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of an inventory, with which
// editors complete and check one. It is generated from the types and says less
// than Parse does: what depends on two fields is not in it.
func Schema() []byte { return slices.Clone(schema) }
