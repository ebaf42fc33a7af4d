package ssh

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"slipway.io/slipway/provision/config"
)

// maxJumps limits a chain of bastions, which may be a cycle in ssh_config.
const maxJumps = 8

// Local is the SSH configuration of localhost.
type Local struct {
	// Home is the home directory, User the current user's name.
	Home, User string
	// AgentSocket is SSH_AUTH_SOCK.
	AgentSocket string
	// ConfigFile is the ssh_config of the user, normally Home/.ssh/config. A
	// missing file is empty.
	ConfigFile string
	// SystemKnownHosts is read in addition to the file of the user, normally
	// /etc/ssh/ssh_known_hosts.
	SystemKnownHosts string
	// InventoryDir is the base of relative paths in the inventory.
	InventoryDir string
}

// CurrentLocal reads the configuration from the operating system.
func CurrentLocal(inventoryDir string) (Local, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return Local{}, fmt.Errorf("home directory: %w", err)
	}
	current, err := user.Current()
	if err != nil {
		return Local{}, fmt.Errorf("current user: %w", err)
	}
	return Local{
		Home: home, User: current.Username,
		AgentSocket:      os.Getenv("SSH_AUTH_SOCK"),
		ConfigFile:       filepath.Join(home, ".ssh", "config"),
		SystemKnownHosts: "/etc/ssh/ssh_known_hosts",
		InventoryDir:     inventoryDir,
	}, nil
}

// OptionsFor returns the options to reach a host. Settings of the host override
// settings of the cluster, then ssh_config for the address of the host, then the
// defaults of OpenSSH. Of ssh_config it reads User, Port, HostName, IdentityFile,
// IdentitiesOnly, UserKnownHostsFile and ProxyJump. The caller sets SudoPassword,
// Passphrase and AcceptNewHostKeys.
func OptionsFor(cluster *config.Cluster, host config.Host, local Local) (Options, error) {
	merger := merger{local: local}
	if err := merger.load(); err != nil {
		return Options{}, err
	}
	options, err := merger.options(host.Address, mergeSSH(host.SSH, cluster.SSH), 0)
	if err != nil {
		return Options{}, fmt.Errorf("%s: %w", host.Name, err)
	}
	options.Name = host.Name
	return options, nil
}

func mergeSSH(over, under config.SSH) config.SSH {
	return config.SSH{
		User:           cmp.Or(over.User, under.User),
		Port:           cmp.Or(over.Port, under.Port),
		IdentityFile:   cmp.Or(over.IdentityFile, under.IdentityFile),
		KnownHostsFile: cmp.Or(over.KnownHostsFile, under.KnownHostsFile),
		Bastion:        cmp.Or(over.Bastion, under.Bastion),
	}
}

type merger struct {
	local  Local
	config *ssh_config.Config
}

func (m *merger) load() error {
	content, err := os.ReadFile(m.local.ConfigFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && m.local.ConfigFile != "" {
		return fmt.Errorf("ssh_config: %w", err)
	}
	m.config, err = ssh_config.DecodeBytes(withoutMatch(content))
	if err != nil {
		return fmt.Errorf("%s: %w", m.local.ConfigFile, err)
	}
	return nil
}

// withoutMatch removes Match blocks, which the parser does not support. "Match all"
// is the same as "Host *".
func withoutMatch(content []byte) []byte {
	var kept strings.Builder
	skipping := false
	for line := range strings.Lines(string(content)) {
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n=", r) })
		switch {
		case len(words) > 1 && strings.EqualFold(words[0], "match") && strings.EqualFold(words[1], "all"):
			skipping, line = false, "Host *\n"
		case len(words) > 0 && strings.EqualFold(words[0], "match"):
			skipping = true
		case len(words) > 0 && strings.EqualFold(words[0], "host"):
			skipping = false
		}
		if !skipping {
			kept.WriteString(line)
		}
	}
	return []byte(kept.String())
}

// options returns the options for `ssh alias`.
func (m *merger) options(alias string, set config.SSH, jumps int) (Options, error) {
	if jumps > maxJumps {
		return Options{}, fmt.Errorf("more than %d jump hosts", maxJumps)
	}
	o := Options{
		User:           cmp.Or(set.User, m.get(alias, "User"), m.local.User),
		Port:           set.Port,
		AgentSocket:    m.local.AgentSocket,
		IdentitiesOnly: strings.EqualFold(m.get(alias, "IdentitiesOnly"), "yes"),
	}
	o.Address = cmp.Or(strings.NewReplacer("%h", alias, "%%", "%").Replace(m.get(alias, "HostName")), alias)
	o.Name = alias
	if o.Port == 0 {
		port, err := parsePort(cmp.Or(m.get(alias, "Port"), "22"))
		if err != nil {
			return Options{}, err
		}
		o.Port = port
	}
	m.identities(&o, alias, set)
	m.knownHosts(&o, alias, set)
	return o, m.bastion(&o, alias, set, jumps)
}

func (m *merger) identities(o *Options, alias string, set config.SSH) {
	o.IdentityFile = m.inventoryPath(set.IdentityFile)
	for _, file := range m.getAll(alias, "IdentityFile") {
		if !strings.EqualFold(file, "none") {
			o.DefaultIdentities = append(o.DefaultIdentities, m.sshPath(file, *o, alias))
		}
	}
	if len(o.DefaultIdentities) == 0 && o.IdentityFile == "" {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			o.DefaultIdentities = append(o.DefaultIdentities, filepath.Join(m.local.Home, ".ssh", name))
		}
	}
}

