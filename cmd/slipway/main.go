// Command slipway installs and operates Kubernetes clusters over SSH.
package main

import (
	"os"

	"slipway.io/slipway/cmd"
	"slipway.io/slipway/provision/cluster/kube"
)

func main() {
	kube.RedirectLogs(os.Stderr)
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
