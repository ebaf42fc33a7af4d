//go:build tools

// Package coredns pins the CoreDNS server with its default plugins.
package coredns

import (
	_ "github.com/coredns/coredns"
)