func (m *merger) knownHosts(o *Options, alias string, set config.SSH) {
	files := strings.Fields(m.get(alias, "UserKnownHostsFile"))
	for i, file := range files {
		files[i] = m.sshPath(file, *o, alias)
	}
	switch {
	case set.KnownHostsFile != "":
		files = []string{m.inventoryPath(set.KnownHostsFile)}
	case len(files) == 0:
		files = []string{filepath.Join(m.local.Home, ".ssh", "known_hosts")}
	}
	o.KnownHostsFile, o.MoreKnownHosts = files[0], files[1:]
	if m.local.SystemKnownHosts != "" {
		o.MoreKnownHosts = append(o.MoreKnownHosts, m.local.SystemKnownHosts)
	}
}

// bastion sets the last jump host of the chain as the bastion. The jump hosts
// before it are the bastions of that bastion.
func (m *merger) bastion(o *Options, alias string, set config.SSH, jumps int) error {
	chain := cmp.Or(set.Bastion, m.get(alias, "ProxyJump"))
	if strings.EqualFold(chain, "none") {
		return nil
	}
	if chain == "" {
		if command := m.get(alias, "ProxyCommand"); command != "" && !strings.EqualFold(command, "none") {
			return fmt.Errorf("ssh_config has a ProxyCommand for %s, which is not supported: use ProxyJump", alias)
		}
		return nil
	}
	before, last := "", chain
	if comma := strings.LastIndex(chain, ","); comma >= 0 {
		before, last = chain[:comma], chain[comma+1:]
	}
	jump, jumpAlias, err := parseJump(last)
	if err != nil {
		return err
	}
	jump.IdentityFile, jump.KnownHostsFile, jump.Bastion = set.IdentityFile, set.KnownHostsFile, before
	bastion, err := m.options(jumpAlias, jump, jumps+1)
	if err != nil {
		return fmt.Errorf("bastion %s: %w", last, err)
	}
	bastion.Name = "bastion " + jumpAlias
	o.Bastion = &bastion
	return nil
}

// parseJump parses "[ssh://][user@]host[:port]". An IPv6 address with a port is in
// brackets.
func parseJump(s string) (config.SSH, string, error) {
	var jump config.SSH
	rest := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "ssh://"), "/")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		jump.User, rest = rest[:at], rest[at+1:]
	}
	if host, port, err := net.SplitHostPort(rest); err == nil {
		number, err := parsePort(port)
		if err != nil {
			return jump, "", fmt.Errorf("bastion %s: %w", s, err)
		}
		jump.Port, rest = number, host
	}
	rest = strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	if rest == "" {
		return jump, "", fmt.Errorf("bastion %q: want user@host:port", s)
	}
	return jump, rest, nil
}

func parsePort(s string) (int, error) {
	port, err := strconv.Atoi(s)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("port %q: want a number from 1 to 65535", s)
	}
	return port, nil
}

func (m *merger) get(alias, key string) string {
	// Get fails only on conditional Includes, which the parser refuses.
	value, _ := m.config.Get(alias, key)
	return value
}

func (m *merger) getAll(alias, key string) []string {
	values, _ := m.config.GetAll(alias, key)
	return values
}

func (m *merger) inventoryPath(path string) string {
	path = m.expandHome(path)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(m.local.InventoryDir, path)
}

// sshPath expands ~ and the tokens %d, %u, %r, %h, %n, %p and %% of ssh_config.
func (m *merger) sshPath(path string, o Options, alias string) string {
	path = strings.NewReplacer("%d", m.local.Home, "%u", m.local.User, "%r", o.User, "%h", o.Address,
		"%n", alias, "%p", strconv.Itoa(o.Port), "%%", "%").Replace(strings.Trim(path, `"`))
	path = m.expandHome(path)
	if filepath.IsAbs(path) {
		return path
	}
	// Unlike ssh, which uses the working directory.
	return filepath.Join(m.local.Home, ".ssh", path)
}

func (m *merger) expandHome(path string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return filepath.Join(m.local.Home, strings.TrimPrefix(path, "~"))
	}
	return path
}
