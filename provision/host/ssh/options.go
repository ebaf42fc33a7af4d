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

// Options describe how to reach one host. OptionsFor reads them from an inventory
// and ~/.ssh/config.
type Options struct {
	// Name is the host's name in the inventory, for messages.
	Name string
	// Address is an IP address or a name; Port is 22 by default.
	Address string
	Port    int
	// User is the login user. Users other than root need sudo.
	User string

	// IdentityFile is a private key that must exist. It is offered first.
	IdentityFile string
	// DefaultIdentities are private keys that are offered if they exist.
	DefaultIdentities []string
	// AgentSocket is the agent's socket, as in SSH_AUTH_SOCK; empty: no agent.
	AgentSocket string
	// IdentitiesOnly offers a key of the agent only if it is the key of one of the
	// files above.
	IdentitiesOnly bool
	// Passphrase returns the passphrase of an encrypted key file, once a server
	// has agreed to accept that key; nil: such keys are not offered.
	Passphrase func(ctx context.Context, keyFile string) ([]byte, error)

	// KnownHostsFile is where host keys are checked and recorded.
	KnownHostsFile string
	// MoreKnownHosts are further files, which are only read.
	MoreKnownHosts []string
	// AcceptNewHostKeys records the key of an unknown host. A changed key is always
	// refused.
	AcceptNewHostKeys bool

	// Bastion is a jump host, which may have a bastion itself; nil: none.
	Bastion *Options

	// SudoPassword is called once, if sudo needs a password; nil: there is none.
	SudoPassword func(ctx context.Context) (string, error)

	// Sender uploads files. Hosts that share a Sender hash each local file once.
	// Nil creates a Sender.
	Sender *host.Sender

	// Timeouts that are zero have defaults.
	Timeouts Timeouts
	// MaxSessions limits the sessions that are open at once, 8 by default (sshd
	// allows 10). It is lowered if the server allows fewer.
	MaxSessions int
}

// Timeouts limit how long to wait for a host.
type Timeouts struct {
	// Connect limits TCP, key exchange and authentication together, 15 s by
	// default: golang/go#19338.
	Connect time.Duration
	// KeepaliveInterval is the time between keepalive requests, 10 s by default.
	KeepaliveInterval time.Duration
	// KeepaliveReply limits the wait for the answer, 15 s by default. After it, the
	// connection is treated as lost.
	KeepaliveReply time.Duration
	// Stop limits how long it takes to stop a command whose context has ended, 10 s
	// by default.
	Stop time.Duration
}

const defaultMaxSessions = 8

// withDefaults also sets the defaults of the bastions.
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
