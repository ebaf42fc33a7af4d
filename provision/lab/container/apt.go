package container

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/localhost"
)

// aptMirror is the mirror from which apt of localhost gets the main component of a
// suite. apt parses its sources, in all their formats.
func aptMirror(ctx context.Context, suite string) (string, error) {
	out, err := localhost.Run(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	if err != nil {
		return "", fmt.Errorf("read the apt sources: %w", err)
	}
	if mirror := mirrorOf(string(out), suite); mirror != "" {
		return mirror, nil
	}
	return "", fmt.Errorf("apt on this computer has no source for %s: add one to /etc/apt/sources.list", suite)
}

// mirrorOf finds a suite in lines of "URI release component".
func mirrorOf(targets, suite string) string {
	for line := range strings.Lines(targets) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[1] == suite && fields[2] == "main" {
			return fields[0]
		}
	}
	return ""
}

// aptProxy is the environment with which debootstrap uses the proxy of apt.
func aptProxy(ctx context.Context) []string {
	out, err := localhost.Run(ctx, "apt-config", "shell", "proxy", "Acquire::http::Proxy")
	if err != nil {
		return nil
	}
	// apt-config quotes for the shell: proxy='http://proxy.example:3128'
	value, found := strings.CutPrefix(strings.TrimSpace(string(out)), "proxy=")
	value = strings.Trim(value, "'")
	if !found || value == "" || value == "DIRECT" {
		return nil
	}
	return []string{"http_proxy=" + value}
}
