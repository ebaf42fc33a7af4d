package ssh

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"slipway.io/slipway/provision/host"
)

// Options say how to reach one machine. OptionsFor makes them from an
// inventory and ~/.ssh/config.
type Options struct {
	// Name is the host's name in the inventory, for messages.
	Name string
	// Address is where SSH answers: an IP address or a name; Port is 22 by
	// default.
	Address string
	Port    int
	// User logs in. Any other one than root needs sudo.
	User string

	// IdentityFile is a private key that must exist. It is offered first.
	IdentityFile string
	// DefaultIdentities are private keys that are offered if they exist.
	DefaultIdentities []string
	// AgentSocket is the agent's socket, as in SSH_AUTH_SOCK; empty: no agent.
	AgentSocket string
	// IdentitiesOnly offers keys of the agent only if they are those of the
	// files above.
	IdentitiesOnly bool
	// Passphrase gives the passphrase of an encrypted key file, when a server
	// would accept that key; nil: such keys are not offered.
	Passphrase func(ctx context.Context, keyFile string) ([]byte, error)

	// KnownHostsFile is where host keys are looked up and recorded.
	KnownHostsFile string
	// MoreKnownHosts are further files, only read.
	MoreKnownHosts []string
	// AcceptNewHostKeys records the key of an unknown host. One that changed is
	// refused all the same.
	AcceptNewHostKeys bool

	// Bastion is a jump host, which may have one of its own; nil: none.
	Bastion *Options

	// SudoPassword is asked for once, when sudo does not work without one; nil:
	// there is none.
	SudoPassword func(ctx context.Context) (string, error)

	// Sender uploads files. Hosts that share one hash each local file once; nil
	// is a Sender of its own.
	Sender *host.Sender

	// Timeouts; a zero one has the default.
	Timeouts Timeouts
	// MaxSessions is how many sessions are open at once, 8 by default (sshd
	// allows 10). It is lowered when the server allows less.
	MaxSessions int
}

// Timeouts bound the waiting for a machine.
type Timeouts struct {
	// Connect bounds TCP, the key exchange and authentication together,
	// default 15 s: golang/go#19338.
	Connect time.Duration
	// KeepaliveInterval is how often the machine is asked whether it is there,
	// default 10 s.
	KeepaliveInterval time.Duration
	// KeepaliveReply is how long it may be silent after that before the
	// connection counts as dead, default 15 s.
	KeepaliveReply time.Duration
	// Stop bounds the ending of a remote command whose context ended, default
	// 10 s.
	Stop time.Duration
}

const defaultMaxSessions = 8

// withDefaults also gives the bastions their defaults.
func (o Options) withDefaults() Options {
	o.Port = cmp.Or(o.Port, 22)
	o.Name = cmp.Or(o.Name, o.Address)
	o.MaxSessions = cmp.Or(o.MaxSessions, defaultMaxSessions)
	o.Timeouts.Connect = cmp.Or(o.Timeouts.Connect, 15*time.Second)
	o.Timeouts.KeepaliveInterval = cmp.Or(o.Timeouts.KeepaliveInterval, 10*time.Second)
	o.Timeouts.KeepaliveReply = cmp.Or(o.Timeouts.KeepaliveReply, 15*time.Second)
	o.Timeouts.Stop = cmp.Or(o.Timeouts.Stop, 10*time.Second)
	if o.Sender == nil {
		o.Sender = &host.Sender{}
	}
	if o.Bastion != nil {
		bastion := o.Bastion.withDefaults()
		o.Bastion = &bastion
	}
	return o
}

func (o Options) check() error {
	switch {
	case o.Address == "":
		return fmt.Errorf("%s: no address", o.Name)
	case o.User == "":
		return fmt.Errorf("%s: no user", o.Name)
	case o.KnownHostsFile == "":
		return fmt.Errorf("%s: no known hosts file", o.Name)
	case o.Bastion != nil:
		return o.Bastion.check()
	}
	return nil
}

func (o Options) hostPort() string { return net.JoinHostPort(o.Address, strconv.Itoa(o.Port)) }
