package vagrant

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kevinburke/ssh_config"
	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/ssh"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/retry"
)

// answerTimeout is the time until a machine that Vagrant has booted answers at its
// private address.
const answerTimeout = time.Minute

// login is how Vagrant logs in to a machine, possibly through a forwarded port.
type login struct {
	address, user, identityFile string
	port                        int
}

// identify reads the login and the host keys of each new machine, and verifies that
// all machines answer with a known key at their private addresses.
func (s *session) identify(ctx context.Context, machines []*machine) error {
	known, err := readKnownHosts(s.knownHostsPath())
	if err != nil {
		return err
	}
	var unknown []*machine
	for _, m := range machines {
		if m.IdentityFile == "" || known[m.Address] == nil {
			unknown = append(unknown, m)
		}
	}
	if len(unknown) > 0 {
		if err := s.readAllHostKeys(ctx, unknown, known); err != nil {
			return err
		}
		if err := errors.Join(s.writeKnownHosts(known), s.settings.write(s.dir)); err != nil {
			return err
		}
	}
	return lab.Each(machines, func(m *machine) error { return s.waitForSSH(ctx, *m) })
}

// readAllHostKeys sets the logins of machines, and adds their keys to known.
func (s *session) readAllHostKeys(ctx context.Context, unknown []*machine, known map[netip.Addr][]string) error {
	logins, err := s.logins(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards known
	return lab.Each(unknown, func(m *machine) error {
		l, found := logins[m.Name]
		if !found {
			return fmt.Errorf("%s: not in the output of vagrant ssh-config", m.Name)
		}
		s.Logf(m.Name, "reads its host keys and addresses")
		keys, err := s.readHostKeys(ctx, *m, l)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		m.User, m.IdentityFile = l.user, l.identityFile
		mu.Lock()
		defer mu.Unlock()
		known[m.Address] = keys
		return nil
	})
}

// logins reads how Vagrant logs in to the machines.
func (s *session) logins(ctx context.Context) (map[string]login, error) {
	lines, err := s.run(ctx, false, "ssh-config")
	if err != nil {
		return nil, err
	}
	logins := map[string]login{}
	for _, t := range lines {
		if t.Type != "ssh-config" || len(t.Data) == 0 {
			continue
		}
		if logins[t.Target], err = readLogin(t.Target, t.Data[0]); err != nil {
			return nil, fmt.Errorf("vagrant ssh-config: %s: %w", t.Target, err)
		}
	}
	return logins, nil
}

// readLogin parses the ssh_config of a machine.
func readLogin(name, text string) (login, error) {
	parsed, err := ssh_config.Decode(strings.NewReader(text))
	if err != nil {
		return login{}, err
	}
	get := func(key string) string {
		value, _ := parsed.Get(name, key) // fails only for Match, which Vagrant does not write
		return strings.Trim(value, `"`)
	}
	port, err := strconv.Atoi(get("Port"))
	if err != nil {
		return login{}, fmt.Errorf("port: %w", err)
	}
	l := login{address: get("HostName"), user: get("User"), identityFile: get("IdentityFile"), port: port}
	if l.address == "" || l.user == "" || l.identityFile == "" {
		return login{}, errors.New("HostName, User or IdentityFile is missing")
	}
	return l, nil
}

// hostKeysScript prints the public host keys and the IPv4 addresses of a machine.
const hostKeysScript = `cat /etc/ssh/ssh_host_*_key.pub; echo --; ip -4 -o address show | awk '{ print $4 }'`

// readHostKeys logs in to a new machine as Vagrant does, and returns its host keys.
// This first connection accepts any key that is among the machine's own keys. All
// later ones require a known key.
func (s *session) readHostKeys(ctx context.Context, m machine, l login) ([]string, error) {
	temp, err := os.MkdirTemp(s.dir, ".first-login-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	options := ssh.Options{
		Name: m.Name, Address: l.address, Port: l.port, User: l.user, IdentityFile: l.identityFile, IdentitiesOnly: true,
		KnownHostsFile: filepath.Join(temp, "known_hosts"), AcceptNewHostKeys: true,
	}
	conn, err := ssh.New(options)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	got, err := conn.Query(ctx, host.Cmd{Name: "read host keys and addresses", Argv: []string{"sh", "-c", hostKeysScript}})
	if err != nil {
		return nil, err
	}
	keys, addresses, err := parseKeys(string(got.Stdout))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(addresses, m.Address) {
		return nil, fmt.Errorf("no interface has the private address %s, only %v: set up the private network with `vagrant reload %s` in %s", m.Address, addresses, m.Name, s.dir)
	}
	shown, err := os.ReadFile(options.KnownHostsFile)
	if err != nil {
		return nil, err
	}
	_, _, key, _, _, err := gossh.ParseKnownHosts(shown)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(keys, authorized(key)) {
		return nil, fmt.Errorf("the host key %s is not in its /etc/ssh: another machine answers at this address", gossh.FingerprintSHA256(key))
	}
	return keys, nil
}

// parseKeys parses the output of hostKeysScript.
func parseKeys(text string) (keys []string, addresses []netip.Addr, err error) {
	before, after, found := strings.Cut(text, "--\n")
	if !found {
		return nil, nil, fmt.Errorf("host keys and addresses: unexpected output %q", text)
	}
	for line := range strings.Lines(before) {
		key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, nil, fmt.Errorf("host key %q: %w", line, err)
		}
		keys = append(keys, authorized(key))
	}
	for line := range strings.Lines(after) {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(line))
		if err != nil {
			return nil, nil, err
		}
		addresses = append(addresses, prefix.Addr())
	}
	return keys, addresses, nil
}

// waitForSSH waits until a machine answers at its private address with a known host
// key.
func (s *session) waitForSSH(ctx context.Context, m machine) error {
	return retry.Until(ctx, fmt.Sprintf("SSH to %s at %s", m.Name, m.Address), func(ctx context.Context) error {
		conn, err := m.lab().Dial(ctx, s.knownHostsPath())
		var refused *host.HostKeyError
		switch {
		case errors.As(err, &refused):
			return retry.Stop(fmt.Errorf("%w; if you recreated the machine yourself, remove its lines from %s", err, s.knownHostsPath()))
		case err != nil:
			return err
		}
		return conn.Close()
	}, retry.Options{Timeout: answerTimeout})
}
