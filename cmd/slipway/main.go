// Command slipway turns machines that answer SSH into a Kubernetes cluster.
package main

import (
	"os"

	"slipway.io/slipway/cmd"
)

func main() {
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
