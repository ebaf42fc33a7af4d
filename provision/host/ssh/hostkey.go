package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/skeema/knownhosts"
	gossh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"slipway.io/slipway/provision/host"
)

// hostKeys checks the key that a host offers, and keeps the error of a refusal:
// the error of the handshake does not always wrap it.
type hostKeys struct {
	options Options
	// refused is nil until a key is refused.
	refused atomic.Pointer[error]
}

// algorithms returns the key types to request. The types that known_hosts has for
// the host come first (golang/go#49631). The others follow, so that a host that
// offers none of the former is reported as changed and not as unreachable.
func (k *hostKeys) algorithms() ([]string, error) {
	db, err := k.load()
	if err != nil {
		return nil, err
	}
	algorithms := db.HostKeyAlgorithms(k.options.hostPort())
	for _, algorithm := range gossh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(algorithms, algorithm) {
			algorithms = append(algorithms, algorithm)
		}
	}
	return algorithms, nil
}

func (k *hostKeys) load() (*knownhosts.HostKeyDB, error) {
	var files []string
	for _, file := range append([]string{k.options.KnownHostsFile}, k.options.MoreKnownHosts...) {
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("known hosts: %w", err)
		}
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return db, nil
}

// check is the gossh.HostKeyCallback.
func (k *hostKeys) check(address string, addr net.Addr, key gossh.PublicKey) error {
	err := k.decide(address, addr, key)
	if err != nil {
		k.refused.Store(&err)
	}
	return err
}

func (k *hostKeys) decide(address string, addr net.Addr, key gossh.PublicKey) error {
	err := k.lookUp(address, addr, key)
	var refused *host.HostKeyError
	if !errors.As(err, &refused) || refused.Changed || !k.options.AcceptNewHostKeys {
		return err
	}
	return k.record(address, addr, key)
}

// lookUp returns nil, a *host.HostKeyError, or an error about the file.
func (k *hostKeys) lookUp(address string, addr net.Addr, key gossh.PublicKey) error {
	db, err := k.load()
	if err != nil {
		return err
	}
	err = db.HostKeyCallback()(address, addr, key)
	if err == nil {
		return nil
	}
	var unknown *xknownhosts.KeyError
	if !errors.As(err, &unknown) {
		return err // Such as a revoked key.
	}
	refused := &host.HostKeyError{
		Host: k.options.Name, Address: address,
		KeyType: key.Type(), Fingerprint: gossh.FingerprintSHA256(key),
		Changed: len(unknown.Want) > 0,
	}
	for _, known := range unknown.Want {
		refused.Known = append(refused.Known, known.Filename+":"+strconv.Itoa(known.Line))
		refused.KnownTypes = append(refused.KnownTypes, known.Key.Type())
	}
	return refused
}

// recording is held while a key is recorded, because parallel connections may
// record the same one. Other programs need no lock: like OpenSSH, they append a
// line in one write.
var recording sync.Mutex

// record appends the key, unless another connection has just recorded it.
func (k *hostKeys) record(address string, addr net.Addr, key gossh.PublicKey) error {
	recording.Lock()
	defer recording.Unlock()
	err := k.lookUp(address, addr, key)
	var refused *host.HostKeyError
	if !errors.As(err, &refused) || refused.Changed {
		return err
	}
	path := k.options.KnownHostsFile
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	defer func() { _ = file.Close() }()
	line := knownhosts.Line([]string{address}, key) + "\n"
	if unfinished(file) {
		line = "\n" + line
	}
	if _, err := file.WriteString(line); err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	return nil
}

// unfinished reports whether the last line has no newline, as after manual edits.
func unfinished(file *os.File) bool {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, end-1)
	return err == nil && !bytes.Equal(last, []byte("\n"))
}
