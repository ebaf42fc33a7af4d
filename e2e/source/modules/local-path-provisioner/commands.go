//go:build tools

// Package localpathprovisioner pins the provisioner of volumes on the nodes' own disks.
package localpathprovisioner

import _ "github.com/rancher/local-path-provisioner"
