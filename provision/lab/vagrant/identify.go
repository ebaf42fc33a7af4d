package vagrant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kevinburke/ssh_config"
	"github.com/skeema/knownhosts"
	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/ssh"
	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
	"slipway.io/slipway/provision/retry"
)

// answerTimeout is how long a machine that Vagrant has booted may take until it
// answers at its private address.
const answerTimeout = time.Minute

// login is how Vagrant itself reaches a machine, which may be a port that the
// provider forwards.
type login struct {
	address, user, identityFile string
	port                        int
}

// identify learns of each machine how to log in and which host keys it has, and
// proves that it answers with one of them at its private address. A machine
// whose keys are known is only asked whether it still has them.
func (s *session) identify(ctx context.Context) error {
	known, err := readKnownHosts(s.knownHostsPath())
	if err != nil {
		return err
	}
	var strangers []*machine
	for i, m := range s.settings.Machines {
		if m.IdentityFile == "" || known[m.Address] == nil {
			strangers = append(strangers, &s.settings.Machines[i])
		}
	}
	if len(strangers) > 0 {
		if err := s.meetAll(ctx, strangers, known); err != nil {
			return err
		}
		if err := errors.Join(s.writeKnownHosts(known), s.settings.write(s.dir)); err != nil {
			return err
		}
	}
	return lab.Each(s.settings.Machines, func(m machine) error { return s.answers(ctx, m) })
}

// meetAll fills in how to log in to machines, and their keys.
func (s *session) meetAll(ctx context.Context, strangers []*machine, known map[netip.Addr][]string) error {
	logins, err := s.logins(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards known
	return lab.Each(strangers, func(m *machine) error {
		l, found := logins[m.Name]
		if !found {
			return fmt.Errorf("%s: vagrant ssh-config does not have it", m.Name)
		}
		s.Say(m.Name, "reads its host keys and addresses")
		keys, err := s.meet(ctx, *m, l)
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

// logins asks Vagrant how it reaches the machines.
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

// readLogin reads one machine's part of ssh_config.
func readLogin(name, text string) (login, error) {
	parsed, err := ssh_config.Decode(strings.NewReader(text))
	if err != nil {
		return login{}, err
	}
	get := func(key string) string {
		value, _ := parsed.Get(name, key) // an error is that of a Match, which Vagrant does not write
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

// readKeys prints the public host keys and the IPv4 addresses of a machine.
const readKeys = `cat /etc/ssh/ssh_host_*_key.pub; echo --; ip -4 -o address show | awk '{ print $4 }'`

// meet logs in to a machine for the first time, the way that Vagrant goes, and
// gives the lines of its host keys. There the key that it shows is taken as it
// is, and must be among those that the machine says it has; nothing else is
// ever reached without one that is known.
func (s *session) meet(ctx context.Context, m machine, l login) ([]string, error) {
	first, err := os.MkdirTemp(s.dir, ".first-contact-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(first)
	options := ssh.Options{
		Name: m.Name, Address: l.address, Port: l.port, User: l.user, IdentityFile: l.identityFile, IdentitiesOnly: true,
		KnownHostsFile: filepath.Join(first, "known_hosts"), AcceptNewHostKeys: true,
	}
	conn, err := ssh.Dial(ctx, options)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	got, err := conn.Query(ctx, host.Cmd{Name: "read host keys and addresses", Argv: []string{"sh", "-c", readKeys}})
	if err != nil {
		return nil, err
	}
	keys, addresses, err := parseKeys(string(got.Stdout))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(addresses, m.Address) {
		return nil, fmt.Errorf("no interface has its private address %s; it has %v: did Vagrant set up the private network? "+
			"try `vagrant reload %s` in %s", m.Address, addresses, m.Name, s.dir)
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
		return nil, fmt.Errorf("it showed the host key %s, which is not among those in its /etc/ssh", gossh.FingerprintSHA256(key))
	}
	return keys, nil
}

// authorized is a key as a line of an authorized_keys file, without a comment.
func authorized(key gossh.PublicKey) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}

// parseKeys reads what readKeys prints.
func parseKeys(text string) (keys []string, addresses []netip.Addr, err error) {
	before, after, found := strings.Cut(text, "--\n")
	if !found {
		return nil, nil, fmt.Errorf("its host keys and addresses cannot be read from %q", text)
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

// answers waits until a machine answers at its private address, with a host
// key that is known.
func (s *session) answers(ctx context.Context, m machine) error {
	return retry.Until(ctx, fmt.Sprintf("SSH to %s at %s", m.Name, m.Address), func(ctx context.Context) error {
		conn, err := ssh.Dial(ctx, ssh.Options{
			Name: m.Name, Address: m.Address.String(), User: m.User, IdentityFile: m.IdentityFile, IdentitiesOnly: true,
			KnownHostsFile: s.knownHostsPath(),
		})
		var refused *host.HostKeyError
		switch {
		case errors.As(err, &refused):
			return retry.Stop(fmt.Errorf("%w; if you recreated the machine by hand, remove its lines from %s", err, s.knownHostsPath()))
		case err != nil:
			return err
		}
		return conn.Close()
	}, retry.Options{Timeout: answerTimeout})
}

func (s *session) knownHostsPath() string { return (&lab.Lab{Dir: s.dir}).KnownHostsFile() }

// readKnownHosts reads the keys of each address.
func readKnownHosts(path string) (map[netip.Addr][]string, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	known := map[netip.Addr][]string{}
	for len(content) > 0 {
		_, hosts, key, _, rest, err := gossh.ParseKnownHosts(content)
		if errors.Is(err, io.EOF) {
			break // nothing but blank lines follow
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

// writeKnownHosts writes the keys of the lab's machines, in their order.
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
