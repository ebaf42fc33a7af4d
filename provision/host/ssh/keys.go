package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	gossh "golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/host"
)

// keyring collects the keys to offer, in order. sshd counts each of them
// (MaxAuthTries, 6 by default), so the configured file comes first.
type keyring struct {
	options Options
	signers []gossh.Signer
	// skipped are the reasons why keys were not offered, for the error if the
	// server refuses the others.
	skipped []string
	agent   *keyAgent
	// timeout is the timeout of the handshake.
	timeout *dialTimeout
}

// newKeyring loads the keys; those of the agent unless noAgent is the reason not to
// use it. Close the keyring after authentication.
func newKeyring(ctx context.Context, o Options, timeout *dialTimeout, noAgent error) (*keyring, error) {
	k := &keyring{options: o, timeout: timeout}
	var fromAgent []gossh.Signer
	if noAgent == nil {
		fromAgent, noAgent = k.askAgent(ctx)
	}
	if noAgent != nil {
		k.skipped = append(k.skipped, noAgent.Error())
	}
	if o.IdentityFile != "" {
		if err := k.addFile(ctx, o.IdentityFile, fromAgent); err != nil {
			k.Close()
			if noAgent != nil {
				err = fmt.Errorf("%w (%v)", err, noAgent)
			}
			return nil, fmt.Errorf("identity: %w", err)
		}
	}
	if !o.IdentitiesOnly {
		for _, signer := range fromAgent {
			k.add(signer)
		}
	}
	for _, file := range o.DefaultIdentities {
		if err := k.addFile(ctx, file, fromAgent); err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.skipped = append(k.skipped, err.Error())
		}
	}
	return k, nil
}

// askAgent returns the keys of the agent.
func (k *keyring) askAgent(ctx context.Context) ([]gossh.Signer, error) {
	if k.options.AgentSocket == "" {
		return nil, nil
	}
	var err error
	if k.agent, err = dialAgent(ctx, k.options, k.timeout); err != nil {
		return nil, err
	}
	return k.agent.signers()
}

// Close closes the connection to the agent.
func (k *keyring) Close() {
	if k.agent != nil {
		_ = k.agent.conn.Close()
	}
}

func (k *keyring) add(signer gossh.Signer) {
	blob := signer.PublicKey().Marshal()
	for _, have := range k.signers {
		if bytes.Equal(have.PublicKey().Marshal(), blob) {
			return
		}
	}
	k.signers = append(k.signers, signer)
}

// addFile adds the key of a file. If the agent has the key of an encrypted file,
// addFile uses the agent, which needs no passphrase.
func (k *keyring) addFile(ctx context.Context, path string, fromAgent []gossh.Signer) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	signer, err := gossh.ParsePrivateKey(content)
	var locked *gossh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		k.add(signer)
		return nil
	}
	public := locked.PublicKey
	if public == nil { // the old PEM format does not contain the public key
		public = publicFile(path + ".pub")
	}
	if public != nil {
		for _, signer := range fromAgent {
			if bytes.Equal(signer.PublicKey().Marshal(), public.Marshal()) {
				k.add(signer)
				return nil
			}
		}
	}
	if k.options.Passphrase == nil {
		return fmt.Errorf("%s: the key has a passphrase: add the key to the agent with ssh-add", path)
	}
	key := &lockedKey{ctx: ctx, path: path, content: content, public: public, passphrase: k.passphrase}
	if public == nil {
		signer, err := key.unlock()
		if err != nil {
			return err
		}
		k.add(signer)
		return nil
	}
	k.add(key)
	return nil
}

// passphrase asks a person. The timeout of the handshake pauses meanwhile.
func (k *keyring) passphrase(ctx context.Context, path string) ([]byte, error) {
	k.timeout.pause()
	defer k.timeout.restart()
	return k.options.Passphrase(ctx, path)
}

func publicFile(path string) gossh.PublicKey {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	public, _, _, _, err := gossh.ParseAuthorizedKey(content)
	if err != nil {
		return nil
	}
	return public
}

// lockedKey asks for the passphrase only after the server has agreed to accept the
// key.
type lockedKey struct {
	ctx        context.Context // of the dialing: gossh.Signer takes none
	path       string
	content    []byte
	public     gossh.PublicKey
	passphrase func(context.Context, string) ([]byte, error)

	once   sync.Once
	signer gossh.Signer
	err    error
}

func (l *lockedKey) unlock() (gossh.Signer, error) {
	l.once.Do(func() {
		passphrase, err := l.passphrase(l.ctx, l.path)
		if err != nil {
			l.err = fmt.Errorf("%w: %s: passphrase: %w", host.ErrAuth, l.path, err)
			return
		}
		if l.signer, err = gossh.ParsePrivateKeyWithPassphrase(l.content, passphrase); err != nil {
			l.err = fmt.Errorf("%w: %s: %w", host.ErrAuth, l.path, err)
		}
	})
	return l.signer, l.err
}

func (l *lockedKey) PublicKey() gossh.PublicKey { return l.public }

func (l *lockedKey) Sign(rand io.Reader, data []byte) (*gossh.Signature, error) {
	signer, err := l.unlock()
	if err != nil {
		return nil, err
	}
	return signer.Sign(rand, data)
}

// SignWithAlgorithm lets an RSA key sign with SHA-2, which OpenSSH requires since
// 8.8.
func (l *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*gossh.Signature, error) {
	signer, err := l.unlock()
	if err != nil {
		return nil, err
	}
	return signWith(signer, rand, data, algorithm)
}
