package host

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of failure on which callers decide. Errors of the transport wrap
// one of them.
var (
	// ErrUnreachable: connecting failed, or the connection was lost and
	// reconnecting failed. Worth a retry.
	ErrUnreachable = errors.New("unreachable")
	// ErrAuth: the host refused the user or every key. Not worth a retry.
	ErrAuth = errors.New("authentication refused")
	// ErrSudo: the user may not become root, or the password is wrong.
	ErrSudo = errors.New("sudo denied")
	// ErrOutcomeUnknown: the connection was lost while a command ran. Whether it
	// ended, and with what result, is unknown.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrPlanned: a plan cannot answer, because the answer may depend on a change
	// that it only recorded.
	ErrPlanned = errors.New("depends on a planned change")
	// ErrCorrupt: a file differs from what was sent or recorded.
	ErrCorrupt = errors.New("checksum differs")
)

// HostKeyError: the host's host key is unknown or another one than
// known_hosts has.
type HostKeyError struct {
	// Host is the inventory's name, Address "host:port".
	Host, Address string
	// KeyType and Fingerprint (SHA256:…, as ssh-keygen -l prints it) are of
	// the key that was offered.
	KeyType, Fingerprint string
	// Changed: known_hosts has another key for this address, from the places
	// in Known ("path:line").
	Changed bool
	Known   []string
	// KnownTypes are the types of those keys. Without KeyType among them the
	// host may be the same one, which no longer offers the type that was
	// recorded.
	KnownTypes []string
}

func (e *HostKeyError) Error() string {
	if e.Changed {
		return fmt.Sprintf("%s: the host key of %s has changed: it offers %s %s, but %s has another one",
			e.Host, e.Address, e.KeyType, e.Fingerprint, strings.Join(e.Known, ", "))
	}
	return fmt.Sprintf("%s: the host key of %s is unknown: %s %s", e.Host, e.Address, e.KeyType, e.Fingerprint)
}

// ExitError: a command ran and ended with another exit code than 0.
type ExitError struct {
	Host string
	// Command is the command as Cmd.String prints it.
	Command string
	// Code is the exit code; -1 if a signal ended the command.
	Code int
	// Signal is the name of that signal, without SIG; empty otherwise.
	Signal string
	// Stdout and Stderr hold the output, secrets replaced.
	Stdout, Stderr string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Host, e.Command, e.Ending())
}

// Ending is how the command ended, and the last line that it said on standard
// error: "exit code 1: no such file".
func (e *ExitError) Ending() string {
	how := fmt.Sprintf("exit code %d", e.Code)
	if e.Signal != "" {
		how = "signal " + e.Signal
	}
	if last := lastLine(e.Stderr); last != "" {
		how += ": " + last
	}
	return how
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// Exited says whether a command ran and exited with an error, as one does
// whose program is not installed yet; nothing else went wrong then.
func Exited(err error) bool {
	var exit *ExitError
	return errors.As(err, &exit)
}
