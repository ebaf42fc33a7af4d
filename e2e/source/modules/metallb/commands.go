//go:build tools

// Package metallb pins the load balancer's controller and speaker.
package metallb

import (
	_ "go.universe.tf/metallb/controller"
	_ "go.universe.tf/metallb/speaker"
)
