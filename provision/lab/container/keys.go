package container

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"slipway.io/slipway/provision/localhost"
)

// hostKeyPath is the lab's copy of a machine's host key. The machine may change the
// one in its tree.
func (s *session) hostKeyPath(m *machine) string {
	return filepath.Join(s.machineDir(m), "ssh_host_ed25519_key")
}

// ensureKeys creates the user's key and a host key for each machine, and writes
// known_hosts: no machine is trusted on first use.
func (s *session) ensureKeys() error {
	if err := ensureKey(s.identityPath(), "slipway lab "+s.name); err != nil {
		return fmt.Errorf("key of the lab: %w", err)
	}
	var known strings.Builder
	for _, m := range s.state.Machines {
		if err := os.MkdirAll(s.machineDir(m), 0o700); err != nil {
			return err
		}
		if err := ensureKey(s.hostKeyPath(m), m.Name); err != nil {
			return fmt.Errorf("host key of %s: %w", m.Name, err)
		}
		public, err := os.ReadFile(s.hostKeyPath(m) + ".pub")
		if err != nil {
			return err
		}
		fmt.Fprintf(&known, "%s %s\n", m.Address, strings.TrimSpace(string(public)))
	}
	return localhost.WriteFile(s.knownHostsPath(), []byte(known.String()), 0o644)
}

// ensureKey creates an ed25519 key pair at path and path.pub, as ssh-keygen does.
func ensureKey(path, comment string) error {
	// The public key is written last: it exists only in a complete pair.
	if _, err := os.Stat(path + ".pub"); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return err
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	if err := localhost.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic))) + " " + comment + "\n"
	return localhost.WriteFile(path+".pub", []byte(line), 0o644)
}

// newMachineID is a random UUID in the format of machine-id(5).
func newMachineID() string {
	id := make([]byte, 16)
	rand.Read(id) // never fails, see crypto/rand
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id)
}
