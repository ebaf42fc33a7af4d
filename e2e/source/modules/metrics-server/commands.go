//go:build tools

// Package metricsserver pins the server of resource metrics.
package metricsserver

import _ "sigs.k8s.io/metrics-server/cmd/metrics-server"
