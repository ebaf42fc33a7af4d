package vagrant

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
)

func (s *session) knownHostsPath() string { return (&lab.Lab{Dir: s.dir}).KnownHostsFile() }

// readKnownHosts reads the keys of each address, as authorized returns them.
func readKnownHosts(path string) (map[netip.Addr][]string, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	known := map[netip.Addr][]string{}
	for len(content) > 0 {
		_, hosts, key, _, rest, err := gossh.ParseKnownHosts(content)
		if errors.Is(err, io.EOF) {
			break // only blank lines remain
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		content = rest
		for _, host := range hosts {
			if address, err := netip.ParseAddr(host); err == nil {
				known[address] = append(known[address], authorized(key))
			}
		}
	}
	return known, nil
}

// writeKnownHosts writes the keys of the current machines, in their order.
func (s *session) writeKnownHosts(known map[netip.Addr][]string) error {
	var lines strings.Builder
	for _, m := range s.settings.Machines {
		for _, text := range known[m.Address] {
			key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(text))
			if err != nil {
				return err
			}
			lines.WriteString(knownhosts.Line([]string{m.Address.String()}, key) + "\n")
		}
	}
	return localhost.WriteFile(s.knownHostsPath(), []byte(lines.String()), 0o644)
}

// authorized formats a key as in authorized_keys, without a comment.
func authorized(key gossh.PublicKey) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}
