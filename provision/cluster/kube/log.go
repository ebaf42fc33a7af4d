package kube

import (
	"io"
	"log/slog"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// RedirectLogs discards what client-go logs beside the errors that it returns,
// and writes each warning of the API server to w once.
func RedirectLogs(w io.Writer) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	rest.SetDefaultWarningHandler(rest.NewWarningWriter(w, rest.WarningWriterOptions{Deduplicate: true}))
}
