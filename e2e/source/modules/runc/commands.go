//go:build tools

// Package runc pins the OCI runtime.
package runc

import (
	_ "github.com/opencontainers/runc"
)
