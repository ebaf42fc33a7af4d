package ssh

import (
	"context"

	"slipway.io/slipway/provision/host"
)

// Upload sends files as one tar stream a directory.
func (h *Host) Upload(ctx context.Context, blobs ...host.Blob) error {
	return h.options.Sender.Send(ctx, h, blobs)
}
