package container

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/retry"
)

// dialTimeout bounds one try to log in, in which a machine that just boots does
// not answer.
const dialTimeout = 2 * time.Second

// client is a login on a machine, with which the lab looks whether it is up.
type client struct {
	*ssh.Client
	stop func() bool
}

// dial logs in as anybody with the lab's key would. The connection ends with
// the context.
func (s *session) dial(ctx context.Context, m *machine) (*client, error) {
	private, err := os.ReadFile(s.identityPath())
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(s.hostKeyPath(m) + ".pub")
	if err != nil {
		return nil, err
	}
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey(public)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(m.Address.String(), "22")
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(5 * dialTimeout)); err != nil {
		conn.Close()
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User:              User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   ssh.FixedHostKey(hostKey),
		HostKeyAlgorithms: []string{hostKey.Type()},
	})
	if err != nil {
		stop()
		conn.Close()
		return nil, err
	}
	return &client{Client: ssh.NewClient(c, channels, requests), stop: stop}, conn.SetDeadline(time.Time{})
}

func (c *client) Close() error {
	c.stop()
	return c.Client.Close()
}

// output runs a fixed command and gives its standard output, also with an error.
func (c *client) output(command string) ([]byte, error) {
	session, err := c.NewSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return session.Output(command)
}

// checkMesh connects from the first machine to each other one. They share a
// bridge, so that only a packet filter of the outer machine can be in the way.
func (s *session) checkMesh(ctx context.Context) error {
	first := s.state.Machines[0]
	client, err := s.dial(ctx, first)
	if err != nil {
		return fmt.Errorf("%s: %w", first.Name, err)
	}
	defer client.Close()
	for _, m := range s.state.Machines[1:] {
		// The address is a netip.Addr: nothing in it that a shell would see.
		command := fmt.Sprintf("timeout 3 bash -c 'exec 3<>/dev/tcp/%s/22'", m.Address)
		err := retry.Until(ctx, first.Name+" to reach "+m.Name, func(context.Context) error {
			_, err := client.output(command)
			return err
		}, retry.Options{Timeout: 10 * time.Second})
		if err != nil {
			return fmt.Errorf("%w; does this machine filter bridged packets? (sysctl net.bridge.bridge-nf-call-iptables, chain FORWARD)", err)
		}
	}
	return nil
}
