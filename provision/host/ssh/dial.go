package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
)

// dial opens one connection, through the bastions if there are any. The timeout
// of each covers TCP, key exchange and authentication.
func dial(ctx context.Context, o Options) (*conn, error) {
	var via *conn
	if o.Bastion != nil {
		var err error
		if via, err = dial(ctx, *o.Bastion); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
	}
	c, err := dialVia(ctx, o, via)
	if err != nil {
		via.close()
		return nil, err
	}
	return c, nil
}

func dialVia(ctx context.Context, o Options, via *conn) (*conn, error) {
	bounded, timeout := withDialTimeout(ctx, o.Timeouts.Connect)
	defer timeout.end()

	keys := &hostKeys{options: o}
	client, wire, err := handshake(bounded, timeout, o, via, keys, nil)
	var noAgent *agentError
	if errors.As(err, &noAgent) && bounded.Err() == nil {
		// x/crypto/ssh tries no further key after a signature that fails.
		timeout.restart()
		client, wire, err = handshake(bounded, timeout, o, via, keys, noAgent)
	}
	switch {
	case err == nil:
		return newConn(o, client, wire, via), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: connect to %s: %w", o.Name, o.hostPort(), ctx.Err())
	case bounded.Err() != nil:
		return nil, fmt.Errorf("%s: connect to %s: %w: %w", o.Name, o.hostPort(), host.ErrUnreachable, context.Cause(bounded))
	case keys.refused.Load() != nil:
		return nil, hostKeyError(o, *keys.refused.Load())
	default:
		return nil, fmt.Errorf("%s: connect to %s: %w", o.Name, o.hostPort(), err)
	}
}

// hostKeyError adds host and address to an error. A HostKeyError contains them.
func hostKeyError(o Options, err error) error {
	var refused *host.HostKeyError
	if errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%s: host key of %s: %w", o.Name, o.hostPort(), err)
}

// handshake returns a client and its network connection. Closing the connection
// closes the client as well. noAgent is why the agent is not used; nil: it is.
func handshake(
	ctx context.Context, timeout *dialTimeout, o Options, via *conn, keys *hostKeys, noAgent error,
) (*gossh.Client, *watchedConn, error) {
	algorithms, err := keys.algorithms()
	if err != nil {
		return nil, nil, err
	}
	ring, err := newKeyring(ctx, o, timeout, noAgent)
	if err != nil {
		// Not wrapped: a missing identity file is no missing file of the host.
		return nil, nil, fmt.Errorf("%w: %v", host.ErrAuth, err)
	}
	defer ring.Close()

	raw, err := dialTCP(ctx, o, via)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", host.ErrUnreachable, err)
	}
	wire := newWatchedConn(raw)
	// Not SetDeadline: a connection through a bastion has no deadlines.
	stop := context.AfterFunc(ctx, func() { _ = wire.Close() })
	config := &gossh.ClientConfig{
		User:              o.User,
		Auth:              []gossh.AuthMethod{gossh.PublicKeys(ring.signers...)},
		HostKeyCallback:   keys.check,
		HostKeyAlgorithms: algorithms,
		ClientVersion:     "SSH-2.0-slipway",
	}
	sshConn, channels, requests, err := gossh.NewClientConn(wire, o.hostPort(), config)
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = wire.Close()
		return nil, nil, ring.explain(err)
	}
	return gossh.NewClient(sshConn, channels, requests), wire, nil
}

// explain distinguishes a refusal, which a retry does not change, from a broken
// connection.
func (k *keyring) explain(err error) error {
	if errors.Is(err, host.ErrAuth) {
		return err
	}
	// x/crypto/ssh has no types for these errors.
	text := err.Error()
	if !strings.Contains(text, "unable to authenticate") && !strings.Contains(text, "Too many authentication failures") {
		return fmt.Errorf("%w: %w", host.ErrUnreachable, err)
	}
	var offered []string
	for _, signer := range k.signers {
		offered = append(offered, gossh.FingerprintSHA256(signer.PublicKey()))
	}
	detail := "no key to offer"
	if len(offered) > 0 {
		detail = "offered " + strings.Join(offered, ", ")
	}
	if len(k.skipped) > 0 {
		detail += "; not offered: " + strings.Join(k.skipped, "; ")
	}
	return fmt.Errorf("%w for user %s (%s): %w", host.ErrAuth, k.options.User, detail, err)
}

func dialTCP(ctx context.Context, o Options, via *conn) (net.Conn, error) {
	if via != nil {
		return via.dial(ctx, "tcp", o.hostPort())
	}
	return new(net.Dialer).DialContext(ctx, "tcp", o.hostPort())
}
