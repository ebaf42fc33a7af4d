//go:build tools

// Package flannelcniplugin pins the CNI plugin of Flannel as it was when it was part of
// the plugins of containernetworking: its own repository is not to be had as a module.
package flannelcniplugin

import (
	_ "github.com/containernetworking/plugins/plugins/meta/flannel"
)
