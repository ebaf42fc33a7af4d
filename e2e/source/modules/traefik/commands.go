//go:build tools

// Package traefik pins the ingress controller.
package traefik

import _ "github.com/traefik/traefik/v3/cmd/traefik"
