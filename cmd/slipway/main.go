// Command slipway turns machines that answer SSH into a Kubernetes cluster.
package main

import (
	"log/slog"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"slipway.io/slipway/cmd"
)

func main() {
	// What client-go logs beside the errors that it returns is for its
	// developers; the API server's warnings are for whoever applies something.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	rest.SetDefaultWarningHandler(rest.NewWarningWriter(os.Stderr, rest.WarningWriterOptions{Deduplicate: true}))
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
