package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/lock"
	"slipway.io/slipway/provision/host/ssh"
	"slipway.io/slipway/provision/workflow"
)

// connectionFlags are the flags of commands that connect to hosts.
func connectionFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Bool("accept-new-host-keys", false, "Add unknown host keys to known_hosts. Changed keys are always refused.")
	flags.Bool("ask-sudo-password", false, "Prompt for the sudo password. SLIPWAY_SUDO_PASSWORD sets it without a prompt.")
	flags.String("sudo-password-file", "", "Path to a file with the sudo password.")
}

// lockFlags are the flags of commands that change hosts.
func lockFlags(cmd *cobra.Command) {
	cmd.Flags().Duration("lock-timeout", lock.Expiry, "Time to wait for another slipway that works on the same hosts or cluster; 0 does not wait.")
}

// inventory loads the file that --inventory names.
func (a *app) inventory() (*config.Cluster, string, error) {
	path := a.settings.GetString("inventory")
	cluster, err := config.Load(path)
	if errors.Is(err, os.ErrNotExist) {
		err = &usageError{workflow.WithHint(err, "pass the inventory with -i, or create one with `slipway init`")}
	}
	if err != nil {
		return cluster, path, err
	}
	if catalogue := a.settings.GetString("catalogue"); catalogue != "" {
		cluster.Artifacts.Catalogue, err = filepath.Abs(catalogue)
	}
	return cluster, path, err
}

// catalogueFlag is the flag of commands that download what the catalogue lists.
func catalogueFlag(cmd *cobra.Command) {
	cmd.Flags().String("catalogue", "", "Path to a catalogue of releases. (default artifacts.catalogue of the inventory, or the one that is built in)")
}

// session is an inventory and the connections to its hosts, for one command.
type session struct {
	cluster   *config.Cluster
	inventory string
	hosts     *workflow.Hosts
	close     func()
}

// open loads the inventory. Each host is connected when it is first used.
func (a *app) open() (*session, error) {
	cluster, path, err := a.inventory()
	if err != nil {
		return nil, err
	}
	local, err := ssh.CurrentLocal(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	password, err := a.sudoPassword()
	if err != nil {
		return nil, err
	}
	sender := &host.Sender{}
	s := &session{cluster: cluster, inventory: path, hosts: &workflow.Hosts{}}
	var connections []*ssh.Host
	connect := func(h config.Host) (*ssh.Host, error) {
		options, err := ssh.OptionsFor(cluster, h, local)
		if err != nil {
			return nil, err
		}
		options.AcceptNewHostKeys = a.settings.GetBool("accept-new-host-keys")
		options.SudoPassword = password
		options.Sender = sender
		conn, err := ssh.New(options)
		if err != nil {
			return nil, err
		}
		connections = append(connections, conn)
		return conn, nil
	}
	for hosts, configured := range map[*[]*workflow.Host][]config.Host{&s.hosts.All: cluster.Hosts, &s.hosts.Leaving: cluster.Absent()} {
		for _, h := range configured {
			conn, err := connect(h)
			if err != nil {
				return nil, err
			}
			*hosts = append(*hosts, &workflow.Host{Config: h, Conn: conn})
		}
	}
	// Nothing logs in to lost hosts.
	for _, h := range cluster.Lost() {
		conn, err := connect(h)
		if err != nil {
			return nil, err
		}
		s.hosts.Lost = append(s.hosts.Lost, &workflow.LostHost{Config: h, ConnectSSH: conn.ConnectTCP})
	}
	s.close = func() {
		for _, c := range connections {
			_ = c.Close()
		}
	}
	return s, nil
}

// sudoPassword returns where the sudo password comes from, or nil. It prompts
// once, and only if a host needs a password.
func (a *app) sudoPassword() (func(context.Context) (string, error), error) {
	if path := a.settings.GetString("sudo-password-file"); path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--sudo-password-file: %w", err)}
		}
		return fixed(strings.TrimRight(string(content), "\r\n")), nil
	}
	if password := os.Getenv("SLIPWAY_SUDO_PASSWORD"); password != "" {
		return fixed(password), nil
	}
	if !a.settings.GetBool("ask-sudo-password") {
		return nil, nil
	}
	terminal, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return nil, &usageError{errors.New("--ask-sudo-password: standard input is not a terminal; use --sudo-password-file")}
	}
	ask := sync.OnceValues(func() (string, error) {
		fmt.Fprint(a.err, "sudo password: ")
		password, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(a.err)
		return string(password), err
	})
	return func(context.Context) (string, error) { return ask() }, nil
}

func fixed(password string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return password, nil }
}

// lockHolder names user, computer and process in the lock on each host.
func lockHolder() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s@%s (pid %d)", name, host, os.Getpid())
}
