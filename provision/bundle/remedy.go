package bundle

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"slipway.io/slipway/provision/sources"
)

// Remedy says what to do about a download or a pull that failed; empty if the error is
// another one.
func Remedy(err error) string {
	var (
		proxy     *sources.ProxyError
		authority x509.UnknownAuthorityError
		refused   *transport.Error
		download  *DownloadError
		request   *url.Error
		stalled   *sources.StallError
		busy      *sources.StatusError
	)
	const guide = "rerun to resume; for a network with a proxy, mirrors or a CA of its own, see docs/sources.md"
	switch {
	case errors.As(err, &proxy):
		return proxy.Remedy()
	case errors.As(err, &authority):
		return "if your network has a CA of its own, set artifacts.caFile in the inventory or pass --ca-file"
	case errors.As(err, &refused) && refused.Request != nil && (refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden):
		return "docker login " + refused.Request.URL.Host
	case errors.As(err, &download), errors.As(err, &request), errors.As(err, &refused), errors.As(err, &stalled), errors.As(err, &busy):
		return guide
	}
	return ""
}
