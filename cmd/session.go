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

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/ssh"
	"slipway.io/slipway/provision/workflow"
)

// connectionFlags are the flags of commands that reach machines.
func connectionFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Bool("accept-new-host-keys", false, "record the host key of a machine that known_hosts does not have")
	flags.Bool("ask-sudo-password", false, "ask for the password that sudo wants (or set SLIPWAY_SUDO_PASSWORD)")
	flags.String("sudo-password-file", "", "read the password that sudo wants from this file")
}

// inventory loads the inventory that the flags name.
func (a *app) inventory() (*config.Cluster, string, error) {
	path := a.settings.GetString("inventory")
	cluster, err := config.Load(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", &usageError{fmt.Errorf("%w; name the inventory with -i, or write one with `slipway init`", err)}
	}
	return cluster, path, err
}

// hosts is all machines of the inventory. They are connected when they are
// first needed.
func (a *app) hosts(cluster *config.Cluster, inventory string) (*workflow.Hosts, func(), error) {
	local, err := ssh.CurrentLocal(filepath.Dir(inventory))
	if err != nil {
		return nil, nil, err
	}
	password, err := a.sudoPassword()
	if err != nil {
		return nil, nil, err
	}
	hosts := &workflow.Hosts{}
	sender := &host.Sender{}
	var connections []*host.Lazy
	for _, spec := range cluster.Hosts {
		options, err := ssh.OptionsFor(cluster, spec, local)
		if err != nil {
			return nil, nil, err
		}
		options.AcceptNewHostKeys = a.settings.GetBool("accept-new-host-keys")
		options.SudoPassword = password
		options.Sender = sender
		host := host.NewLazy(spec.Name, func(ctx context.Context) (host.Connected, error) { return ssh.Dial(ctx, options) })
		connections = append(connections, host)
		hosts.All = append(hosts.All, &workflow.Host{Config: spec, Conn: host})
	}
	closeAll := func() {
		for _, h := range connections {
			_ = h.Close()
		}
	}
	return hosts, closeAll, nil
}

// sudoPassword is where the password for sudo comes from; nil for nowhere. It
// is asked for once, and only if a machine wants it.
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
		return nil, &usageError{errors.New("--ask-sudo-password: the standard input is no terminal; use --sudo-password-file")}
	}
	ask := sync.OnceValues(func() (string, error) {
		fmt.Fprint(a.err, "password for sudo: ")
		password, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(a.err)
		return string(password), err
	})
	return func(context.Context) (string, error) { return ask() }, nil
}

func fixed(password string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return password, nil }
}

// bundle opens the inventory's bundle, or the one that was made for its
// version and cached.
func (a *app) bundle(ctx context.Context, cluster *config.Cluster) (*bundle.Bundle, error) {
	if cluster.Artifacts.Bundle != "" {
		return openBundle(cluster.Artifacts.Bundle)
	}
	return a.cachedBundle(ctx, cluster)
}

// holder says who runs this, for the lock on each machine.
func holder() string {
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
