//go:build tools

// Package flannel pins the Flannel daemon.
package flannel

import (
	_ "github.com/flannel-io/flannel"
)
