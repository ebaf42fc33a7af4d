package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"slipway.io/slipway/provision/host"
)

// keyAgent is a connection to an ssh-agent. An agent may stop answering: a forwarded
// one whose connection broke, or one that waits for a person. Each request has the
// connection timeout, and ends with the context. The timeout of the handshake pauses
// meanwhile.
type keyAgent struct {
	ctx     context.Context // of the dialing: gossh.Signer takes none
	socket  string
	conn    net.Conn
	limit   time.Duration
	timeout *dialTimeout
}

// agentError: the agent did not answer, or refused. Authentication may succeed
// without it.
type agentError struct {
	socket string
	err    error
}

func (e *agentError) Error() string   { return fmt.Sprintf("ssh-agent %s: %v", e.socket, e.err) }
func (e *agentError) Unwrap() []error { return []error{host.ErrAuth, e.err} }

func dialAgent(ctx context.Context, o Options, timeout *dialTimeout) (*keyAgent, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", o.AgentSocket)
	if err != nil {
		return nil, &agentError{o.AgentSocket, errors.Unwrap(err)}
	}
	return &keyAgent{ctx: ctx, socket: o.AgentSocket, conn: conn, limit: o.Timeouts.Connect, timeout: timeout}, nil
}

// ask sends one request. After a request without an answer the connection is closed.
func (a *keyAgent) ask(request func() error) error {
	a.timeout.pause()
	defer a.timeout.restart()
	ctx, cancel := context.WithTimeoutCause(a.ctx, a.limit, fmt.Errorf("no answer within %s", a.limit))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = a.conn.Close() })
	err := request()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return &agentError{a.socket, err}
	}
	return nil
}

func (a *keyAgent) signers() ([]gossh.Signer, error) {
	client := agent.NewClient(a.conn)
	var signers []gossh.Signer
	err := a.ask(func() (err error) {
		signers, err = client.Signers()
		return err
	})
	for i, signer := range signers {
		signers[i] = &agentSigner{signer, a}
	}
	return signers, err
}

// agentSigner is a key of the agent.
type agentSigner struct {
	gossh.Signer
	agent *keyAgent
}

func (s *agentSigner) Sign(rand io.Reader, data []byte) (*gossh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm is what x/crypto/ssh calls, for RSA keys with SHA-2.
func (s *agentSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (signature *gossh.Signature, err error) {
	err = s.agent.ask(func() (err error) {
		signature, err = signWith(s.Signer, rand, data, algorithm)
		return err
	})
	return signature, err
}

// signWith uses the algorithm if the signer has a choice.
func signWith(signer gossh.Signer, rand io.Reader, data []byte, algorithm string) (*gossh.Signature, error) {
	if with, ok := signer.(gossh.AlgorithmSigner); ok && algorithm != "" {
		return with.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}
