// Package sources reaches the servers from which binaries, images and packages come:
// through a proxy, with the CA of a company, and with credentials, which are not in the
// inventory.
package sources

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Credentials finds what the inventory does not have. The zero value finds nothing.
type Credentials struct {
	// Env returns a variable of slipway's environment.
	Env func(string) string
	// Registries has the credentials of registries.
	Registries authn.Keychain
}

// Local has the credentials in the environment and in Docker's configuration, with its
// credential helpers.
func Local() Credentials {
	return Credentials{Env: os.Getenv, Registries: authn.DefaultKeychain}
}

func (c Credentials) env(names ...string) string {
	if c.Env == nil {
		return ""
	}
	for _, name := range names {
		if value := c.Env(name); value != "" {
			return value
		}
	}
	return ""
}

// Keychain has the credentials of registries.
func (c Credentials) Keychain() authn.Keychain {
	if c.Registries == nil {
		return authn.NewMultiKeychain()
	}
	return c.Registries
}

// NoLoginError reports a registry without usable credentials in Docker's configuration.
type NoLoginError struct {
	Registry string
	// Reason is why those in the configuration are not usable; empty if there are none.
	Reason string
}

func (e *NoLoginError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("the credentials of %s in Docker's configuration %s", e.Registry, e.Reason)
	}
	return fmt.Sprintf("Docker's configuration has no credentials of %s", e.Registry)
}

// Remedy is the command that creates usable credentials.
func (e *NoLoginError) Remedy() string { return "docker login " + e.Registry }

// Authorization returns the value of the header Authorization for a registry, by the URL
// of its endpoint.
func (c Credentials) Authorization(ctx context.Context, endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	registry, err := name.NewRegistry(u.Host)
	if err != nil {
		return "", err
	}
	found, err := authn.Resolve(ctx, c.Keychain(), registry)
	if err != nil {
		return "", fmt.Errorf("credentials of %s in Docker's configuration: %w", u.Host, err)
	}
	login, err := authn.Authorization(ctx, found)
	switch {
	case err != nil:
		return "", fmt.Errorf("credentials of %s in Docker's configuration: %w", u.Host, err)
	case login.Username != "" && login.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(login.Username+":"+login.Password)), nil
	case login.Auth != "":
		return "Basic " + login.Auth, nil
	case login.RegistryToken != "":
		return "Bearer " + login.RegistryToken, nil
	case login.IdentityToken != "":
		return "", &NoLoginError{u.Host, "are an identity token, which containerd cannot use: log in with a password or an access token"}
	}
	return "", &NoLoginError{Registry: u.Host}
}
